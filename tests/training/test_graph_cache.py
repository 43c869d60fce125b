"""A graph is made once for a key, and only a good one stays."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.encoder import file_digest
from models.errors import BackboneError
from training.graph_cache import make_once


def test_a_graph_is_made_once_for_a_key(tmp_path: Path) -> None:
    """The second time the file is there; another key or exporter has another file."""
    made: list[Path] = []

    def make(path: Path) -> None:
        made.append(path)
        path.write_bytes(b"graph")

    first = make_once(tmp_path, key=("weights",), exporter="torch 1", make=make)
    again = make_once(tmp_path, key=("weights",), exporter="torch 1", make=make)
    others = [
        make_once(tmp_path, key=("other",), exporter="torch 1", make=make),
        make_once(tmp_path, key=("weights",), exporter="torch 2", make=make),
    ]
    assert first == again
    assert len(made) == 3
    assert len({first.path, *(other.path for other in others)}) == 3
    assert first.digest == file_digest(first.path)
    assert (first.exporter, first.precision) == ("torch 1", "fp32")


def test_a_graph_that_is_no_good_leaves_nothing(tmp_path: Path) -> None:
    """What fails its check is not found by the next run."""

    def make(path: Path) -> None:
        path.write_bytes(b"bad")
        raise BackboneError("differs")

    with pytest.raises(BackboneError, match="differs"):
        make_once(tmp_path, key=("weights",), exporter="torch 1", make=make)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
