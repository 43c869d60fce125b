"""``POST /classify`` past the router: its layers cost more than decoding a small image."""

from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from models.errors import CroftError
from service.problems import answer_problem
from service.routes.classify import PATH, classify


class _Route:
    """What middleware asks a route for."""

    path: Final = PATH


class FastLane:
    """Calls the route's own function, which OpenAPI documents, without anything in between."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap what handles every other request."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["route"] = _Route
        request = Request(scope, receive, send)
        try:
            response = await classify(request)
        except CroftError as error:
            response = await answer_problem(request, error)
        await response(scope, receive, send)
