"""The Dockerfile's stages: which one is the default, what it holds, who runs it."""

import json
import re
import shlex

import pytest

from croft.cli import COMMANDS
from tests.deploy.files import ROOT, stages

DOCUMENT = (ROOT / "docs" / "deploy.md").read_text()


def _instruction(stage: str, name: str) -> str:
    (line,) = [line for line in stages()[stage] if line.startswith(f"{name} ")]
    return line.removeprefix(f"{name} ")


def _ancestors(stage: str) -> set[str]:
    """Return the stages whose files can reach this one."""
    sources = {stages()[stage][0].split()[1]}
    for line in stages()[stage]:
        sources |= {w.removeprefix("--from=") for w in line.split() if w.startswith("--from=")}
    found = sources & stages().keys()
    return found.union(*(_ancestors(name) for name in found))


def test_a_plain_build_gives_the_service() -> None:
    """The last stage is the service, and nothing of the training stage reaches it."""
    assert next(reversed(stages())) == "service"
    assert "training" not in _ancestors("service")


def test_the_service_installs_no_training_stack() -> None:
    """The stages behind the service install its extra and one runtime, not the extra `training`."""
    lines = [line for name in {*_ancestors("service"), "service"} for line in stages()[name]]
    installs = [line for line in lines if "pip install" in line and "--constraint" in line]
    assert len(installs) == 1
    assert '".[service,${RUNTIME}]"' in installs[0]


@pytest.mark.parametrize("stage", ["service", "training"])
def test_nobody_runs_as_root(stage: str) -> None:
    """The user is a number, so that a cluster can check that it is not root."""
    user, _, group = _instruction(stage, "USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0


@pytest.mark.parametrize("stage", ["service", "training"])
def test_the_entry_point_gets_its_signals(stage: str) -> None:
    """The exec form puts no shell between the engine and the process."""
    entry = json.loads(_instruction(stage, "ENTRYPOINT"))
    assert entry[0] == "croft"
    assert set(entry[1:]) <= COMMANDS.keys()


def test_the_image_leaves_open_who_may_ask() -> None:
    """It listens for everybody, and so starts only once whoever runs it has decided."""
    variables = [line for line in stages()["service"] if line.startswith("ENV ")]
    assert "ENV CROFT_HOST=0.0.0.0" in variables
    assert "CROFT_AUTH" not in " ".join(variables)
    commands = re.findall(r"^docker run .*?[^\\]$", DOCUMENT, re.MULTILINE | re.DOTALL)
    served = [command for command in commands if "8000:8000" in command]
    assert len(served) == 2
    assert all("-e CROFT_AUTH=off" in command for command in served)
    assert all("127.0.0.1:8000:8000" in command for command in served)


def test_health_is_asked_through_the_command() -> None:
    """The health check needs no curl in the image: it is one of croft's own commands."""
    words = _instruction("service", "HEALTHCHECK").partition("CMD ")[2]
    assert json.loads(words) == ["croft", "healthcheck"]
    assert "healthcheck" in COMMANDS


def test_the_context_holds_what_the_build_copies() -> None:
    """.dockerignore shuts everything out but the files that COPY names and the packages."""
    ignore = (ROOT / ".dockerignore").read_text().split("\n")
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    copies = [shlex.split(line)[1:-1] for line in stages()["build"] if line.startswith("COPY ")]
    named = {path for paths in copies for path in paths} - {"."}
    assert "*" in ignore
    assert allowed == named | {"croft", "models", "service", "training"}
