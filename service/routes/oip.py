"""``/v2``: the Open Inference Protocol over HTTP, but for inference: health, models, tensors."""

import importlib.metadata
from enum import Enum
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.classifier import Classifier
from service.errors import Draining, NotReady
from service.oip import INPUT, OUTPUTS
from service.openapi import BUNDLE_NAME, BUNDLE_VERSION
from service.problems import problem_response, responses
from service.registry import Registry
from service.routes.health import why_not_ready
from service.schemas import (
    OipHealth,
    OipIndexEntry,
    OipModel,
    OipModelReady,
    OipServer,
    OipTensor,
)

TAGS: Final[list[str | Enum]] = ["open inference protocol"]
router = APIRouter(tags=TAGS)

_PLATFORM: Final = "croft_bundle"
_EXTENSIONS: Final = ["binary_tensor_data"]
MODEL: Final = "/v2/models/{name}"
VERSION: Final = "/v2/models/{name}/versions/{version}"


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
            state="UNAVAILABLE" if _reason(classifier) else "READY",
            reason=_reason(classifier),
        )
        for classifier in registry.classifiers
    ]


@router.get(
    MODEL,
    summary="A model",
    responses=responses(404),
    response_description="Its tensors",
    response_model_exclude_none=True,
    openapi_extra=BUNDLE_NAME,
)
@router.get(
    VERSION,
    summary="A version of a model",
    responses=responses(404),
    response_description="Its tensors",
    response_model_exclude_none=True,
    openapi_extra=BUNDLE_VERSION,
)
async def model(request: Request) -> OipModel:
    """Return what goes into a model and what comes out."""
    registry: Registry = request.app.state.registry
    name = find_model(request).bundle.manifest.name
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
    f"{MODEL}/ready",
    summary="Does a model answer?",
    responses=responses(404, 503),
    response_description="It does",
    openapi_extra=BUNDLE_NAME,
)
@router.get(
    f"{VERSION}/ready",
    summary="Does a version of a model answer?",
    responses=responses(404, 503),
    response_description="It does",
    openapi_extra=BUNDLE_VERSION,
)
async def model_ready(request: Request) -> OipModelReady:
    """Answer 503 if the bundle cannot answer, or the process is shutting down."""
    registry: Registry = request.app.state.registry
    classifier = find_model(request)
    if registry.draining:
        raise Draining
    if reason := _reason(classifier):
        raise NotReady(f"Bundle {classifier.reference} {reason}.")
    return OipModelReady(name=classifier.bundle.manifest.name, ready=True)


def find_model(request: Request) -> Classifier:
    """Return the bundle that a path names."""
    registry: Registry = request.app.state.registry
    version = request.path_params.get("version")
    name: str = request.path_params["name"]
    return registry.find(name if version is None else f"{name}@{version}")


def _reason(classifier: Classifier) -> str:
    """Say why a bundle does not answer; nothing if it does."""
    if classifier.refused:
        return "failed its self-test"
    return "has an encoder that fails on everything" if classifier.engine.failing else ""
