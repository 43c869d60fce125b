"""Settings come from the environment, once, and are documented."""

import os
import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from models.errors import ConfigError
from service.settings import PREFIX, Settings, read_settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_every_setting_is_documented_with_its_default() -> None:
    """The table of docs/configuration.md has a row for each field, and no other."""
    rows = re.findall(rf"^\| `{PREFIX}(\w+)` \| (.+?) \|", DOCUMENT.read_text(), re.MULTILINE)
    defaults = {name.lower(): default for name, default in rows}
    assert list(defaults) == list(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        if field.default is None:
            assert defaults[name] == "unset", name
        elif field.default_factory is None and field.default != ():
            assert defaults[name] == f"`{field.default}`", name


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of value is converted; several bundles are written as PATH is."""
    monkeypatch.setenv("CROFT_PORT", "9000")
    monkeypatch.setenv("CROFT_SELF_TEST", "warn")
    monkeypatch.setenv("CROFT_REQUEST_TIMEOUT", "1.5")
    monkeypatch.setenv("CROFT_CORS_ORIGINS", "https://a.org, http://b.org:1,")
    monkeypatch.setenv("CROFT_BUNDLES", os.pathsep.join(["/a", "/b"]))
    settings = read_settings()
    assert (settings.port, settings.self_test, settings.request_timeout) == (9000, "warn", 1.5)
    assert settings.bundles == (Path("/a"), Path("/b"))
    assert settings.cors_origins == ("https://a.org", "http://b.org:1")


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files write ``${NAME:-}``; that is no path and no limit."""
    unset = Settings()
    for name in ("PORT", "BUNDLES", "AUTH", "KEYS_FILE", "RATE_LIMIT", "CORS_ORIGINS"):
        monkeypatch.setenv(f"CROFT_{name}", "")
    assert read_settings() == unset


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag that was given is taken, one that was not leaves the variable alone."""
    monkeypatch.setenv("CROFT_PORT", "9000")
    monkeypatch.setenv("CROFT_HOST", "0.0.0.0")
    settings = read_settings(port=1234, host=None)
    assert (settings.port, settings.host) == (1234, "0.0.0.0")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("CROFT_PORT", "http", "CROFT_PORT was given as 'http'.*valid integer"),
        ("CROFT_PORT", "70000", "less than or equal to 65535"),
        ("CROFT_DRAIN_SECONDS", "inf", "CROFT_DRAIN_SECONDS was given as 'inf'.*finite number"),
        ("CROFT_SELF_TEST", "maybe", "'fail' or 'warn'"),
        ("CROFT_QUEUE_BYTES", "5", "queue_bytes .5. must be at least 2 times .* 4 times"),
        ("CROFT_MAX_BATCH_BYTES", "999999999", "at least 2 times max_batch_bytes .999999999."),
    ],
)
def test_a_wrong_value_is_explained(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    """The message names the variable, what was given and what is allowed."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=message) as raised:
        read_settings()
    assert "\n" not in str(raised.value)


def test_settings_cannot_be_changed() -> None:
    """What was read at the start holds until the end."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


def test_workers_default_to_the_cores() -> None:
    """One worker for each core that this process may use."""
    assert Settings().workers == len(os.sched_getaffinity(0))


def test_the_processes_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless somebody says how many workers each has."""
    monkeypatch.setattr("service.settings.usable_cores", lambda: 8)
    assert read_settings().workers == 8
    assert read_settings(processes=3).workers == 2
    assert read_settings(processes=9).workers == 1
    monkeypatch.setenv("CROFT_WORKERS", "5")
    assert read_settings(processes=3).workers == 5
