"""One tiny bundle for all tests of the service, and clients of an application that serves it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from models.bundle import Bundle
from service.app import create_app
from tests.bundles import tiny_bundle
from tests.service.fakes import registry_of

Serve = Callable[..., TestClient]


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a bundle on disk."""
    return tiny_bundle(tmp_path_factory.mktemp("service") / "colours")


@pytest.fixture(scope="session")
def bundle(bundle_path: Path) -> Bundle:
    """Return it loaded."""
    return Bundle.load(bundle_path)


@pytest.fixture
def serve(bundle: Bundle) -> Iterator[Serve]:
    """Return a function that starts an application and gives a client of it."""
    with ExitStack() as stack:

        def start(*bundles: Bundle, **options: Any) -> TestClient:
            registry, settings = registry_of(*(bundles or (bundle,)), **options)
            app = create_app(settings, registry=registry)
            return stack.enter_context(TestClient(app, raise_server_exceptions=False))

        yield start


@pytest.fixture(scope="module")
def client(bundle: Bundle) -> Iterator[TestClient]:
    """Return a client of an application with ordinary settings."""
    registry, settings = registry_of(bundle)
    with TestClient(create_app(settings, registry=registry)) as client:
        yield client
