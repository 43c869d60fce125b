"""What the demo's fresh traffic showed, beside what the bundle promised."""

from collections.abc import Sequence
from dataclasses import dataclass

from croft.traffic import Sent
from models.threshold import Threshold
from training.calibrate import band


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answers by kind of image, and what they are held to."""

    known: list[Sent]
    """Known objects in the calibrated styles: what the promise is about."""
    shifted: list[Sent]
    """Known objects in styles never trained on: shown, not promised."""
    unknown: list[Sent]
    """Objects never trained on."""
    textures: list[Sent]
    """Pictures of no object at all."""
    broken: Sent
    """A file that was cut off."""
    expected: float
    """Share of known images refused on average: rank / (n + 1)."""
    band: tuple[int, int]
    """How many of the known images may be refused: least, most."""
    catch_floor: float
    """Share of unknown objects that must be refused."""

    @property
    def passed(self) -> bool:
        """Whether refusals lie within their band, unknowns are caught, the broken file named."""
        low, high = self.band
        return (
            low <= rejected(self.known) <= high
            and rejected(self.unknown) >= self.catch_floor * len(self.unknown)
            and self.broken.status == 422
        )


def rejected(sent: Sequence[Sent]) -> int:
    """Return how many images the service called unknown."""
    return sum(s.rejected for s in sent)


def judge(
    threshold: Threshold,
    traffic: dict[str, list[Sent]],
    *,
    confidence: float,
    catch_floor: float,
) -> Verdict:
    """Hold the answers against the bundle's threshold and the floor.

    Args:
        threshold: of the bundle that answered.
        traffic: answers under ``known``, ``shifted``, ``unknown``, ``textures`` and ``broken``.
        confidence: coverage of the band that refusals of known images must lie in.
        catch_floor: share of unknown objects that must be refused.
    """
    return Verdict(
        known=traffic["known"],
        shifted=traffic["shifted"],
        unknown=traffic["unknown"],
        textures=traffic["textures"],
        broken=traffic["broken"][0],
        expected=threshold.p_cut,
        band=band(threshold, len(traffic["known"]), confidence=confidence),
        catch_floor=catch_floor,
    )
