"""Peers in an environment of their own, with the versions of everything that they share with us."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.load.servers import Server
from benchmarks.peers.common import BUNDLE
from training.progress import say

FLOOR: Final = "Floor"
PEERS: Final = ("litserve==0.2.19", "bentoml==1.4.39")
_SHARED: Final = ("numpy", "onnxruntime", "pillow", "safetensors")


def floor(bundle: Path) -> Server:
    """Return the least that a server in Python can be."""
    command = (sys.executable, "-m", "benchmarks.peers.floor_app", "{port}")
    return Server(FLOOR, command, raw=True, environment={BUNDLE: str(bundle)})


def peers(cache: Path, bundle: Path) -> list[Server]:
    """Return the peers that could be installed; naive FastAPI runs in this environment."""
    given = {BUNDLE: str(bundle)}
    fastapi = (sys.executable, "-m", "benchmarks.peers.fastapi_app", "{port}")
    naive = Server("FastAPI", fastapi, environment=given)
    folder = cache / "peers"
    try:
        _install(folder)
    except subprocess.CalledProcessError as error:
        say(f"LitServe and BentoML are left out, they cannot be installed: {error}")
        return [naive]
    python = str(folder / "bin" / "python")
    serve = ("serve", "benchmarks.peers.bentoml_app:Classify", "--host", "127.0.0.1")
    quiet = {"BENTOML_HOME": str(folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "1", **given}
    return [
        naive,
        Server(
            "LitServe",
            (python, "-m", "benchmarks.peers.litserve_app", "{port}"),
            environment=given,
        ),
        Server(
            "BentoML",
            (python, "-m", "bentoml", *serve, "--port", "{port}"),
            label_at=(0, "label"),
            environment=quiet,
        ),
    ]


def _install(folder: Path) -> None:
    pins = [*PEERS, *(f"{name}=={importlib.metadata.version(name)}" for name in _SHARED)]
    done = folder / "installed.txt"
    if done.is_file() and done.read_text().split() == pins:
        return
    say(f"Installing {', '.join(PEERS)} into {folder}, once ...")
    environment = {**os.environ, "PYTHONPATH": ""}
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, env=environment)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", *pins]
    subprocess.run(pip, check=True, env=environment)
    done.write_text("\n".join(pins))
