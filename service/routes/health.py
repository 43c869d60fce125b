"""``/healthz``, ``/readyz`` and ``/metrics``: for those who run the service."""

from fastapi import APIRouter, Request
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import JSONResponse, Response

from service.errors import Draining, NotReady, Unavailable
from service.problems import problem_response, responses
from service.registry import Registry
from service.schemas import Liveness, Readiness

router = APIRouter(tags=["operations"])


@router.get(
    "/healthz",
    summary="Liveness: is every worker alive?",
    response_model=Liveness,
    response_description="All workers are alive",
    responses={503: {"model": Liveness, "description": "A worker died or is stuck"}},
)
async def healthz(request: Request) -> Response:
    """Answer 503 while a worker is dead or stuck, and for a moment after it was replaced."""
    registry: Registry = request.app.state.registry
    problems = registry.problems()
    body = Liveness(live=not problems, problems=problems)
    return JSONResponse(body.model_dump(), status_code=200 if body.live else 503)


@router.get(
    "/readyz",
    summary="Readiness: are requests welcome?",
    response_model=Readiness,
    response_description="Requests are welcome",
    responses=responses(503),
)
async def readyz(request: Request) -> Response:
    """Answer 503 while shutting down, without the golden images, and while an encoder fails."""
    registry: Registry = request.app.state.registry
    state = registry.readiness()
    if state.ready:
        return JSONResponse(state.model_dump())
    return problem_response(
        why_not_ready(registry, state),
        path=request.url.path,
        request_id=request.state.record.request_id,
        extra=state.model_dump(),
    )


def why_not_ready(registry: Registry, state: Readiness) -> Unavailable:
    """Return the error that says why requests are not welcome."""
    if registry.draining:
        return Draining()
    text = " ".join(state.warnings) or "The bundles are still being tested."
    return NotReady(text)


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    response_description="The text format of Prometheus",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Return every metric in the text format of Prometheus."""
    registry: Registry = request.app.state.registry
    registry.show_readiness()
    content = registry.metrics.exposition()
    return Response(content, headers={"Content-Type": CONTENT_TYPE_LATEST})
