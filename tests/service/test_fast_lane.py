"""The hot path does not meet the router; test_classify.py shows that it answers all the same."""

from typing import Any

from models.bundle import Bundle
from tests.bundles import colour_image
from tests.service.conftest import Serve


def test_classify_is_answered_without_the_router(serve: Serve, bundle: Bundle) -> None:
    """Good images and bad ones; other methods and paths still reach it."""
    client = serve(bundle)
    seen: list[str] = []
    router: Any = client.app.router  # type: ignore[attr-defined]
    inner = router.middleware_stack

    async def spy(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])
        await inner(scope, receive, send)

    router.middleware_stack = spy
    headers = {"Content-Type": "image/jpeg"}
    assert client.post("/classify", content=colour_image("red"), headers=headers).is_success
    assert client.post("/classify", content=b"no image", headers=headers).status_code == 415
    assert seen == []
    assert client.get("/classify").status_code == 405
    assert client.get("/bundles").status_code == 200
    assert seen == ["/classify", "/bundles"]
