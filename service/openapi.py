"""The OpenAPI document: what FastAPI derives, and what it cannot know."""

import json
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from models.decode import FORMATS
from service import deadline
from service.batch_uploads import ZIP
from service.deciding import MAX_TOP_K
from service.problems import responses
from service.rules import Rule, rule_for
from service.schemas import BatchSummary, Problem
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

_DECIDING: Final = [
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
]
"""The query of every route that decides about images."""

CLASSIFY: Final[dict[str, Any]] = {
    "parameters": _DECIDING,
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

BATCH: Final[dict[str, Any]] = {
    "parameters": _DECIDING,
    "requestBody": {
        "required": True,
        "description": "Image files, each as `/classify` takes it.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {FIELD: {"type": "array", "items": BINARY, "minItems": 1}},
                    "required": [FIELD],
                }
            },
            ZIP: {"schema": BINARY},
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "images": {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "type": "object",
                                "properties": {
                                    "b64": {"type": "string", "format": "byte"},
                                    "id": {"type": "string"},
                                },
                                "required": ["b64"],
                            },
                        }
                    },
                    "required": ["images"],
                }
            },
        },
    },
}
"""Body and query of ``POST /classify/batch``, which reads both by itself."""

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


_KEY_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key of the service."},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same."},
}
_NO_KEY: Final[dict[str, list[str]]] = {}
"""The way in where keys are off."""


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
        schemas["BatchSummary"] = _flat(BatchSummary)
        document["components"]["schemas"] = dict(sorted(schemas.items()))
        document["components"]["securitySchemes"] = _KEY_SCHEMES
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _describe_access(operation, rule_for(method.upper(), path))
        app.openapi_schema = document
    return app.openapi_schema


def _describe_access(operation: dict[str, Any], rule: Rule) -> None:
    """Add what a route asks of its callers, and how they are refused; the rules alone know."""
    statuses = []
    if rule.scope is not None:
        operation["security"] = [_NO_KEY, *({name: []} for name in _KEY_SCHEMES)]
        statuses += [401, 403] if rule.scope == "admin" else [401]
    if rule.reads_images:
        statuses.append(429)
    refusals = {str(status): answer for status, answer in responses(*statuses).items()}
    operation["responses"] = dict(sorted({**operation["responses"], **refusals}.items()))


def _flat(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a model whose parts are among the components anyway."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return schema


def as_text(app: FastAPI) -> str:
    """Return the document as it is committed to docs/openapi.json."""
    return json.dumps(describe(app), indent=2, ensure_ascii=False) + "\n"
