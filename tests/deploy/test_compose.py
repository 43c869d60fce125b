"""docker-compose.yml is valid, closed to the outside, and refers to things that exist."""

import json
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from models.errors import ConfigError
from service.access import read_key_ring
from service.keys import new_key
from service.settings import PREFIX, Settings, read_settings
from tests.deploy.files import ROOT, compose, stages

SERVICES = sorted(compose()["services"])


def _schema() -> dict[str, Any]:
    vendored = resources.files("check_jsonschema") / "builtin_schemas/vendor/compose-spec.json"
    content: dict[str, Any] = json.loads(vendored.read_text())
    return content


def _service(name: str) -> dict[str, Any]:
    content: dict[str, Any] = compose()["services"][name]
    return content


def test_it_follows_the_compose_specification() -> None:
    """The file validates against the schema of the Compose specification."""
    jsonschema.validate(compose(), _schema())


def test_the_schema_notices_a_misspelt_key() -> None:
    """A key that the specification does not know is refused, so the check above means something."""
    wrong = compose()
    wrong["services"]["croft"]["prots"] = ["8000"]
    with pytest.raises(jsonschema.ValidationError, match="prots"):
        jsonschema.validate(wrong, _schema())


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_the_loopback_alone(name: str) -> None:
    """Nothing is reachable from another machine until somebody decides so."""
    ports = _service(name)["ports"]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", SERVICES)
def test_containers_can_do_no_more_than_they_need(name: str) -> None:
    """Every root file system is read-only, without capabilities and without a way to new ones."""
    service = _service(name)
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_and_report_their_health(name: str) -> None:
    """Every image has a full version as its tag, and every container a health check."""
    service = _service(name)
    _, _, tag = service["image"].partition(":")
    assert tag.lstrip("v").count(".") == 2
    assert service["healthcheck"]["test"][0] == "CMD"


@pytest.mark.parametrize("name", SERVICES)
def test_start_order_waits_for_health(name: str) -> None:
    """A container that needs another one waits until that one is healthy, and names no stranger."""
    for needed, how in _service(name).get("depends_on", {}).items():
        assert needed in SERVICES
        assert how == {"condition": "service_healthy"}


def test_mounted_files_exist() -> None:
    """Every mounted path of the repository is there; the engine would make a folder of another."""
    mounts = [m for name in SERVICES for m in _service(name).get("volumes", [])]
    sources = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("name", ["croft", "croft-gpu"])
def test_the_build_names_a_stage_and_an_extra(name: str) -> None:
    """What compose builds is a stage of the Dockerfile with a runtime that pyproject.toml knows."""
    build = _service(name)["build"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert build["target"] in stages()
    assert build["args"]["RUNTIME"] in project["optional-dependencies"]


def test_only_the_gpu_variant_reserves_a_device_and_only_on_request() -> None:
    """`docker compose up` needs no GPU; the profile `gpu` reserves one."""
    (device,) = _service("croft-gpu")["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert _service("croft-gpu")["profiles"] == ["gpu"]
    assert "deploy" not in _service("croft")


@pytest.mark.parametrize("name", ["croft", "croft-gpu"])
def test_the_service_is_configured_by_settings_that_exist(name: str) -> None:
    """Every CROFT_ variable is a field of the settings, so that none is silently ignored."""
    given = {variable.removeprefix(PREFIX).lower() for variable in _service(name)["environment"]}
    assert given <= Settings.model_fields.keys()


@pytest.mark.parametrize("name", ["croft", "croft-gpu"])
def test_the_service_starts_without_keys_by_a_choice_that_can_be_changed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It listens for other containers, so that without the choice it would end at once."""
    choice = _service(name)["environment"]["CROFT_AUTH"]
    assert choice == "${CROFT_AUTH:-off}"
    monkeypatch.setenv("CROFT_HOST", "0.0.0.0")
    with pytest.raises(ConfigError, match="CROFT_AUTH=off"):
        read_key_ring(read_settings())
    monkeypatch.setenv("CROFT_AUTH", "off")
    assert read_key_ring(read_settings()) is None


def test_the_document_turns_keys_on_with_a_valid_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The override of docs/deploy.md follows the specification, and its settings ask for keys."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/deploy.md").read_text(), re.DOTALL)
    override = yaml.safe_load(text)
    jsonschema.validate(override, _schema())
    assert override["services"].keys() <= set(SERVICES)
    assert override["services"]["croft"]["secrets"] == list(override["secrets"])

    (tmp_path / "croft_keys").write_text(new_key("phone", "classify")[1].line)
    monkeypatch.setenv("CROFT_HOST", "0.0.0.0")
    for variable, value in override["services"]["croft"]["environment"].items():
        monkeypatch.setenv(variable, value.replace("/run/secrets", str(tmp_path)))
    assert read_key_ring(read_settings()) is not None


def test_the_service_may_finish_before_it_is_killed() -> None:
    """The engine waits longer than the service drains."""
    grace = _service("croft")["stop_grace_period"]
    assert int(grace.removesuffix("s")) > Settings.model_fields["drain_seconds"].default


def test_no_password_is_written_down() -> None:
    """Grafana's password comes from the environment, and compose stops where there is none."""
    password = _service("grafana")["environment"]["GF_SECURITY_ADMIN_PASSWORD"]
    assert password.startswith("${GRAFANA_ADMIN_PASSWORD:?")
