"""The repository's shape: import names, top-level entries, what is packaged, what is pinned."""

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ["croft", "models", "service", "training"]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]


@pytest.mark.parametrize("name", PACKAGES)
def test_generic_names_resolve_to_this_checkout(name: str) -> None:
    """No stranger's package of the same name comes first on the path."""
    file = importlib.import_module(name).__file__
    assert file is not None
    assert Path(file) == ROOT / name / "__init__.py"


def test_required_entries_exist() -> None:
    """What people, tools and the documentation expect at the top level is there."""
    files = [
        *("README.md", "LICENSE", "CHANGELOG.md", "Makefile", "pyproject.toml", "constraints.txt"),
        *("Dockerfile", "docker-compose.yml", ".dockerignore", ".ci/run"),
    ]
    folders = ["service", "training", "models", "croft", "deploy", "tests", "docs"]
    assert [name for name in files if not (ROOT / name).is_file()] == []
    assert [name for name in folders if not (ROOT / name).is_dir()] == []
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_every_test_folder_is_a_package() -> None:
    """Without ``__init__.py`` two test files of one name could not live in two folders."""
    tests = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [folder for folder in tests if not (folder / "__init__.py").is_file()] == []


def test_package_inits_load_nothing() -> None:
    """Importing one module of a package never loads another one by the way."""
    for name in PACKAGES:
        for path in (ROOT / name).rglob("__init__.py"):
            assert not re.search(r"^\s*(import|from) ", path.read_text(), re.MULTILINE), path


def test_the_service_loads_no_training_stack() -> None:
    """A fresh interpreter that imports every module of the service has no torch in it."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "service").rglob("*.py")
    ]
    code = (
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
        "heavy = {'torch', 'open_clip', 'onnx', 'scipy', 'matplotlib', 'tqdm', 'training'}\n"
        "sys.exit(str(sorted(heavy & sys.modules.keys())) if heavy & sys.modules.keys() else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert modules
    assert done.returncode == 0, done.stderr


def test_the_runtime_is_imported_in_one_place() -> None:
    """The import contract cannot see an import by name; it too is in models.encoder alone."""
    by_name = re.compile(r"""import_module\(\s*["']onnxruntime""")
    found = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if by_name.search(path.read_text())
    ]
    assert found == ["models/encoder.py"]


def test_no_extra_brings_both_runtimes() -> None:
    """`cpu` and `gpu` hold one runtime each, and no other extra holds any."""
    runtimes = {
        extra: [r for r in map(_name, requirements) if r.startswith("onnxruntime")]
        for extra, requirements in EXTRAS.items()
    }
    assert {extra: found for extra, found in runtimes.items() if found} == {
        "cpu": ["onnxruntime"],
        "gpu": ["onnxruntime-gpu"],
    }


def test_constraints_are_plain_pins() -> None:
    """Every line is ``name==version``: no address, no file, no duplicate."""
    names = [_name(pin) for pin in _pins()]
    assert [pin for pin in _pins() if not re.fullmatch(r"[\w.-]+==[\w.]+", pin)] == []
    assert len(set(names)) == len(names)


def test_constraints_cover_what_is_declared() -> None:
    """Everything that pyproject.toml asks for, in any extra or group, is pinned."""
    groups = [r for group in PROJECT["dependency-groups"].values() for r in group]
    declared = [
        *PROJECT["project"]["dependencies"],
        *(requirement for extra in EXTRAS.values() for requirement in extra),
        *(requirement for requirement in groups if isinstance(requirement, str)),
    ]
    assert {_name(r) for r in declared} - {_name(pin) for pin in _pins()} == set()


def _pins() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def _name(requirement: str) -> str:
    """Return the normalised name of the package in a requirement."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[=<>~;\s]", requirement)[0]).lower()


@pytest.mark.slow
def test_the_wheel_holds_every_file_of_the_packages(tmp_path: Path) -> None:
    """What the repository tracks below the packages is shipped, data included, and nothing else."""
    tracked = _tracked_files()
    _copy(tracked, tmp_path / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    wheels = tmp_path / "wheels"
    subprocess.run([*command, "--wheel-dir", wheels, tmp_path / "source"], check=True)
    (wheel,) = wheels.glob("*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert shipped == {name for name in tracked if name.split("/")[0] in PACKAGES}


def _tracked_files() -> list[str]:
    paths = [*PACKAGES, "pyproject.toml", "README.md", "LICENSE"]
    command = ["git", "-c", "safe.directory=*", "ls-files", *paths]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines() if (ROOT / name).exists()]


def _copy(names: list[str], target: Path) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target / name)
