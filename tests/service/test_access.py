"""Who may ask what: keys, scopes, and what a page of another origin may do."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from models.errors import ConfigError
from service.access import guard, read_key_ring
from service.keys import Scope, new_key
from service.rules import CLOSED, RULES, rule_for
from service.settings import Settings
from tests.bundles import colour_image
from tests.service.conftest import Serve

RED = colour_image("red")
USER, _USER = new_key("user", "classify")
ADMIN, _ADMIN = new_key("boss", "admin")
HASHES = f"{_USER.line}\n{_ADMIN.line}\n"

Headers = dict[str, str]
_WAYS: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"header": []}]


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    """Return a file with the hashes of both keys."""
    path = tmp_path / "keys.txt"
    path.write_text(HASHES)
    return path


@pytest.fixture
def guarded(serve: Serve, keys_file: Path) -> TestClient:
    """Return a client of a service that asks for keys."""
    return serve(keys_file=keys_file)


def _bearer(key: str) -> Headers:
    return {"Authorization": f"Bearer {key}"}


def _received(client: TestClient) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(li.split()[1]) for li in lines if li.startswith("croft_images_received_total"))


@pytest.mark.parametrize(
    "headers",
    [
        _bearer(USER),
        _bearer(ADMIN),
        {"Authorization": f"bearer  {USER} "},
        {"X-API-Key": USER},
        {"X-API-Key": USER, "Authorization": "Basic cHJveHk6cHc="},
    ],
)
def test_a_key_opens_the_service(guarded: TestClient, headers: Headers) -> None:
    """In either header, of either scope, also beside what a proxy put into the other one."""
    assert guarded.post("/classify", content=RED, headers=headers).status_code == 200
    assert guarded.get("/bundles", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "needs an API key"),
        ({"Authorization": "Bearer"}, "needs an API key"),
        ({"Authorization": f"Basic {USER}"}, "needs an API key"),
        ({"X-API-Key": ""}, "needs an API key"),
        (_bearer(USER[:-1]), "not known here"),
        ({"X-API-Key": USER, "Authorization": "Bearer other"}, "not known here"),
        ({"X-API-Key": "\u00fc\u00ff"}, "not known here"),
    ],
)
def test_without_a_known_key_nothing_is_read(
    guarded: TestClient, headers: Headers, words: str
) -> None:
    """401 is a problem document that says how a key is sent, and no image was received."""
    given = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    response = guarded.post("/classify", content=RED, headers=given)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == "urn:croft:problem:unauthorized"
    assert words in response.json()["detail"]
    assert USER not in response.text
    assert _received(guarded) == 0


def test_a_scope_that_does_not_suffice_is_refused(guarded: TestClient) -> None:
    """403 names both scopes; an admin key gets as far as the router."""
    response = guarded.post("/bundles/reload", headers=_bearer(USER))
    assert response.status_code == 403
    assert response.json()["type"] == "urn:croft:problem:forbidden"
    assert "scope admin; this one has the scope classify" in response.json()["detail"]
    assert guarded.post("/bundles/reload", headers=_bearer(ADMIN)).status_code not in (401, 403)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "GET", "OPTIONS"])
def test_a_path_that_no_rule_names_is_closed(guarded: TestClient, method: str) -> None:
    """Whatever the method: 401 without a key, 403 with a plain one, 404 for an admin."""
    statuses = [
        guarded.request(method, "/nobody/listed/this", headers=headers).status_code
        for headers in ({}, _bearer(USER), _bearer(ADMIN))
    ]
    assert statuses == [401, 403, 404]


@pytest.mark.parametrize(
    "path",
    ["/healthz", "/readyz", "/metrics", "/", "/docs", "/openapi.json", "/static/page.js"],
)
def test_what_watches_and_what_asks_for_the_key_is_open(guarded: TestClient, path: str) -> None:
    """Probes, metrics, and the pages, on which a key can be typed, need none."""
    assert guarded.get(path).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/classify", ("classify", True)),
        ("POST", "/classify/", ("classify", True)),
        ("GET", "/classify", ("admin", False)),
        ("POST", "/classify/batch", ("classify", True)),
        ("POST", "/classify/elsewhere", ("admin", False)),
        ("POST", "/classifybatch", ("admin", False)),
        ("HEAD", "/healthz", (None, False)),
        ("POST", "/healthz", ("admin", False)),
        ("GET", "/bundles/toybox@1", ("classify", False)),
        ("POST", "/bundles/reload", ("admin", False)),
        ("GET", "/v2/health/ready", (None, False)),
        ("GET", "/v2/models/toybox", ("classify", False)),
        ("POST", "/v2/models/toybox/infer", ("classify", True)),
        ("POST", "/v2/repository/index", ("classify", False)),
        ("POST", "/v2/repository/models/toybox/unload", ("admin", False)),
        ("GET", "/staticfiles", ("admin", False)),
    ],
)
def test_the_table_of_rules(method: str, path: str, expected: tuple[Scope | None, bool]) -> None:
    """Which scope, and whether it counts against the rate limit."""
    rule = rule_for(method, path)
    assert (rule.scope, rule.reads_images) == expected


@pytest.mark.parametrize(
    ("path", "many"),
    [
        ("/classify", False),
        ("/classify/batch", True),
        ("/v2/models/colours/infer", True),
        ("/v2/models/colours/versions/1/infer", True),
        ("/v2/repository/index", False),
        ("/bundles/reload", False),
        ("/nobody/listed/this", False),
    ],
)
def test_bodies_of_many_images_have_a_limit_of_their_own(
    serve: Serve, path: str, many: bool
) -> None:
    """Elsewhere the limit of one image holds."""
    client = serve(max_body_bytes=1000, max_batch_bytes=2000)
    json = {"Content-Type": "application/json"}
    assert rule_for("POST", path).many_images == many
    texts = [client.post(path, content=b"x" * n, headers=json).text for n in (1500, 2500)]
    assert ["at most 1,000 are read" in text for text in texts] == [path == "/classify"] * 2
    assert ["at most 2,000 are read" in text for text in texts] == [False, many]


def test_every_route_is_named_by_a_rule(client: TestClient) -> None:
    """None is closed because somebody forgot it."""
    assert isinstance(client.app, FastAPI)
    paths = client.app.openapi()["paths"]
    routes = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    assert len(routes) >= 6
    assert [route for route in routes if rule_for(*route) is CLOSED] == []


def test_the_document_says_what_the_rules_say(client: TestClient) -> None:
    """A route that can need a key lists both ways to send one, and no key where keys are off."""
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"].keys() == {"bearer", "header"}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            rule = rule_for(method.upper(), path)
            assert operation.get("security") == (_WAYS if rule.scope else None), path
            assert ("401" in operation["responses"]) == (rule.scope is not None)
            assert ("403" in operation["responses"]) == (rule.scope == "admin")
            assert ("429" in operation["responses"]) == rule.reads_images


def test_a_refused_request_is_a_line_that_names_the_key(
    guarded: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The log and the metrics say which route; the log says whose key, and never the key."""
    caplog.set_level(logging.DEBUG)
    guarded.post("/bundles/reload", headers=_bearer(USER))
    guarded.post("/classify", content=RED, headers=_bearer("croft_wrong"))
    guarded.post("/classify", content=RED, headers=_bearer(USER))
    lines = [vars(record) for record in caplog.records if record.name == "croft.request"]
    assert [(li["route"], li["status"], li.get("key_name")) for li in lines] == [
        ("/bundles/reload", 403, "user"),
        ("/classify", 401, None),
        ("/classify", 200, "user"),
    ]
    text = json.dumps([vars(record) for record in caplog.records], default=str)
    assert USER.removeprefix("croft_") not in text
    assert "croft_wrong" not in text
    metrics = guarded.get("/metrics").text
    assert 'croft_request_seconds_count{route="/classify",status="401"} 1.0' in metrics


def test_without_keys_and_limits_nothing_stands_in_the_way() -> None:
    """Not even the middleware is there."""
    app = FastAPI()
    guard(app, Settings())
    assert app.user_middleware == []


# -------------------------------------------------------------------- when a service may start


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost"])
def test_the_loopback_needs_no_decision(host: str) -> None:
    """Whoever can reach it is on this machine."""
    assert read_key_ring(Settings(host=host)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.7", "croft.example.org"])
def test_another_address_needs_one(host: str, keys_file: Path) -> None:
    """The error tells both ways out, and both are ways out."""
    with pytest.raises(ConfigError, match=r"CROFT_KEYS_FILE=.*or set CROFT_AUTH=off"):
        read_key_ring(Settings(host=host))
    assert read_key_ring(Settings(host=host, auth="off")) is None
    assert read_key_ring(Settings(host=host, keys_file=keys_file)) is not None


def test_a_keys_file_turns_keys_on_and_off_turns_them_off(keys_file: Path) -> None:
    """Also on the loopback; off by name wins over the file."""
    assert read_key_ring(Settings(keys_file=keys_file)) is not None
    assert read_key_ring(Settings(keys_file=keys_file, auth="keys")) is not None
    assert read_key_ring(Settings(keys_file=keys_file, auth="off")) is None


def test_keys_without_any_key_are_explained(tmp_path: Path) -> None:
    """No file, or a file without a line: nobody could use the service."""
    with pytest.raises(ConfigError, match="CROFT_KEYS_FILE must name"):
        read_key_ring(Settings(auth="keys"))
    empty = tmp_path / "keys.txt"
    empty.write_text("# none yet\n")
    with pytest.raises(ConfigError, match="croft keys new NAME --file"):
        read_key_ring(Settings(keys_file=empty))


# ---------------------------------------------------------------- pages of other origins

PAGE = "https://app.example.org"
PREFLIGHT = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-api-key",
}
ALLOWED = "Access-Control-Allow-Origin"


def test_no_other_origin_is_allowed_by_default(client: TestClient) -> None:
    """Neither before nor with the request; a browser then keeps the answer from the page."""
    assert ALLOWED not in client.options("/classify", headers=PREFLIGHT).headers
    assert ALLOWED not in client.post("/classify", content=RED, headers={"Origin": PAGE}).headers


def test_a_listed_origin_may_ask(serve: Serve, keys_file: Path) -> None:
    """The preflight needs no key; answers and refusals can be read; others are still told no."""
    client = serve(keys_file=keys_file, cors_origins=f"{PAGE}, http://localhost:5173")
    preflight = client.options("/classify", headers=PREFLIGHT)
    assert (preflight.status_code, preflight.headers[ALLOWED]) == (200, PAGE)
    for headers, status in ((_bearer(USER), 200), ({}, 401)):
        response = client.post("/classify", content=RED, headers={"Origin": PAGE, **headers})
        assert (response.status_code, response.headers[ALLOWED]) == (status, PAGE)
        assert "Access-Control-Allow-Credentials" not in response.headers
    stranger = client.options("/classify", headers={**PREFLIGHT, "Origin": "https://evil.test"})
    assert (stranger.status_code, ALLOWED in stranger.headers) == (400, False)


def _guard(**settings: Any) -> Callable[[], None]:
    return lambda: guard(FastAPI(), Settings(**settings))


def test_every_origin_is_allowed_only_after_a_decision_about_keys(keys_file: Path) -> None:
    """`*` would give any website that somebody here visits a service that nothing else guards."""
    with pytest.raises(ConfigError, match="every website that somebody here visits"):
        _guard(cors_origins="*")()
    _guard(cors_origins="*", keys_file=keys_file)()
    _guard(cors_origins="*", auth="off")()


@pytest.mark.parametrize(
    "origin", ["example.org", "https://example.org/", "https://a.org/x", "null", "https://*.a.org"]
)
def test_what_is_no_origin_is_explained(origin: str) -> None:
    """A browser would never send it, so that it would silently allow nobody."""
    with pytest.raises(ConfigError, match="an origin is scheme, host and port"):
        _guard(cors_origins=origin)()


def test_the_rules_are_distinct() -> None:
    """No row hides another one."""
    assert len({(rule.method, rule.path) for rule in RULES}) == len(RULES)
