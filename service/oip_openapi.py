"""What OpenAPI says of inference, which reads headers and body by itself."""

from typing import Any, Final

from service import oip
from service.openapi import BINARY, REQUEST_TIMEOUT

_OIP_REQUEST: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "parameters": {
            "type": "object",
            "properties": {"binary_data_output": {"type": "boolean"}},
        },
        "inputs": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"const": oip.INPUT},
                    "datatype": {"const": "BYTES"},
                    "shape": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": 2,
                        "items": {"type": "integer", "minimum": 1},
                    },
                    "parameters": {
                        "type": "object",
                        "properties": {"binary_data_size": {"type": "integer"}},
                    },
                    "data": {"type": "array", "items": {"type": "string", "format": "byte"}},
                },
                "required": ["name", "datatype", "shape"],
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"enum": list(oip.OUTPUTS)},
                    "parameters": {
                        "type": "object",
                        "properties": {"binary_data": {"type": "boolean"}},
                    },
                },
                "required": ["name"],
            },
        },
    },
    "required": ["inputs"],
}
_OIP_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "JSON; behind it the image files if they come as binary data.",
        "content": {
            "application/json": {"schema": _OIP_REQUEST},
            "application/octet-stream": {"schema": BINARY},
        },
    },
}
_HEADER_LENGTH: Final[dict[str, Any]] = {
    "name": oip.HEADER_LENGTH,
    "in": "header",
    "required": False,
    "description": "Bytes of the JSON if binary data follows it; 0: the body is one image file.",
    "schema": {"type": "integer", "minimum": 0},
}


def infer_extra(path: dict[str, Any]) -> dict[str, Any]:
    """Return parameters and body of inference, which reads them by itself.

    Args:
        path: the parameters of the path.
    """
    return {
        "parameters": [*path["parameters"], _HEADER_LENGTH, REQUEST_TIMEOUT],
        **_OIP_BODY,
    }
