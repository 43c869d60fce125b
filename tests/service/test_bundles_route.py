"""``/bundles`` shows what is loaded and what it promises."""

from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from models.bundle import Bundle
from tests.bundles import load_tiny
from tests.service.conftest import Serve


def test_loaded_bundles_are_listed(serve: Serve, bundle: Bundle, tmp_path: Path) -> None:
    """The default comes first; a conformal one is marked marginal."""
    marginal = load_tiny(tmp_path / "m", name="marginal", method="conformal")
    first, second = serve(bundle, marginal).get("/bundles").json()["bundles"]
    assert (first["name"], first["version"], first["default"]) == ("colours", "1", True)
    assert [c["display_name"] for c in first["classes"]] == ["Red", "Green", "Blue"]
    assert first["score"] == "energy"
    assert first["threshold"] == {
        "method": "pac",
        "alpha": 0.05,
        "delta": 0.05,
        "n": 300,
        "rank": 9,
        "value": bundle.threshold.value,
        "p_cut": 9 / 301,
        "expected_rejection_rate": 9 / 301,
    }
    assert (first["marginal"], second["marginal"]) == (False, True)
    assert (second["default"], second["threshold"]["delta"]) == (False, None)


def test_one_bundle_comes_with_its_calibration(client: TestClient, bundle: Bundle) -> None:
    """The histogram holds every calibration score, and the threshold cuts off the right share."""
    detail = client.get("/bundles/colours@1").json()
    histogram = detail["calibration"]
    assert sum(histogram["counts"]) == bundle.threshold.n
    assert len(histogram["edges"]) == len(histogram["counts"]) + 1
    scores_n = bundle.calibration_scores_n
    assert histogram["edges"][0] == np.min(scores_n)
    assert histogram["edges"][-1] == np.max(scores_n)
    assert detail["encoder_digest"] == bundle.manifest.backbone.digest
    assert detail == client.get("/bundles/colours").json()


def test_an_unknown_bundle_is_not_found(client: TestClient) -> None:
    """404 lists what is loaded."""
    response = client.get("/bundles/nope")
    assert response.status_code == 404
    assert "colours@1" in response.json()["detail"]
