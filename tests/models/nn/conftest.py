"""One tiny backbone for all tests of this package."""

from __future__ import annotations

import pytest

from models.nn.backbone import Backbone
from tests.backbones import tiny_backbone


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Backbone:
    """Return a tiny backbone with random weights; nothing may change it."""
    return tiny_backbone(tmp_path_factory.mktemp("tiny"))
