"""The metrics of several processes: each writes its own to files, any of them reads all.

prometheus_client keeps values in files of the folder that ``PROMETHEUS_MULTIPROC_DIR`` names when
it is first imported. Counters and histograms of a process outlive it; its gauges are removed.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Gauge, Metric, generate_latest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
RECEIVED: Final = "croft_images_received_total"
IMAGES: Final = "croft_images_total"
_LOST: Final = {"bundle": "", "version": "", "outcome": "failed"}


def is_shared() -> bool:
    """Whether this process writes its metrics for others to read."""
    return FOLDER in os.environ


def exposition(current: Iterable[Gauge]) -> bytes:
    """Return the metrics of all processes, added up, in the text format of Prometheus.

    Args:
        current: gauges of which only the series that this process has are shown, since a file
            never forgets one.
    """
    registry = CollectorRegistry()
    registry.register(_Merged({gauge._name: gauge for gauge in current}))
    return generate_latest(registry)


def bury(pid: int, folder: Path) -> None:
    """Forget the gauges of a process that has ended, and count the images that died with it.

    What it had received and not answered would else be received for ever, without an outcome.
    """
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    file = folder / f"counter_{pid}.db"
    if not file.exists():  # it ended before it had metrics
        return
    counters = MmapedDict(str(file))  # type: ignore[no-untyped-call]
    try:
        _count_lost(counters)
    finally:
        counters.close()  # type: ignore[no-untyped-call]


def _count_lost(counters: MmapedDict) -> None:
    in_flight, failed, key_of_failed = 0.0, 0.0, None
    for key, value, _ in counters.read_all_values():  # type: ignore[no-untyped-call]
        _, name, labels, _ = json.loads(key)
        if name == RECEIVED:
            in_flight += value
        elif name == IMAGES:
            in_flight -= value
            if labels == _LOST:
                failed, key_of_failed = value, key
    if key_of_failed is not None and in_flight > 0:
        counters.write_value(key_of_failed, failed + in_flight, 0.0)  # type: ignore[no-untyped-call]


class _Merged:
    """The metrics of all files."""

    def __init__(self, current: Mapping[str, Gauge]) -> None:
        self._current = current

    def collect(self) -> Iterator[Metric]:
        """Yield them, of some gauges only those series that this process has as well."""
        files = _written(Path(os.environ[FOLDER]))
        for metric in MultiProcessCollector.merge(files):  # type: ignore[no-untyped-call]
            if metric.name in self._current:
                (own,) = self._current[metric.name].collect()
                known = {frozenset(sample.labels.items()) for sample in own.samples}
                metric.samples = [
                    sample for sample in metric.samples if frozenset(sample.labels.items()) in known
                ]
            yield metric


def _written(folder: Path) -> list[str]:
    """Return the files that hold anything: one is empty for a moment when a process begins it."""
    files = []
    for file in folder.glob("*.db"):
        with suppress(FileNotFoundError):  # the gauges of a process that has just ended
            if file.stat().st_size:
                files.append(str(file))
    return files
