"""The pictures of the dashboards in docs/monitoring.md: drawn from their queries, not by Grafana.

    python -m benchmarks.dashboards [--images docs/images]

Two replicas of the service with the shipped bundle and a Prometheus with the shipped rules, their
hour and day shortened, see four minutes of Toybox images: known objects in the styles that the
bundle was calibrated on, then in other styles, then every second object an unknown one; now and
then a broken file. Then every query of every panel is asked, and each board drawn.
Needs Debian's package prometheus.
"""

import argparse
import io
import json
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from benchmarks.boards.drawing import Answers, Span, draw_board
from benchmarks.boards.grafana import named, substitute
from benchmarks.boards.prometheus import Windows, query, query_range, watching
from benchmarks.processes import free_port
from croft.demo import CALIBRATED, SHIFTED
from croft.traffic import classify, running_service
from models.errors import ConfigError
from service.loading import shipped_bundle
from training.progress import bar, say
from training.toybox.images import KNOWN, QUALITY, UNKNOWN, render

BOARDS: Final = Path(__file__).parents[1] / "deploy" / "grafana" / "dashboards"
HOUR_SECONDS: Final = 30
DAY_SECONDS: Final = 120
RATE_SECONDS: Final = 15
PER_SECOND: Final = 15
SEED: Final = 2027
"""No seed of the shipped bundle's images, of the demo's or of the drift study's."""

Job = tuple[str, str, int]
"""The object, style and number of an image."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the traffic."""

    name: str
    seconds: int
    styles: Sequence[str] = CALIBRATED
    unknown: float = 0.0


PHASES: Final = (
    Phase("known objects", 130),
    Phase("other styles", 50, styles=SHIFTED),
    Phase("half of them unknown", 50, unknown=0.5),
)
BROKEN: Final = 0.01
"""The share of files that end too early."""


def plan(phases: Sequence[Phase]) -> Iterator[Job]:
    """Yield every image, in order."""
    rng = np.random.default_rng(SEED)
    styles = [phase for phase in phases for _ in range(phase.seconds * PER_SECOND)]
    for number, phase in enumerate(styles):
        names = UNKNOWN if rng.random() < phase.unknown else KNOWN
        yield str(rng.choice(names)), str(rng.choice(phase.styles)), number


def drawn(jobs: Sequence[Job]) -> list[bytes]:
    """Return every image as JPEG, a few of them cut off."""
    with Pool() as pool, bar("drawing", "image") as progress:
        found = []
        for data in pool.imap(_jpeg, jobs, chunksize=20):
            found.append(data)
            progress(len(found), len(jobs))
    broken_N = np.random.default_rng(SEED).random(len(found)) < BROKEN
    return [data[:9] if cut else data for data, cut in zip(found, broken_N, strict=True)]


def _jpeg(job: Job) -> bytes:
    name, style, number = job
    file = io.BytesIO()
    Image.fromarray(render(name, style, seed=SEED, index=number)).save(
        file, "JPEG", quality=QUALITY
    )
    return file.getvalue()


def send(images: Sequence[bytes], ports: Sequence[int]) -> Counter[int]:
    """Send the images to the services in turn, at the planned rate, and count the statuses."""
    begin = time.monotonic()

    def post(number: int) -> int:
        time.sleep(max(0.0, begin + number / PER_SECOND - time.monotonic()))
        return classify(ports[number % len(ports)], "", "", images[number]).status

    with ThreadPoolExecutor(8) as clients, bar("sending", "image") as progress:
        statuses: Counter[int] = Counter()
        for done, status in enumerate(clients.map(post, range(len(images))), start=1):
            statuses[status] += 1
            progress(done, len(images))
    return statuses


def answers(prometheus: str, board: dict[str, Any], span: Span) -> Answers:
    """Ask every query of every panel."""
    return {
        (panel["id"], target["refId"]): named(target, _ask(prometheus, target, span))
        for panel in board["panels"]
        for target in panel["targets"]
    }


def _ask(prometheus: str, target: dict[str, Any], span: Span) -> list[dict[str, Any]]:
    length = f"{round(span.end - span.start)}s"
    expression = substitute(target["expr"], interval=f"{RATE_SECONDS}s", span=length)
    if target["instant"]:
        return query(prometheus, expression, at=span.end)
    # A cell of a heatmap counts the images since the one before it.
    step = RATE_SECONDS if target["format"] == "heatmap" else 1
    return query_range(prometheus, expression, start=span.start, end=span.end, step=step)


def note(phases: Sequence[Phase]) -> str:
    """Return what a picture says of itself."""
    begins = np.cumsum([phase.seconds for phase in phases]) - [phase.seconds for phase in phases]
    times = [
        f"{begin // 60}:{begin % 60:02d} {phase.name}"
        for begin, phase in zip(begins, phases, strict=True)
    ]
    return (
        "Drawn from the panels' queries by benchmarks/dashboards.py, not by Grafana. Windows "
        f"shortened: an hour is {HOUR_SECONDS} seconds, a day is {DAY_SECONDS} seconds, rates are "
        f"over {RATE_SECONDS} seconds, alerts wait for 1 second.\nToybox images, from "
        f"{', '.join(times)}; {BROKEN:.0%} of the files are broken."
    )


def run(folder: Path, images: Sequence[bytes], pictures: Path) -> Counter[int]:
    """Serve, watch, send, ask and draw; return how many answers had each status.

    Raises:
        ConfigError: Prometheus is not installed.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise ConfigError("prometheus is not installed; on Debian: apt-get install prometheus")
    ports = [free_port(), free_port()]
    windows = Windows(hour=f"{HOUR_SECONDS}s", day=f"{DAY_SECONDS}s")
    targets = [f"127.0.0.1:{port}" for port in ports]
    with ExitStack() as stack:
        for port in ports:
            log = folder / f"{port}.log"
            stack.enter_context(running_service(shipped_bundle(), port=port, log=log))
        prometheus = stack.enter_context(watching(targets, windows, program=program, folder=folder))
        time.sleep(3)  # a counter's growth is seen only from the second scrape on
        start = time.time()
        statuses = send(images, ports)
        _draw(prometheus, Span(start, time.time()), pictures)
    return statuses


def _draw(prometheus: str, span: Span, pictures: Path) -> None:
    for path in BOARDS.glob("*.json"):
        board = json.loads(path.read_text())
        figure = draw_board(board, answers(prometheus, board, span), span, note=note(PHASES))
        figure.savefig(pictures / f"dashboard-{path.stem}.png", metadata={"Software": None})


def main() -> int:
    """Make the pictures; 1 if an image had another answer than it should."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    args = parser.parse_args()
    images = drawn(list(plan(PHASES)))
    with tempfile.TemporaryDirectory() as folder:
        statuses = run(Path(folder), images, args.images)
    say(f"Answers by status: {dict(statuses)}")
    return 0 if statuses.keys() <= {200, 422} else 1


if __name__ == "__main__":
    raise SystemExit(main())
