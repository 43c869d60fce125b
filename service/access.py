"""Who may ask: decided from the head of a request, before its body is read or an image counted."""

import ipaddress
import re
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from models.errors import ConfigError
from service.errors import Forbidden, ServiceError, Unauthorized
from service.keys import Key, KeyRing, read_keys
from service.middleware import RequestRecord
from service.problems import problem_response
from service.rate_limit import RateLimit
from service.rules import Rule
from service.settings import Settings

_ORIGIN: Final = re.compile(r"https?://[^/\s,*?#@]+")
_PAGES_MAY_SEND: Final = (
    "Authorization", "X-API-Key", "X-Request-ID", "X-Request-Timeout", "traceparent",
)  # fmt: skip
_PAGES_MAY_READ: Final = ("X-Request-ID", "Retry-After", "Server-Timing", "WWW-Authenticate")
_IPV6_SUBSCRIBER: Final = 64
"""Bits of an IPv6 address that one subscriber shares; the rest is theirs to change at will."""


def guard(app: Starlette, settings: Settings) -> None:
    """Put keys, rate limit and CORS around an application; nothing where none of them is on.

    Raises:
        ConfigError: the settings would leave the service open by oversight, or are malformed.
    """
    keys = read_key_ring(settings)
    limit = None
    if settings.rate_limit is not None:
        limit = RateLimit(settings.rate_limit, settings.rate_limit_storage)
    if keys is not None or limit is not None:
        app.add_middleware(AccessMiddleware, keys=keys, limit=limit)
    if settings.cors_origins:
        _check_origins(settings, keys)
        # Keys travel in headers that a page has to set by itself. There are no cookies to allow.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=_PAGES_MAY_SEND,
            expose_headers=_PAGES_MAY_READ,
        )


def read_key_ring(settings: Settings) -> KeyRing | None:
    """Return the keys that requests need, None if they need none.

    Raises:
        ConfigError: no decision was made for an address that others can reach, there is no key,
            or the keys file is malformed.
    """
    if settings.auth == "off":
        return None
    if settings.keys_file is not None:
        if keys := read_keys(settings.keys_file):
            return KeyRing(keys)
        raise ConfigError(
            f"The keys file {settings.keys_file} has no key, so that nobody could use the service. "
            f"Type: croft keys new NAME --file {settings.keys_file}."
        )
    if settings.auth == "keys":
        raise ConfigError("CROFT_AUTH is keys, so CROFT_KEYS_FILE must name the file of them.")
    if not _is_loopback(settings.host):
        raise ConfigError(
            f"Address {settings.host!r} can be reached by others, and nothing says who may use the "
            "service. Make a key (croft keys new NAME --file keys.txt) and set "
            "CROFT_KEYS_FILE=keys.txt, or set CROFT_AUTH=off to let in everybody who reaches it."
        )
    return None


class AccessMiddleware:
    """Lets a request pass if its key opens the path and its caller's window has room."""

    def __init__(self, app: ASGIApp, *, keys: KeyRing | None, limit: RateLimit | None) -> None:
        """Wrap an application; without keys, callers are told apart by their addresses."""
        self._app = app
        self._keys = keys
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        record: RequestRecord = scope["state"]["record"]
        try:
            await self._admit(scope, record.rule, record)
        except ServiceError as error:
            scope["route"] = record.rule  # no router will say it, and metrics and logs want a label
            record.note_problem(error)
            response = problem_response(error, path=scope["path"], request_id=record.request_id)
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope, rule: Rule, record: RequestRecord) -> None:
        """Count one image; how many more came with it is known, and counted, in the route."""
        key = None
        if self._keys is not None and rule.scope is not None:
            key = _recognise(scope, self._keys)
            record.facts["key_name"] = key.name
            if not key.allows(rule.scope):
                raise Forbidden(
                    f"{scope['method']} {scope['path'][:200]!r} takes a key of scope "
                    f"{rule.scope}; this one has the scope {key.scope}."
                )
        if self._limit is None or not rule.reads_images:
            return
        caller = _caller(scope, key)
        await self._limit.admit(caller)
        record.charge = partial(self._limit.charge, caller)


def _recognise(scope: Scope, keys: KeyRing) -> Key:
    headers = Headers(scope=scope)
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        given = headers.get("x-api-key", "")
    if not given:
        raise Unauthorized(
            "This path needs an API key. Send it as `Authorization: Bearer KEY` or as "
            "`X-API-Key: KEY`."
        )
    key = keys.find(given.strip().encode("latin-1"))
    if key is None:
        raise Unauthorized("This API key is not known here. Check it, or ask for a new one.")
    return key


def _caller(scope: Scope, key: Key | None) -> str:
    if key is not None:
        return f"key:{key.name}"
    return f"address:{_subscriber(scope['client'][0] if scope['client'] else '')}"


def _subscriber(address: str) -> str:
    """Return what of an address its owner cannot change; a proxy's header may hold anything."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    if ip.version == 6 and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(ip), _IPV6_SUBSCRIBER), strict=False))
    return address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_origins(settings: Settings, keys: KeyRing | None) -> None:
    for origin in settings.cors_origins:
        if origin == "*":
            if keys is None and settings.auth != "off":
                raise ConfigError(
                    "CROFT_CORS_ORIGINS=* lets every website that somebody here visits use the "
                    "service. Set CROFT_KEYS_FILE, which no website has the keys of, or "
                    "CROFT_AUTH=off if that is meant."
                )
        elif not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"CROFT_CORS_ORIGINS has {origin!r}: an origin is scheme, host and port as a "
                "browser sends it, without a path: https://example.org or http://localhost:5173."
            )
