"""Damaged requests, the same ones for the same seed."""

import base64
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

BOUNDARY: Final = b"a-boundary"
_NUMBERS: Final = (b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff", b"\x00\x00\x00\x00",
                   b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00")  # fmt: skip
"""Sizes and offsets that readers stumble over."""
_TYPES: Final = ("image/jpeg", "image/png", "image/*", "application/octet-stream", "", "text/html",
                 "multipart/form-data", "application/json", "image/jpeg; charset=\x01")  # fmt: skip
_QUERIES: Final = ("", "", "", "?top_k=3", "?top_k=0", "?top_k=-1", "?top_k=%00", "?bundle=nope",
                   "?bundle=%F0%9F%98%80", "?top_k=1&top_k=2", "?" + "a=b&" * 200)  # fmt: skip
_HEADERS: Final = (b"", b"", b"", b"Content-Encoding: gzip\r\n", b"X-Request-ID: \x01\x02\r\n",
                   b"X-Request-Timeout: nan\r\n", b"X-Request-Timeout: -1\r\n",
                   b"Accept: application/x-ndjson\r\n", b"Expect: 100-continue\r\n",
                   b"X-Long: " + b"x" * 20_000 + b"\r\n", b"traceparent: 00-zz\r\n",
                   b"Cookie: \xff\xfe\r\n")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Mutant:
    """One request."""

    data: bytes
    kind: str

    @property
    def is_http(self) -> bool:
        """Whether it is whole and valid HTTP, which always gets an answer."""
        return self.kind not in NOT_HTTP


Draw = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def mutant(index: int, *, seed: int, files: Sequence[bytes]) -> Mutant:
    """Return the request of this number."""
    rng = random.Random(f"{seed}/{index}")
    kind = rng.choices(list(KINDS), weights=[weight for weight, _ in KINDS.values()])[0]
    return Mutant(KINDS[kind][1](rng, rng.choice(files), files), kind)


def damaged(rng: random.Random, file: bytes, files: Sequence[bytes]) -> bytes:
    """Return a file with one to three kinds of damage."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        file = rng.choice(_DAMAGE)(rng, file, files)
    return file


def _flip(rng: random.Random, file: bytes, _files: Sequence[bytes]) -> bytes:
    changed = bytearray(file)
    for _ in range(rng.choice((1, 2, 8, 64))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _flip_early(rng: random.Random, file: bytes, files: Sequence[bytes]) -> bytes:
    return _flip(rng, file[:200], files) + file[200:]


def _cut(rng: random.Random, file: bytes, _: Sequence[bytes]) -> bytes:
    return file[: rng.randrange(len(file) + 1)]


def _remove(rng: random.Random, file: bytes, _: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(file) + 1)
    return file[:at] + file[at + rng.randrange(1, 400) :]


def _repeat(rng: random.Random, file: bytes, _: Sequence[bytes]) -> bytes:
    at = rng.randrange(len(file) + 1)
    return file[:at] + file[at : at + rng.randrange(1, 400)] * rng.choice((2, 3, 50)) + file[at:]


def _number(rng: random.Random, file: bytes, _: Sequence[bytes]) -> bytes:
    at, number = rng.randrange(min(len(file), 300) + 1), rng.choice(_NUMBERS)
    return file[:at] + number + file[at + len(number) :]


def _splice(rng: random.Random, file: bytes, files: Sequence[bytes]) -> bytes:
    other = rng.choice(files)
    return file[: rng.randrange(len(file) + 1)] + other[rng.randrange(len(other)) :]


def _append(rng: random.Random, file: bytes, _: Sequence[bytes]) -> bytes:
    return file + rng.randbytes(rng.choice((1, 100, 10_000)))


_DAMAGE: Final[tuple[Draw, ...]] = (
    _flip, _flip_early, _flip_early, _cut, _remove, _repeat, _number, _number, _splice, _append,
)  # fmt: skip


def _raw(rng: random.Random, file: bytes, files: Sequence[bytes]) -> bytes:
    return request(damaged(rng, file, files), b"image/jpeg")


def _whole(_: random.Random, file: bytes, __: Sequence[bytes]) -> bytes:
    return request(file, b"image/jpeg")


def _noise(rng: random.Random, *_: object) -> bytes:
    return request(rng.randbytes(rng.choice((0, 1, 30, 5000))), b"image/png")


def form(file: bytes, *, name: bytes = b"file") -> bytes:
    """Return a form with one file."""
    head = b'Content-Disposition: form-data; name="' + name + b'"; filename="a.jpg"\r\n\r\n'
    return b"--" + BOUNDARY + b"\r\n" + head + file + b"\r\n--" + BOUNDARY + b"--\r\n"


def _form(rng: random.Random, file: bytes, files: Sequence[bytes]) -> bytes:
    return _as_form(form(damaged(rng, file, files)))


def _broken_form(rng: random.Random, file: bytes, files: Sequence[bytes]) -> bytes:
    body = form(file, name=rng.choice((b"file", b"image", b"", b"\xff")))
    return _as_form(_flip(rng, body[:150], files) + _cut(rng, body[150:], files))


def _as_form(body: bytes) -> bytes:
    return request(body, b"multipart/form-data; boundary=" + BOUNDARY)


def _json(rng: random.Random, file: bytes, files: Sequence[bytes]) -> bytes:
    text = base64.b64encode(damaged(rng, file, files)).decode()
    return request(json.dumps({"image": {"b64": text}}).encode(), b"application/json")


def _broken_json(rng: random.Random, file: bytes, files: Sequence[bytes]) -> bytes:
    text = base64.b64encode(file).decode()
    whole = rng.choice(
        (
            json.dumps({"image": {"b64": text}}),
            json.dumps({"image": rng.choice((None, [], 1, text, {"b64": 1}, {"url": "file:///"}))}),
            "[" * rng.choice((10, 100_000)),
            json.dumps([text]),
            "1e999",
        )
    ).encode()
    return request(_flip(rng, whole[:60], files) + whole[60:], b"application/json")


def _odd_request(rng: random.Random, file: bytes, _: Sequence[bytes]) -> bytes:
    """Return a whole request with odd headers or an odd query."""
    kind = rng.choice(_TYPES).encode("latin-1")
    return request(file, kind, query=rng.choice(_QUERIES), more=rng.choice(_HEADERS))


def _wrong_length(rng: random.Random, file: bytes, _: Sequence[bytes]) -> bytes:
    wrong = max(0, len(file) + rng.choice((-1000, -1, 1, 1000, 2**40)))
    return request(file, b"image/jpeg", length=str(wrong).encode())


def _no_length(rng: random.Random, file: bytes, _: Sequence[bytes]) -> bytes:
    return request(file, b"image/jpeg", length=rng.choice((b"", b"-1", b"x", b"1, 2", b"\xb2")))


def _broken_head(rng: random.Random, file: bytes, files: Sequence[bytes]) -> bytes:
    whole = request(file, b"image/jpeg")
    return b"POST /classify HTTP/1.1\r\n" + _flip(rng, whole[25:110], files) + whole[110:]


def _chunked(rng: random.Random, file: bytes, files: Sequence[bytes]) -> bytes:
    head = b"POST /classify HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"%x\r\n" % len(file) + file + b"\r\n0\r\n\r\n"
    return head + (body if rng.random() < 0.5 else _flip(rng, body[:6], files) + body[6:])


def request(
    body: bytes,
    content_type: bytes,
    *,
    query: str = "",
    more: bytes = b"",
    length: bytes | None = None,
) -> bytes:
    """Return a request, whole if no wrong length is asked for."""
    size = str(len(body)).encode() if length is None else length
    return (
        b"POST /classify" + query.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Type: "
        + content_type + b"\r\n" + more + b"Content-Length: " + size + b"\r\n\r\n" + body
    )  # fmt: skip


KINDS: Final[dict[str, tuple[int, Draw]]] = {
    "damaged image": (50, _raw),
    "whole image": (4, _whole),
    "noise": (2, _noise),
    "damaged image in a form": (10, _form),
    "broken form": (6, _broken_form),
    "damaged image in JSON": (8, _json),
    "broken JSON": (6, _broken_json),
    "odd request": (6, _odd_request),
    "wrong length": (3, _wrong_length),
    "no length": (1, _no_length),
    "broken head": (2, _broken_head),
    "chunked": (2, _chunked),
}
"""Weight of each kind, and what draws it."""

NOT_HTTP: Final = frozenset({"wrong length", "no length", "broken head", "chunked"})
"""Kinds that a server may hang up on, or rightly wait for the rest of."""
