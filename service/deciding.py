"""What routes that decide about images share: the query, the wait, the decision as it is sent."""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, TypeVar

from starlette.requests import Request

from models.decision import Decision
from service.classifier import Classifier
from service.deadline import Deadline
from service.errors import BadRequest, ClientGone

MAX_TOP_K: Final = 1000
T = TypeVar("T")


def query_of(request: Request) -> Mapping[str, str]:
    """Return the query; most requests have none, and to parse it takes longer than to see that."""
    return request.query_params if request.scope["query_string"] else {}


def read_top_k(request: Request, *, default: int) -> int:
    """Return how many candidates the query asks for.

    Raises:
        BadRequest: not an integer within the limits.
    """
    text = query_of(request).get("top_k")
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
        "score": {
            "name": bundle.manifest.score.name,
            "value": decision.score,
            "threshold": bundle.threshold.value,
        },
        "p_value": decision.p_value,
        "p_cut": bundle.threshold.p_cut,
        "candidates": [
            {"label": c.label, "index": c.index, "probability": c.probability}
            for c in decision.candidates
        ],
    }


async def first_of(request: Request, future: "asyncio.Future[T]", *, deadline: Deadline) -> T:
    """Wait for the answer, for the client to leave or for the deadline, whichever is first.

    Each of the three settles the same future: a task for each would cost more than all else here.
    """
    sender = request.state.record.sender
    leave = partial(_leave, future)
    sender.on_leave(leave)
    timer = future.get_loop().call_later(deadline.left, _expire, future, deadline)
    try:
        return await future
    finally:
        sender.forget(leave)
        timer.cancel()
        del future, leave  # an error's traceback has this frame, and the future has the error


def _leave(future: "asyncio.Future[Any]") -> None:
    _fail(future, ClientGone("The client left before the answer was there."))


def _expire(future: "asyncio.Future[Any]", deadline: Deadline) -> None:
    _fail(future, deadline.exceeded("while it waited for its answer"))


def _fail(future: "asyncio.Future[T]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
