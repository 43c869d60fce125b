"""``POST /classify`` past the router: its layers cost more than decoding a small image."""

from typing import Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from models.errors import CroftError
from service.problems import answer_problem
from service.routes.classify import PATH, classify


class _Route:
    """What middleware asks a route for."""

    path: Final = PATH


class Application(FastAPI):
    """FastAPI, but that one route, which OpenAPI shows like all others, goes past its own layers.

    It goes through middleware of the same classes and arguments, made once more: what the two
    ways share must be in the arguments.
    """

    _lane: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await super().__call__(scope, receive, send)
            return
        if self._lane is None:
            self._lane = self._with_middleware(_classify)
        scope["app"] = self
        await self._lane(scope, receive, send)

    def _with_middleware(self, app: ASGIApp) -> ASGIApp:
        for layer, arguments, options in reversed(self.user_middleware):
            app = layer(app, *arguments, **options)
        return app


async def _classify(scope: Scope, receive: Receive, send: Send) -> None:
    """Call the route's own function, without anything in between."""
    scope["route"] = _Route
    request = Request(scope, receive, send)
    try:
        response = await classify(request)
    except CroftError as error:
        response = await answer_problem(request, error)
    await response(scope, receive, send)
