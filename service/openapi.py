"""The OpenAPI document: what FastAPI derives, and what it cannot know."""

import json
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from models.decode import FORMATS
from service import deadline
from service.deciding import MAX_TOP_K
from service.schemas import Problem
from service.uploads import FIELD

BINARY: Final = {"type": "string", "format": "binary"}

REQUEST_TIMEOUT: Final[dict[str, Any]] = {
    "name": deadline.HEADER,
    "in": "header",
    "required": False,
    "description": (
        "Seconds within which the answer is wanted; without it, and at most, "
        "CROFT_REQUEST_TIMEOUT. Later the answer is 504."
    ),
    "schema": {"type": "number", "exclusiveMinimum": 0},
}
"""A parameter of every route that classifies."""

CLASSIFY: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "bundle",
            "in": "query",
            "required": False,
            "description": "A loaded bundle, `name` or `name@version`; without it, the default.",
            "schema": {"type": "string"},
        },
        {
            "name": "top_k",
            "in": "query",
            "required": False,
            "description": "How many candidates to name; without it, CROFT_TOP_K.",
            "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K},
        },
        REQUEST_TIMEOUT,
    ],
    "requestBody": {
        "required": True,
        "description": f"One image file: {', '.join(FORMATS)}, HEIC and AVIF where installed.",
        "content": {
            "image/*": {"schema": BINARY},
            "application/octet-stream": {"schema": BINARY},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {FIELD: BINARY},
                    "required": [FIELD],
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "image": {
                            "type": "object",
                            "properties": {"b64": {"type": "string", "format": "byte"}},
                            "required": ["b64"],
                        }
                    },
                    "required": ["image"],
                }
            },
        },
    },
}
"""Body, query and header of ``POST /classify``, which reads them by itself."""

BUNDLE_NAME: Final[dict[str, Any]] = {
    "parameters": [
        {
            "name": "name",
            "in": "path",
            "required": True,
            "description": "`name` or `name@version`.",
            "schema": {"type": "string"},
        }
    ]
}

_VERSION: Final[dict[str, Any]] = {
    "name": "version",
    "in": "path",
    "required": True,
    "description": "The version of a loaded bundle.",
    "schema": {"type": "string"},
}
BUNDLE_VERSION: Final[dict[str, Any]] = {"parameters": [*BUNDLE_NAME["parameters"], _VERSION]}


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the document, made once per application."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = Problem.model_json_schema()
        document["components"]["schemas"] = dict(sorted(schemas.items()))
        app.openapi_schema = document
    return app.openapi_schema


def as_text(app: FastAPI) -> str:
    """Return the document as it is committed to docs/openapi.json."""
    return json.dumps(describe(app), indent=2, ensure_ascii=False) + "\n"
