"""``/`` and ``/docs``: pages for people, which ask nobody but this service for anything."""

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from starlette.responses import FileResponse, Response

STATIC: Final = Path(__file__).parents[1] / "static"
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def page() -> Response:
    """Return the page that classifies images dropped on it."""
    return FileResponse(STATIC / "index.html", headers=_HEADERS)


@router.get("/docs")
async def docs() -> Response:
    """Return the page that shows the OpenAPI document."""
    return FileResponse(STATIC / "docs.html", headers=_HEADERS)
