"""service.memory: what large pictures took goes back to the system."""

import io
import platform
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from service.memory import THRESHOLDS, return_large_blocks
from tests.deploy.files import stages
from tests.service.processes import Served, served

GLIBC = platform.libc_ver()[0] == "glibc"
MIB = 2**20


def _resident(service: Served) -> int:
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def _classify(service: Served, data: bytes) -> None:
    request = urllib.request.Request(f"{service.url}/classify", data=data)
    with urllib.request.urlopen(request, timeout=60) as response:
        assert response.status == 200


@pytest.mark.slow
@pytest.mark.skipif(not GLIBC, reason="the limits are glibc's")
def test_memory_comes_back(bundle_path: Path, tmp_path: Path) -> None:
    """Pictures of 25 megapixels, one after the other: the process is as small as before.

    From the second on, glibc by itself would keep 200 MiB.
    """
    buffer = io.BytesIO()
    Image.new("LA", (5000, 5000)).save(buffer, "PNG")
    with served(bundle_path, tmp_path / "log", workers=1) as service:
        before = _resident(service)
        for _ in range(3):
            _classify(service, buffer.getvalue())
        assert _resident(service) < before + 60 * MIB


def test_what_the_environment_says_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sets one of the limits sets both."""
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    assert not return_large_blocks()


@pytest.mark.parametrize("libc", ["", "musl"])
def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch, libc: str) -> None:
    """Other allocators have other limits."""
    monkeypatch.setattr("platform.libc_ver", lambda: (libc, ""))
    assert not return_large_blocks()


def test_the_image_says_the_same() -> None:
    """Its variables are the limits that the command would set."""
    lines = " ".join(line for line in stages()["service"] if line.startswith("ENV "))
    for name, (_, size) in THRESHOLDS.items():
        assert f"{name}={size}" in lines.split()
