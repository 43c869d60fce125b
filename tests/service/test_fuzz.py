"""Damaged images and requests against a real service: a short run of ``benchmarks.fuzz``."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.fuzz import Found, fuzz
from benchmarks.fuzzing.client import CLOSED, HUNG, LEFT, Tally, send
from benchmarks.fuzzing.mutants import KINDS, Mutant, mutant, request
from benchmarks.fuzzing.seeds import seeds
from benchmarks.load.accounts import Accounts
from models.decode import decode, formats
from tests.bundles import colour_image, tiny_bundle
from tests.helpers import make_image
from tests.service.processes import served

COUNT = 600
IMAGES = [colour_image("red"), colour_image("white", size=90)]


@pytest.mark.slow
def test_nothing_damaged_gets_a_5xx_hangs_or_is_lost(tmp_path: Path) -> None:
    """Every request is answered with 2xx or 4xx, each image counted once, and no error logged."""
    whole = Mutant(request(IMAGES[0], b"image/jpeg"), "whole image")
    odd = Mutant(request(_tiff_that_pillow_calls_an_error(), b"image/tiff"), "damaged image")
    with served(tiny_bundle(tmp_path / "colours"), tmp_path / "log") as service:
        found = fuzz(service.port, service.process.pid, IMAGES, count=COUNT, seed=5)
        assert send(service.port, odd)[0] == 422
        assert send(service.port, whole)[0] == 200
    log = (tmp_path / "log").read_text()
    assert '"level":"info"' in log
    assert '"level":"error"' not in log
    assert found.violations() == []
    assert found.tally.statuses.total() == COUNT
    assert set(found.tally.statuses) >= {200, 400, 413, 415, 422}
    assert found.accounts.received > 0.9 * COUNT


def _tiff_that_pillow_calls_an_error() -> bytes:
    """Return one whose tag SamplesPerPixel says 2048 in place of 3."""
    tag = bytes.fromhex("1501 0300 01000000")
    before, found, after = make_image(format="TIFF").partition(tag)
    return before + found + b"\x00\x08" + after[2:]


GOOD = Found(
    tally=Tally(Counter({200: 9_000, LEFT: 1_000}), from_app=9_000),
    accounts=Accounts(10_000, {"accepted": 9_000, "cancelled": 1_000}),
    rss_mib=[100.0] * 50,
    seconds=1.0,
)


def test_a_good_run_has_no_violation() -> None:
    """The run that the next test spoils."""
    assert GOOD.violations() == []


@pytest.mark.parametrize(
    ("spoilt", "violation"),
    [
        (
            replace(GOOD, accounts=Accounts(10_001, {"accepted": 9_000, "cancelled": 1_000})),
            "10001 images received, 10000 with an outcome",
        ),
        (
            replace(GOOD, accounts=Accounts(8_999, {"accepted": 8_999})),
            "8999 images answered, the client saw 9000 (1000 left)",
        ),
        (
            replace(GOOD, accounts=Accounts(10_001, {"accepted": 10_001})),
            "10001 images answered, the client saw 9000 (1000 left)",
        ),
        (replace(GOOD, rss_mib=[100.0] * 40 + [130.0] * 10), "memory grew from 100 to 130 MiB"),
    ],
)
def test_a_bad_run_has(spoilt: Found, violation: str) -> None:
    """Each kind of violation is named."""
    assert spoilt.violations() == [violation]


@pytest.mark.parametrize(
    ("status", "kind", "bad"),
    [
        (500, "noise", True),
        (504, "chunked", True),
        (HUNG, "noise", True),
        (CLOSED, "noise", True),
        (CLOSED, "chunked", False),
        (LEFT, "wrong length", False),
        (422, "noise", False),
    ],
)
def test_what_counts_as_bad(status: int, kind: str, bad: bool) -> None:
    """A 5xx always; no answer only where the request was whole HTTP."""
    tally = Tally()
    tally.add(Mutant(b"", kind), status, from_app=False)
    assert bool(tally.bad) is bad


def test_seeds_cover_every_format_and_are_whole() -> None:
    """What is damaged is of every format that the service reads."""
    files = seeds(IMAGES[:1])
    assert {decode(file).mode for file in files} == {"RGB"}
    starts = {file[:4] for file in files} | {file[4:12] for file in files}
    assert len(files) >= 2 * len(formats())
    assert starts >= {b"\xff\xd8\xff\xe0", b"\x89PNG", b"RIFF", b"GIF8", b"II*\0", b"ftypavif"}


def test_mutants_are_the_same_for_the_same_seed_and_of_every_kind() -> None:
    """A violation can be repeated."""
    files = seeds(IMAGES[:1])
    some = [mutant(index, seed=3, files=files) for index in range(400)]
    assert some == [mutant(index, seed=3, files=files) for index in range(400)]
    assert some != [mutant(index, seed=4, files=files) for index in range(400)]
    assert {m.kind for m in some} == set(KINDS)
