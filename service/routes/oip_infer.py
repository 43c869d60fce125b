"""``POST /v2/models/.../infer``: images in, decisions out, by the Open Inference Protocol."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from fastapi import APIRouter, Request
from starlette.responses import Response

from models.decision import Decision
from service.body_limit import most_bytes
from service.classifier import Classifier
from service.counting import Tally, note_images
from service.deadline import Deadline, read_deadline
from service.deciding import first_of
from service.errors import INTERNAL, BadRequest, Outcome, wire
from service.middleware import RequestRecord
from service.oip import HEADER_LENGTH, Inference, read_inference, write_inference
from service.oip_openapi import infer_extra
from service.openapi import BUNDLE_NAME, BUNDLE_VERSION
from service.problems import answer_problem, responses
from service.registry import Registry
from service.routes.oip import MODEL, TAGS, VERSION, find_model
from service.schemas import OipAnswer
from service.settings import Settings
from service.uploads import check_unencoded, read_body
from service.waiting import Hold, Stages

router = APIRouter(tags=TAGS)

_FEW: Final = 4
"""So many images of one request do not hold up those that come alone."""
_MAX_NAMED: Final = 10
"""How many images an error names."""
_INFER: Final[dict[str, Any]] = {
    "summary": "Classify or refuse images",
    "response_model": OipAnswer,
    "response_description": (
        "One element for each image in every output; as application/octet-stream if an output "
        "is wanted in binary"
    ),
    "responses": {
        200: {"content": {"application/octet-stream": {"schema": {"format": "binary"}}}},
        **responses(400, 404, 413, 415, 422, 500, 503, 504),
    },
}

Result = tuple[Decision, Stages] | BaseException
Future: TypeAlias = "asyncio.Future[tuple[Decision, Stages]]"


@router.post(f"{MODEL}/infer", openapi_extra=infer_extra(BUNDLE_NAME), **_INFER)
@router.post(f"{VERSION}/infer", openapi_extra=infer_extra(BUNDLE_VERSION), **_INFER)
async def infer(request: Request) -> Response:
    """Answer for all images of the request, or for none of them."""
    registry: Registry = request.app.state.registry
    record: RequestRecord = request.state.record
    with Tally(registry.metrics) as tally:
        classifier = find_model(request)
        tally.bundle = classifier.metrics.key
        record.facts["bundle"] = classifier.reference
        classifier.check_ready()
        deadline = read_deadline(request.headers, most=registry.settings.request_timeout)
        size = most_bytes(request.headers, limit=registry.settings.max_batch_bytes)
        with classifier.engine.hold(size) as hold:
            record.deadline = deadline
            asked = await _read(request, settings=registry.settings)
            hold.shrink(record.bytes_in)
            read = record.seconds
            await note_images(record, tally, len(asked.images))
            futures = _queue(asked.images, classifier, hold=hold, deadline=deadline)
            everything = asyncio.gather(*futures, return_exceptions=True)
            try:
                results = await first_of(request, everything, deadline=deadline)
            finally:
                for future in futures:
                    future.cancel()
        for result in results:
            tally.note(_outcome(classifier, result))
        if errors := {i: r for i, r in enumerate(results) if isinstance(r, Exception)}:
            return await _answer_none(request, errors, images=len(results))
    answers = [result for result in results if not isinstance(result, BaseException)]
    record.stages = _note_stages(registry, [stages for _, stages in answers], read=read)
    record.facts["rejected"] = tally.outcomes["rejected"]
    return _answer(classifier, asked, [decision for decision, _ in answers])


async def _read(request: Request, *, settings: Settings) -> Inference:
    check_unencoded(request.headers)
    body = await read_body(request)
    return await asyncio.to_thread(  # base64 of many images would hold up everybody else
        read_inference,
        body,
        header_length=_header_length(request),
        most=settings.max_batch_images,
        limit=settings.max_body_bytes,
    )


def _queue(
    images: Sequence[bytes], classifier: Classifier, *, hold: Hold, deadline: Deadline
) -> list[Future]:
    """Queue a few images beside single ones, all at once or none; more wait as batches do."""
    engine = classifier.engine
    if len(images) <= min(_FEW, engine.config.queue_images):
        places = hold.split([len(image) for image in images])
        return [
            classifier.classify(image, place=place, top_k=1, deadline=deadline.at)
            for image, place in zip(images, places, strict=True)
        ]
    window = asyncio.Semaphore(engine.batch_window)

    async def in_turn(image: bytes) -> tuple[Decision, Stages]:
        async with window:
            with await engine.place_for_batch(len(image)) as place:
                future = classifier.classify(image, place=place, top_k=1, deadline=deadline.at)
            return await future

    return [asyncio.ensure_future(in_turn(image)) for image in images]


def _header_length(request: Request) -> int | None:
    text = request.headers.get(HEADER_LENGTH)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise BadRequest(f"{HEADER_LENGTH} must be a number of bytes, got {text[:50]!r}.")
    return int(text)


def _outcome(classifier: Classifier, result: Result) -> Outcome:
    if isinstance(result, BaseException):
        return wire(result).outcome
    return classifier.metrics.answered(result[0])


async def _answer_none(
    request: Request, errors: Mapping[int, Exception], *, images: int
) -> Response:
    """Answer with the error of one image, and name all that have one.

    It is the first one that is the sender's to mend, so that nobody tries in vain again.
    """
    index = min(errors, key=lambda i: (wire(errors[i]).outcome != "invalid", i))
    error = errors[index]
    if images == 1 or wire(error) is INTERNAL:  # the latter is logged, and its text stays here
        raise error
    text = _in_words(index, list(errors), images, error)
    return await answer_problem(request, error, extra={"detail": text, "error": text})


def _in_words(index: int, bad: list[int], images: int, error: Exception) -> str:
    more = f" and {len(bad) - _MAX_NAMED} more" if len(bad) > _MAX_NAMED else ""
    named = ", ".join(str(i) for i in bad[:_MAX_NAMED]) + more
    return (
        f"Of the {images} images, counted from 0, these have no answer, and so the request has "
        f"none: {named}. Image {index}: {error}"
    )


def _note_stages(registry: Registry, stages: Sequence[Stages], *, read: float) -> dict[str, float]:
    """Note the times of each image, and return the longest of each stage."""
    for each in stages:
        each.read = read
        registry.metrics.staged(each)
    times = [each.as_dict() for each in stages]
    return {stage: max(each[stage] for each in times) for stage in times[0]}


def _answer(classifier: Classifier, asked: Inference, decisions: Sequence[Decision]) -> Response:
    manifest, threshold = classifier.bundle.manifest, classifier.bundle.threshold
    head: dict[str, Any] = {
        "model_name": manifest.name,
        "model_version": manifest.version,
        **({} if asked.id is None else {"id": asked.id}),
        "parameters": {
            "score": manifest.score.name,
            "threshold": threshold.value,
            "p_cut": threshold.p_cut,
        },
    }
    body, header_length = write_inference(head, decisions, asked.outputs)
    if header_length is None:
        return Response(body, media_type="application/json")
    headers = {HEADER_LENGTH: str(header_length)}
    return Response(body, media_type="application/octet-stream", headers=headers)
