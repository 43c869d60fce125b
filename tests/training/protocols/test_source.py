"""Source: each image is read once, whatever it counts as."""

from __future__ import annotations

from pathlib import Path

from tests.training.protocols.roots import fill
from training.listing import Entry
from training.protocols.source import Source


def test_an_image_may_count_as_another_class_next_time(tmp_path: Path) -> None:
    """Namesakes among ImageNet's classes do, by the seed; the file is not read again."""
    fill(tmp_path, ["missile"], 1)
    path = tmp_path / "missile" / "0.bmp"
    source = Source(tmp_path)
    (first,) = source.read([Entry(path=path, label="n0", domain="a")])
    path.unlink()
    (second,) = source.read([Entry(path=path, label="n1", domain="b")])
    assert (first.label, first.domain) == ("n0", "a")
    assert (second.label, second.domain) == ("n1", "b")
    assert first.digest == second.digest


def test_the_same_image_twice_is_two_items(tmp_path: Path) -> None:
    """As the published code may draw it."""
    fill(tmp_path, ["dog"], 1)
    entry = Entry(path=tmp_path / "dog" / "0.bmp", label="dog")
    assert len(Source(tmp_path).read([entry, entry])) == 2
