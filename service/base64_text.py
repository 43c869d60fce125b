"""Base64, as it comes in JSON."""

import base64

from service.errors import BadRequest

_SPACE = b" \t\r\n"


def decode_base64(text: str, *, what: str) -> bytes:
    """Return the bytes that a text stands for; spaces and line breaks in it are fine.

    Args:
        text: standard base64.
        what: the name of the text in the request, for the error.

    Raises:
        BadRequest: it is not base64.
    """
    try:
        return base64.b64decode(text.encode("ascii").translate(None, _SPACE), validate=True)
    except ValueError as error:
        raise BadRequest(
            f"`{what}` is not base64: {error}. Give the file's bytes in standard base64, "
            "without a data: prefix."
        ) from error
