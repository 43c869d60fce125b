"""``POST /classify``: one image in, one decision out."""

import asyncio
import time
from dataclasses import asdict
from typing import Final, TypeVar

from fastapi import APIRouter, Request
from starlette.responses import Response

from models.decision import Decision
from service.classifier import Classifier
from service.deadline import Deadline, read_deadline
from service.errors import BadRequest, ClientGone
from service.middleware import RequestRecord, declared_length
from service.openapi import CLASSIFY, MAX_TOP_K
from service.problems import responses
from service.registry import Registry
from service.schemas import CandidateBody, Classification, ScoreBody
from service.settings import Settings
from service.uploads import read_image
from service.waiting import Stages

router = APIRouter()

PATH: Final = "/classify"
T = TypeVar("T")


@router.post(
    PATH,
    summary="Classify one image, or refuse it",
    response_model=Classification,
    response_description="The decision: a class, or that it is none of them",
    responses=responses(400, 404, 413, 415, 422, 500, 503, 504),
    openapi_extra=CLASSIFY,
    tags=["images"],
)
async def classify(request: Request) -> Response:
    """Answer 200 also when the image is rejected: that is an answer, not an error."""
    registry: Registry = request.app.state.registry
    record: RequestRecord = request.state.record
    with registry.metrics.counted_image() as tally:
        classifier = registry.find(request.query_params.get("bundle"))
        tally.bundle = classifier.metrics.key
        record.facts["bundle"] = classifier.reference
        decision, stages = await _decide(request, classifier, settings=registry.settings)
        tally.outcome = classifier.metrics.answered(decision)
    registry.metrics.staged(stages)
    record.stages = asdict(stages)
    record.facts |= {"outcome": tally.outcome, "p_value": decision.p_value}
    content = _body(record.request_id, classifier, decision).model_dump_json()
    return Response(content, media_type="application/json")


async def _decide(
    request: Request, classifier: Classifier, *, settings: Settings
) -> tuple[Decision, Stages]:
    """Take a place in the queue, then read the upload, then wait for the answer."""
    top_k = _top_k(request, default=settings.top_k)
    deadline = read_deadline(request.headers, most=settings.request_timeout)
    classifier.check_ready()
    started = time.monotonic()
    limit = settings.max_body_bytes
    with classifier.engine.reserve(min(limit, declared_length(request.headers) or limit)) as place:
        try:
            async with asyncio.timeout(deadline.left):
                data = await read_image(request)
        except TimeoutError as error:
            raise deadline.exceeded("while its body was uploaded") from error
        seconds = time.monotonic() - started
        future = classifier.classify(data, place=place, top_k=top_k, deadline=deadline.at)
    decision, stages = await _first_of(request, future, deadline=deadline)
    stages.read = seconds
    return decision, stages


async def _first_of(request: Request, future: "asyncio.Future[T]", *, deadline: Deadline) -> T:
    """Wait for the answer, for the client to leave or for the deadline, whichever is first.

    Each of the three settles the same future: tasks that wait for one another would cost more
    than all else here.
    """
    gone = asyncio.ensure_future(_fail_when_client_leaves(request, future))
    timer = future.get_loop().call_later(
        deadline.left, lambda: _fail(future, deadline.exceeded("while it waited for its answer"))
    )
    try:
        return await future
    finally:
        gone.cancel()
        timer.cancel()


async def _fail_when_client_leaves(request: Request, future: "asyncio.Future[T]") -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    _fail(future, ClientGone("The client left before the answer was there."))


def _fail(future: "asyncio.Future[T]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _top_k(request: Request, *, default: int) -> int:
    text = request.query_params.get("top_k")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_TOP_K):
        raise BadRequest(f"`top_k` must be an integer from 1 to {MAX_TOP_K}, got {text[:50]!r}.")
    return int(text)


def _body(request_id: str, classifier: Classifier, decision: Decision) -> Classification:
    bundle = classifier.bundle
    return Classification(
        request_id=request_id,
        bundle=classifier.reference,
        label=decision.label,
        rejected=decision.rejected,
        energy=decision.energy,
        score=ScoreBody(
            name=bundle.manifest.score.name, value=decision.score, threshold=bundle.threshold.value
        ),
        p_value=decision.p_value,
        p_cut=bundle.threshold.p_cut,
        candidates=[
            CandidateBody(label=c.label, index=c.index, probability=c.probability)
            for c in decision.candidates
        ],
    )
