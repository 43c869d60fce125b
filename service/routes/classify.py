"""``POST /classify``: one image in, one decision out."""

import time
from typing import Final

from fastapi import APIRouter, Request
from pydantic_core import to_json
from starlette.responses import Response

from models.decision import Decision
from service.body_limit import most_bytes
from service.classifier import Classifier
from service.counting import Tally
from service.deadline import read_deadline
from service.deciding import decision_fields, first_of, query_of, read_top_k
from service.middleware import RequestRecord
from service.openapi import CLASSIFY
from service.problems import responses
from service.registry import Registry
from service.schemas import Classification
from service.settings import Settings
from service.uploads import read_image
from service.waiting import Stages

router = APIRouter()

PATH: Final = "/classify"


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
    with Tally(registry.metrics) as tally:
        classifier = registry.find(query_of(request).get("bundle"))
        tally.bundle = classifier.metrics.key
        record.facts["bundle"] = classifier.reference
        decision, stages = await _decide(request, classifier, settings=registry.settings)
        outcome = classifier.metrics.answered(decision)
        tally.note(outcome)
    registry.metrics.staged(stages)
    record.stages = stages.as_dict()
    record.facts |= {"outcome": outcome, "p_value": decision.p_value}
    # A `Classification`, which would take longer to validate than to write.
    answer = {
        "request_id": record.request_id,
        "bundle": classifier.reference,
        **decision_fields(classifier, decision),
    }
    return Response(to_json(answer), media_type="application/json")


async def _decide(
    request: Request, classifier: Classifier, *, settings: Settings
) -> tuple[Decision, Stages]:
    """Take a place in the queue, then read the upload, then wait for the answer."""
    record: RequestRecord = request.state.record
    top_k = read_top_k(request, default=settings.top_k)
    deadline = read_deadline(record.headers, most=settings.request_timeout)
    classifier.check_ready()
    started = time.monotonic()
    size = most_bytes(record.headers, limit=settings.max_body_bytes)
    with classifier.engine.reserve(size) as place:
        record.deadline = deadline
        data = await read_image(request)
        seconds = time.monotonic() - started
        decision, stages = await first_of(
            request,
            classifier.classify(data, place=place, top_k=top_k, deadline=deadline.at),
            deadline=deadline,
        )
    stages.read = seconds
    return decision, stages
