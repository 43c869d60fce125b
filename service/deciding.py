"""What the routes that decide about images share: the query, and the decision as it is sent."""

from typing import Any, Final

from starlette.requests import Request

from models.decision import Decision
from service.classifier import Classifier
from service.errors import BadRequest
from service.schemas import CandidateBody, ScoreBody

MAX_TOP_K: Final = 1000


def read_top_k(request: Request, *, default: int) -> int:
    """Return how many candidates the query asks for.

    Raises:
        BadRequest: not an integer within the limits.
    """
    text = request.query_params.get("top_k")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_TOP_K):
        raise BadRequest(f"`top_k` must be an integer from 1 to {MAX_TOP_K}, got {text[:50]!r}.")
    return int(text)


def decision_fields(classifier: Classifier, decision: Decision) -> dict[str, Any]:
    """Return the fields of ``service.schemas.DecisionBody``."""
    bundle = classifier.bundle
    return {
        "label": decision.label,
        "rejected": decision.rejected,
        "energy": decision.energy,
        "score": ScoreBody(
            name=bundle.manifest.score.name, value=decision.score, threshold=bundle.threshold.value
        ),
        "p_value": decision.p_value,
        "p_cut": bundle.threshold.p_cut,
        "candidates": [
            CandidateBody(label=c.label, index=c.index, probability=c.probability)
            for c in decision.candidates
        ],
    }
