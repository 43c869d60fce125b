"""The Grafana dashboards: made here, committed as JSON.

    python deploy/grafana/build.py            # write dashboards/*.json
    python deploy/grafana/build.py --check    # fail if a file is not what this makes

Plain dictionaries: Grafana's own SDK for Python is alpha and bound to a minor version of Grafana.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from instances import instances
from open_set import open_set
from overview import overview

FOLDER: Final = Path(__file__).parent / "dashboards"
BOARDS: Final = {
    "overview.json": overview,
    "open-set.json": open_set,
    "instances.json": instances,
}


def main(arguments: Sequence[str]) -> str | None:
    """Write the boards, or compare them; return what is wrong."""
    if list(arguments) not in ([], ["--check"]):
        return f"Usage: build.py [--check], but given: {' '.join(arguments)}"
    made = {name: json.dumps(make(), indent=1) + "\n" for name, make in BOARDS.items()}
    if arguments:
        return _differences(made)
    for name, text in made.items():
        (FOLDER / name).write_text(text)
    return None


def _differences(made: dict[str, str]) -> str | None:
    found = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    wrong = sorted(name for name in made.keys() | found.keys() if made.get(name) != found.get(name))
    if not wrong:
        return None
    return f"Not what build.py makes: {', '.join(wrong)}. Run python deploy/grafana/build.py."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
