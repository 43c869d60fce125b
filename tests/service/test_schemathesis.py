"""Schemathesis asks a real service everything that the OpenAPI document allows, and more."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from schemathesis.checks import (
    CheckFunction,
    content_type_conformance,
    not_a_server_error,
    response_schema_conformance,
    status_code_conformance,
)

from tests.bundles import KNOWN, colour_image, tiny_bundle
from tests.service.processes import Served, served
from tests.service.test_archive import zip_of

DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "openapi.json"
CHECKS: Final[list[CheckFunction]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
_EXAMPLES: Final = 30
"""Random requests an operation, beside those that schemathesis derives from the document."""
_SECONDS: Final = 20

IMAGES: Final = [
    colour_image(name, format=form) for name in KNOWN for form in ("JPEG", "PNG", "WEBP", "GIF")
]
FILES: Final = st.sampled_from(IMAGES) | st.builds(
    lambda data, end: data[:end], st.sampled_from(IMAGES), st.integers(0, 2000)
)
"""Whole images, and some cut off: what a type of image alone would hardly ever draw."""

for media_type in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(media_type, FILES)
schemathesis.openapi.media_type(
    "application/zip",
    st.lists(FILES, max_size=4).map(lambda files: zip_of(*[("a.jpg", data) for data in files])),
)

schema = schemathesis.openapi.from_path(DOCUMENT)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Serve a bundle for all operations."""
    folder = tmp_path_factory.mktemp("schemathesis")
    with served(tiny_bundle(folder / "colours"), folder / "log") as running:
        yield running


@pytest.mark.slow
@schema.parametrize()
@hypothesis.settings(
    max_examples=_EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_keeps_to_the_document(case: Any, service: Served) -> None:
    """Each answer has a status, a type and a form that the document lists, and none is a 5xx."""
    response = case.call(base_url=service.url, timeout=_SECONDS)
    case.validate_response(response, checks=CHECKS)
    assert service.process.poll() is None
