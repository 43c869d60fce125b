"""``/bundles``: what is loaded, what it promises, and loading it again."""

import numpy as np
from fastapi import APIRouter, Request

from service.classifier import Classifier
from service.metrics import P_VALUE_BUCKETS
from service.openapi import BUNDLE_NAME
from service.problems import responses
from service.registry import Registry
from service.reload import Reloader
from service.schemas import (
    BundleDetail,
    Bundles,
    BundleSummary,
    ClassBody,
    Histogram,
    Reloaded,
    ThresholdBody,
    Traffic,
)

router = APIRouter(tags=["bundles"])

_BINS = 48


# Before /bundles/{name}, so that the Allow header of a wrong method names this one.
@router.post(
    "/bundles/reload",
    summary="Serve what lies at the configured paths now",
    responses=responses(409, 503),
    response_description="What changed",
)
async def reload_bundles(request: Request) -> Reloaded:
    """Load and test what is new or changed, then swap; requests in flight finish with the old."""
    reloader: Reloader = request.app.state.reloader
    return await reloader.reload()


@router.get("/bundles", summary="The loaded bundles", response_description="All of them")
async def list_bundles(request: Request) -> Bundles:
    """Return every loaded bundle, the default first."""
    registry: Registry = request.app.state.registry
    return Bundles(bundles=[_summary(registry, c) for c in registry.classifiers])


@router.get(
    "/bundles/{name}",
    summary="One bundle, and the scores its threshold was chosen from",
    responses=responses(404),
    response_description="The bundle",
    openapi_extra=BUNDLE_NAME,
)
async def show_bundle(request: Request) -> BundleDetail:
    """Return one bundle."""
    registry: Registry = request.app.state.registry
    classifier = registry.find(request.path_params["name"])
    manifest = classifier.bundle.manifest
    return BundleDetail(
        **dict(_summary(registry, classifier)),
        tuning=manifest.tuning,
        backbone=manifest.backbone.name,
        encoder_digest=manifest.backbone.digest,
        created=manifest.created,
        calibration=_histogram(classifier),
        traffic=Traffic(
            **classifier.metrics.answers,
            p=list(P_VALUE_BUCKETS),
            images=classifier.metrics.images_at_most(),
        ),
    )


def _summary(registry: Registry, classifier: Classifier) -> BundleSummary:
    manifest, threshold = classifier.bundle.manifest, classifier.bundle.threshold
    return BundleSummary(
        name=manifest.name,
        version=manifest.version,
        default=classifier is registry.classifiers[0],
        classes=[ClassBody(name=c.name, display_name=c.display_name) for c in manifest.classes],
        score=manifest.score.name,
        threshold=ThresholdBody(
            **manifest.threshold.model_dump(),
            p_cut=threshold.p_cut,
            expected_rejection_rate=threshold.p_cut,
        ),
        marginal=manifest.marginal,
    )


def _histogram(classifier: Classifier) -> Histogram:
    counts, edges = np.histogram(classifier.bundle.calibration_scores_n, bins=_BINS)
    return Histogram(edges=edges.tolist(), counts=counts.tolist())
