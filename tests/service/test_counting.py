"""Images are counted on arrival and once by what became of them, however their request ends."""

import asyncio

import pytest

from service.counting import Tally
from service.errors import ClientGone, Overloaded
from service.metrics import Metrics
from tests.service.counting import outcomes, received


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (Overloaded("full", retry_after=1), "shed"),
        (ClientGone("gone"), "cancelled"),
        (asyncio.CancelledError(), "cancelled"),
        (RuntimeError("a bug"), "failed"),
        (None, "failed"),
    ],
)
def test_what_nobody_noted_is_counted_by_the_end(error: BaseException | None, outcome: str) -> None:
    """Of three images one was noted; the others share the request's lot."""
    metrics = Metrics()

    def request() -> None:
        with Tally(metrics, 3) as tally:
            assert received(metrics.registry) == 3
            tally.bundle = ("a", "1")
            tally.note("accepted")
            assert outcomes(metrics.registry) == {"accepted": 1}
            if error is not None:
                raise error

    if error is None:
        request()
    else:
        with pytest.raises(type(error)):
            request()
    assert outcomes(metrics.registry) == {"accepted": 1, outcome: 2}
    labels = {"bundle": "a", "version": "1", "outcome": outcome}
    assert metrics.registry.get_sample_value("croft_images_total", labels) == 2


def test_one_image_stands_for_all_until_their_number_is_known() -> None:
    """The first of them is not counted again."""
    metrics = Metrics()
    with Tally(metrics) as tally:
        assert received(metrics.registry) == 1
        tally.arrived(4)
        assert received(metrics.registry) == 4
        for _ in range(4):
            tally.note("rejected")
    assert outcomes(metrics.registry) == {"rejected": 4}
