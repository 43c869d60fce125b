"""The OpenAPI document is committed, and says what the routes really do."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from jsonschema import Draft202012Validator
from starlette.testclient import TestClient

from service.openapi import as_text
from tests.bundles import colour_image

DOCUMENT = Path(__file__).parents[2] / "docs" / "openapi.json"

STATUSES = {
    ("/classify", "post"): {200, 400, 401, 404, 413, 415, 422, 429, 500, 503, 504},
    ("/classify/batch", "post"): {200, 400, 401, 404, 413, 415, 429, 500, 503, 504},
    ("/bundles", "get"): {200, 401},
    ("/bundles/reload", "post"): {200, 401, 403, 409, 503},
    ("/bundles/{name}", "get"): {200, 401, 404},
    ("/v2", "get"): {200, 401},
    ("/v2/health/live", "get"): {200, 503},
    ("/v2/health/ready", "get"): {200, 503},
    ("/v2/models/{name}", "get"): {200, 401, 404},
    ("/v2/models/{name}/versions/{version}", "get"): {200, 401, 404},
    ("/v2/models/{name}/ready", "get"): {200, 401, 404, 503},
    ("/v2/models/{name}/versions/{version}/ready", "get"): {200, 401, 404, 503},
    ("/v2/models/{name}/infer", "post"): {200, 400, 401, 404, 413, 415, 422, 429, 500, 503, 504},
    ("/v2/models/{name}/versions/{version}/infer", "post"): {
        *(200, 400, 401, 404, 413, 415, 422, 429, 500, 503, 504),
    },
    ("/v2/repository/index", "post"): {200, 401},
    ("/healthz", "get"): {200, 503},
    ("/readyz", "get"): {200, 503},
    ("/metrics", "get"): {200},
}
"""What each route can give, all of it produced by some test of this folder."""


def _document(client: TestClient) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/openapi.json").json()
    return document


def _schema(client: TestClient, name: str) -> Draft202012Validator:
    document = _document(client)
    return Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"})


def test_the_committed_document_is_current(client: TestClient) -> None:
    """docs/openapi.json is the served one; after a change: python -m tests.service.test_openapi."""
    assert isinstance(client.app, FastAPI)
    assert DOCUMENT.read_text() == as_text(client.app)


def test_each_route_lists_exactly_its_statuses(client: TestClient) -> None:
    """No status is missing, and none is there that cannot happen."""
    listed = {
        (path, method): {int(status) for status in operation["responses"]}
        for path, methods in _document(client)["paths"].items()
        for method, operation in methods.items()
    }
    assert listed == STATUSES


def test_answers_have_the_documented_form(client: TestClient) -> None:
    """Real bodies validate against the schemas."""
    answer = client.post("/classify", content=colour_image("white"))
    _schema(client, "Classification").validate(answer.json())
    _schema(client, "Problem").validate(client.post("/classify", content=b"x").json())
    _schema(client, "BundleDetail").validate(client.get("/bundles/colours").json())
    _schema(client, "Bundles").validate(client.get("/bundles").json())
    _schema(client, "Readiness").validate(client.get("/readyz").json())
    _schema(client, "Liveness").validate(client.get("/healthz").json())
    raw = {"Inference-Header-Content-Length": "0"}
    inferred = client.post(
        "/v2/models/colours/infer", content=colour_image("white"), headers=raw
    ).json()
    _schema(client, "OipAnswer").validate(inferred)
    _schema(client, "OipModel").validate(client.get("/v2/models/colours").json())
    _schema(client, "OipServer").validate(client.get("/v2").json())


def test_all_body_forms_are_documented(client: TestClient) -> None:
    """Raw bytes, a form and JSON."""
    body = _document(client)["paths"]["/classify"]["post"]["requestBody"]
    assert set(body["content"]) == {
        *("image/*", "application/octet-stream", "multipart/form-data", "application/json"),
    }


def _write() -> None:
    import tempfile

    from service.app import create_app
    from tests.bundles import load_tiny
    from tests.service.fakes import registry_of

    with tempfile.TemporaryDirectory() as folder:
        registry, settings = registry_of(load_tiny(Path(folder) / "tiny"))
        DOCUMENT.write_text(as_text(create_app(settings, registry=registry)))


if __name__ == "__main__":
    _write()
