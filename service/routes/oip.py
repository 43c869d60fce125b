"""``/v2``: the Open Inference Protocol over HTTP, for clients that speak it already."""

import asyncio
import importlib.metadata
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, TypeAlias

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from models.decision import Decision
from service.classifier import Classifier
from service.deadline import Deadline, read_deadline
from service.deciding import first_of
from service.errors import BadRequest, ClientGone, Draining, Outcome, wire
from service.metrics import Tallies
from service.middleware import RequestRecord, declared_length
from service.oip import HEADER_LENGTH, INPUT, OUTPUTS, Inference, read_inference, write_inference
from service.oip_openapi import infer_extra
from service.openapi import BUNDLE_NAME, BUNDLE_VERSION
from service.problems import problem_response, responses
from service.registry import Registry
from service.routes.health import why_not_ready
from service.schemas import (
    OipAnswer,
    OipHealth,
    OipIndexEntry,
    OipModel,
    OipModelReady,
    OipServer,
    OipTensor,
)
from service.uploads import check_unencoded
from service.waiting import Stages

router = APIRouter(tags=["open inference protocol"])

_PLATFORM: Final = "croft_bundle"
_MAX_NAMED: Final = 10
_EXTENSIONS: Final = ["binary_tensor_data"]
_MODEL: Final = "/v2/models/{name}"
_VERSION: Final = "/v2/models/{name}/versions/{version}"
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


@router.get("/v2", summary="The server", response_description="Its name and what it can do")
@router.get("/v2/", include_in_schema=False)
async def server() -> OipServer:
    """Return what the server is."""
    version = importlib.metadata.version("croft-ood")
    return OipServer(name="croft", version=version, extensions=_EXTENSIONS)


@router.get(
    "/v2/health/live",
    summary="Liveness: is every worker alive?",
    response_model=OipHealth,
    response_description="All workers are alive",
    responses={503: {"model": OipHealth, "description": "A worker died or is stuck"}},
)
async def live(request: Request) -> Response:
    """Answer as ``/healthz`` does."""
    registry: Registry = request.app.state.registry
    alive = not registry.problems()
    return JSONResponse({"live": alive}, status_code=200 if alive else 503)


@router.get(
    "/v2/health/ready",
    summary="Readiness: are requests welcome?",
    response_model=OipHealth,
    response_description="Requests are welcome",
    responses=responses(503),
)
async def ready(request: Request) -> Response:
    """Answer as ``/readyz`` does."""
    registry: Registry = request.app.state.registry
    state = registry.readiness()
    if state.ready:
        return JSONResponse({"live": True})
    return problem_response(
        why_not_ready(registry, state),
        path=request.url.path,
        request_id=request.state.record.request_id,
    )


@router.post(
    "/v2/repository/index",
    summary="All models",
    response_description="Every loaded bundle, the default first",
)
async def index(request: Request) -> list[OipIndexEntry]:
    """Return every model and whether it answers."""
    registry: Registry = request.app.state.registry
    return [
        OipIndexEntry(
            name=classifier.bundle.manifest.name,
            version=classifier.bundle.manifest.version,
            state="UNAVAILABLE" if classifier.refused else "READY",
            reason="failed its self-test" if classifier.refused else "",
        )
        for classifier in registry.classifiers
    ]


@router.get(
    _MODEL,
    summary="A model",
    responses=responses(404),
    response_description="Its tensors",
    response_model_exclude_none=True,
    openapi_extra=BUNDLE_NAME,
)
@router.get(
    _VERSION,
    summary="A version of a model",
    responses=responses(404),
    response_description="Its tensors",
    response_model_exclude_none=True,
    openapi_extra=BUNDLE_VERSION,
)
async def model(request: Request) -> OipModel:
    """Return what goes into a model and what comes out."""
    registry: Registry = request.app.state.registry
    name = _find(request).bundle.manifest.name
    manifests = [c.bundle.manifest for c in registry.classifiers]
    image = OipTensor(
        name=INPUT, datatype="BYTES", shape=[-1], parameters={"content_type": "base64"}
    )
    return OipModel(
        name=name,
        versions=[manifest.version for manifest in manifests if manifest.name == name],
        platform=_PLATFORM,
        inputs=[image],
        outputs=[
            OipTensor(name=output, datatype=datatype, shape=[-1])
            for output, (datatype, _) in OUTPUTS.items()
        ],
    )


@router.get(
    f"{_MODEL}/ready",
    summary="Does a model answer?",
    responses=responses(404, 503),
    response_description="It does",
    openapi_extra=BUNDLE_NAME,
)
@router.get(
    f"{_VERSION}/ready",
    summary="Does a version of a model answer?",
    responses=responses(404, 503),
    response_description="It does",
    openapi_extra=BUNDLE_VERSION,
)
async def model_ready(request: Request) -> OipModelReady:
    """Answer 503 if the bundle failed its self-test or the process is shutting down."""
    registry: Registry = request.app.state.registry
    classifier = _find(request)
    if registry.draining:
        raise Draining("This process is shutting down.", retry_after=1)
    classifier.check_ready()
    return OipModelReady(name=classifier.bundle.manifest.name, ready=True)


@router.post(f"{_MODEL}/infer", openapi_extra=infer_extra(BUNDLE_NAME), **_INFER)
@router.post(f"{_VERSION}/infer", openapi_extra=infer_extra(BUNDLE_VERSION), **_INFER)
async def infer(request: Request) -> Response:
    """Answer for all images of the request, or for none of them."""
    registry: Registry = request.app.state.registry
    record: RequestRecord = request.state.record
    with registry.metrics.counted_images() as tallies:
        classifier = _find(request)
        tallies.bundle = classifier.metrics.key
        record.facts["bundle"] = classifier.reference
        classifier.check_ready()
        deadline = read_deadline(request.headers, most=registry.settings.request_timeout)
        started = time.monotonic()
        asked, futures = await _admit(request, classifier, deadline=deadline, tallies=tallies)
        read = time.monotonic() - started
        record.facts["images"] = tallies.images
        everything = asyncio.gather(*futures, return_exceptions=True)
        try:
            results = await first_of(request, everything, deadline=deadline)
        finally:
            for future in futures:
                future.cancel()
        tallies.outcomes = [_outcome(classifier, result) for result in results]
        answers = _all_or_none(results)
    record.stages = _note_stages(registry, [stages for _, stages in answers], read=read)
    record.facts["rejected"] = tallies.outcomes.count("rejected")
    return _answer(classifier, asked, [decision for decision, _ in answers])


def _find(request: Request) -> Classifier:
    registry: Registry = request.app.state.registry
    version = request.path_params.get("version")
    name: str = request.path_params["name"]
    return registry.find(name if version is None else f"{name}@{version}")


async def _admit(
    request: Request, classifier: Classifier, *, deadline: Deadline, tallies: Tallies
) -> tuple[Inference, list[Future]]:
    """Take one place in the queue, read the request, and queue all of its images or none."""
    settings = request.app.state.registry.settings
    limit = settings.max_batch_bytes
    size = min(limit, declared_length(request.headers) or limit)
    with classifier.engine.reserve(size) as place:
        body = await _read_body(request, deadline)
        asked = await asyncio.to_thread(  # base64 of many images would hold up everybody else
            read_inference,
            body,
            header_length=_header_length(request),
            most=min(settings.max_batch_images, settings.queue_images),
        )
        tallies.arrived(len(asked.images))
        places = place.split([len(image) for image in asked.images])
    futures = [
        classifier.classify(image, place=place, top_k=1, deadline=deadline.at)
        for image, place in zip(asked.images, places, strict=True)
    ]
    return asked, futures


async def _read_body(request: Request, deadline: Deadline) -> bytes:
    check_unencoded(request.headers)
    try:
        async with asyncio.timeout(deadline.left):
            return b"".join([chunk async for chunk in request.stream()])
    except TimeoutError as error:
        raise deadline.exceeded("while its body was uploaded") from error
    except ClientDisconnect as error:
        raise ClientGone("The client left during the upload.") from error


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


def _all_or_none(results: Sequence[Result]) -> list[tuple[Decision, Stages]]:
    """Return the answers; if some images have none, raise the error of one and name them all.

    The error is the first one that is the sender's to mend, so that nobody tries in vain again.
    """
    errors = {i: result for i, result in enumerate(results) if isinstance(result, Exception)}
    if not errors:
        return [result for result in results if not isinstance(result, BaseException)]
    index = min(errors, key=lambda i: (wire(errors[i]).outcome != "invalid", i))
    error = errors[index]
    if len(results) > 1:
        error.args = (_in_words(index, list(errors), len(results), error),)
    raise error


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
    times = [asdict(each) for each in stages]
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
