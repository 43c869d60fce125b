"""The application: wiring, and nothing else."""

import importlib.metadata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from models.errors import CroftError
from service.access import guard
from service.body_limit import BodyLimitMiddleware
from service.errors import BadRequest, UnknownRoute, WrongMethod
from service.fast_lane import Application
from service.middleware import RecordMiddleware
from service.openapi import describe
from service.problems import answer_problem
from service.registry import Registry
from service.reload import Reloader
from service.routes import batch, bundles, classify, health, oip, oip_infer, pages
from service.settings import Settings
from service.tracing import RequestTracer

_DESCRIPTION: Final = """\
Send an image; get one of the known classes, or the statement that it is none of them.
Errors are problem documents (RFC 9457).
"""


def create_app(
    settings: Settings, *, registry: Registry | None = None, tracer: RequestTracer | None = None
) -> FastAPI:
    """Return the application.

    Args:
        settings: limits and sizes.
        registry: loaded bundles; without it those of the settings are loaded here.
        tracer: makes spans of requests; without it nothing is traced.

    Raises:
        BundleError: one of the bundles cannot be trusted.
        RuntimeMissing: no runtime, or not the provider asked for.
        ConfigError: nothing says who may ask, or a setting about that is malformed.
    """
    loaded = registry or Registry.load(settings)
    app = Application(
        title="Croft",
        version=importlib.metadata.version("croft-ood"),
        summary="Image classification that refuses what it was not trained on.",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # to an address made from the Host header
        # The service traces by itself; FastAPI would look at every request whether it should, too.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        lifespan=_lifespan,
    )
    app.state.registry = loaded
    app.state.reloader = Reloader(loaded)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    # The last one added is the outermost.
    app.add_middleware(
        BodyLimitMiddleware,
        limit=settings.max_body_bytes,
        batch_limit=settings.max_batch_bytes,
        pause=settings.upload_pause_seconds,
    )
    guard(app, settings)
    app.add_middleware(RecordMiddleware, metrics=loaded.metrics, tracer=tracer)
    app.add_exception_handler(CroftError, answer_problem)
    app.add_exception_handler(HTTPException, _answer_http_error)
    for routes in (classify, batch, bundles, oip, oip_infer, health, pages):
        app.include_router(routes.router)
    app.mount("/static", StaticFiles(directory=pages.STATIC), name="static")
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    registry: Registry = app.state.registry
    await registry.start()
    try:
        yield
    finally:
        registry.drain()
        await registry.close()


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """Answer what the router itself refuses."""
    assert isinstance(error, HTTPException)
    path, method = request.url.path[:200], request.method
    headers = error.headers or {}
    problem: CroftError
    if error.status_code == 404:
        problem = UnknownRoute(f"There is no {path!r} here; /docs lists every path.")
    elif error.status_code == 405:
        allowed = headers.get("Allow", "")
        problem = WrongMethod(f"{path!r} does not take {method}, but {allowed or 'others'}.")
    else:
        problem = BadRequest(str(error.detail))
    response = await answer_problem(request, problem)
    response.headers.update(headers)
    return response
