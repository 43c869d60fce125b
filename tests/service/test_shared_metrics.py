"""Metrics that several processes write to files."""

from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from service.shared_metrics import FOLDER, bury, exposition

HELP = "Images."


def test_a_file_that_is_just_begun_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks at the moment when another process starts gets an answer all the same."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    _write(tmp_path / "counter_1.db", {("x_total", ()): 2.0})
    (tmp_path / "counter_2.db").touch()
    (tmp_path / "gauge_livesum_2.db").touch()
    assert b"x_total 2.0" in exposition([])


def test_what_a_dead_process_had_in_flight_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, and on top of what had failed before."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    labels = ("bundle", "version", "outcome")
    of_none, of_a = ("", "", "failed"), ("a", "1", "accepted")
    counters = {
        ("croft_images_received_total", ()): 10.0,
        ("croft_images_total", tuple(zip(labels, of_none, strict=True))): 1.0,
        ("croft_images_total", tuple(zip(labels, of_a, strict=True))): 6.0,
    }
    _write(tmp_path / "counter_7.db", counters)
    (tmp_path / "gauge_livesum_7.db").touch()
    for _ in range(2):
        bury(7, tmp_path)
        text = exposition([]).decode()
        assert 'croft_images_total{bundle="",outcome="failed",version=""} 4.0' in text
        assert not (tmp_path / "gauge_livesum_7.db").exists()


def test_a_process_without_metrics_is_buried_too(tmp_path: Path) -> None:
    """It died before it had any."""
    bury(3, tmp_path)
    assert list(tmp_path.iterdir()) == []


def _write(file: Path, values: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> None:
    counters = MmapedDict(str(file))  # type: ignore[no-untyped-call]
    for (name, labels), value in values.items():
        names, given = [n for n, _ in labels], [v for _, v in labels]
        key = mmap_key(name.removesuffix("_total"), name, names, given, HELP)
        counters.write_value(key, value, 0.0)  # type: ignore[no-untyped-call]
    counters.close()  # type: ignore[no-untyped-call]
