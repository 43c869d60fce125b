"""``/bundles`` shows what is loaded and what it promises."""

from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from models.bundle import Bundle
from tests.bundles import colour_image, load_tiny
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


def test_a_bundle_tells_what_it_has_answered(serve: Serve, bundle: Bundle) -> None:
    """Accepted and rejected images, and how unusual they were; what is no image does not count."""
    client = serve(bundle)
    headers = {"Content-Type": "image/jpeg"}
    p_values = [
        client.post("/classify", content=image, headers=headers).json()["p_value"]
        for image in map(colour_image, ("red", "green", "white"))
    ]
    assert client.post("/classify", content=b"broken", headers=headers).status_code == 415
    traffic = client.get("/bundles/colours").json()["traffic"]
    assert (traffic["accepted"], traffic["rejected"]) == (2, 1)
    assert traffic["p"][-1] == 1
    assert traffic["images"] == [sum(p <= at_most for p in p_values) for at_most in traffic["p"]]
    assert traffic["images"][-1] == 3


def test_an_unknown_bundle_is_not_found(client: TestClient) -> None:
    """404 lists what is loaded."""
    response = client.get("/bundles/nope")
    assert response.status_code == 404
    assert "colours@1" in response.json()["detail"]
