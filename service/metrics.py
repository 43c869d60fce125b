"""Every metric of the service, with its labels and buckets.

All names are in this file, but for two that the reader of dead processes' files needs as well.
"""

import warnings
from bisect import bisect_left
from dataclasses import fields
from itertools import accumulate
from typing import Final, Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from models.bundle import Bundle
from models.decision import Decision
from service.errors import Outcome
from service.shared_metrics import IMAGES, RECEIVED, exposition, is_shared
from service.waiting import Stages
from service.workers import Reason

OUTCOMES: Final[tuple[Outcome, ...]] = (
    "accepted", "rejected", "invalid", "failed", "cancelled", "shed",
)  # fmt: skip
STAGES: Final = tuple(field.name for field in fields(Stages))
P_VALUE_BUCKETS: Final = (
    0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0,
)  # fmt: skip
SECONDS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
MAX_LABELS: Final = 200
OTHER: Final = "other"
"""The label of classes beyond the largest number, and of paths that no route has."""
_BUNDLE: Final = ("bundle", "version")
Mode = Literal["livesum", "livemin"]
"""How the values of several processes become one."""


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self) -> None:
        """Create them all, the counters that are not about a bundle at zero."""
        self.registry = registry = CollectorRegistry()
        if not is_shared():  # of several processes it would show the one that happens to answer
            ProcessCollector(registry=registry)
        self.received = Counter(
            RECEIVED,
            "Images that arrived, counted on arrival and not from their outcomes.",
            registry=registry,
        )
        self.images = Counter(
            IMAGES,
            "Images by outcome; without a bundle where a request named none that is loaded.",
            (*_BUNDLE, "outcome"),
            registry=registry,
        )
        self.predictions = Counter(
            "croft_predictions_total",
            "Answered images by most probable class; at most 200 classes, the rest is `other`.",
            (*_BUNDLE, "label", "outcome"),
            registry=registry,
        )
        self.reloads = Counter(
            "croft_reloads_total",
            "Reloads of the bundles: `done` or `failed`; after a failed one the old ones answer.",
            ("outcome",),
            registry=registry,
        )
        self.worker_restarts = Counter(
            "croft_worker_restarts_total",
            "Workers that were replaced, because they died or were stuck.",
            ("reason",),
            registry=registry,
        )
        self._add_histograms()
        self._add_gauges()
        self._start_at_zero()

    def _add_histograms(self) -> None:
        self.p_value = Histogram(
            "croft_p_value",
            "Conformal p-values of answered images: uniform on known traffic.",
            _BUNDLE,
            buckets=P_VALUE_BUCKETS,
            registry=self.registry,
        )
        self.stage_seconds = Histogram(
            "croft_stage_seconds",
            "Time an image spent in a stage.",
            ("stage",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.request_seconds = Histogram(
            "croft_request_seconds",
            "Time of a request, first byte to last.",
            ("route", "status"),
            buckets=SECONDS,
            registry=self.registry,
        )
        self.batch_images = Histogram(
            "croft_batch_images",
            "Images that were encoded in one call.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self.registry,
        )

    def _add_gauges(self) -> None:
        def gauge(name: str, text: str, mode: Mode) -> Gauge:
            return Gauge(name, text, multiprocess_mode=mode, registry=self.registry)

        def fact(name: str, text: str, labels: tuple[str, ...] = _BUNDLE) -> Gauge:
            return Gauge(
                name, text, labels, multiprocess_mode="livemostrecent", registry=self.registry
            )

        self.queue_images = gauge(
            "croft_queue_images", "Images that wait or are being uploaded.", "livesum"
        )
        self.queue_limit = gauge("croft_queue_limit_images", "How many may wait.", "livesum")
        self.ready = gauge("croft_ready", "1 if requests are welcome.", "livemin")
        self.bundle_info = fact(
            "croft_bundle_info",
            "1 for every loaded bundle.",
            (*_BUNDLE, "score", "method", "tuning", "backbone", "encoder"),
        )
        self.calibration_images = fact("croft_calibration_images", "Calibration images.")
        self.calibration_rank = fact(
            "croft_calibration_rank", "Rank of the threshold among the calibration scores."
        )
        self.expected_rejection_rate = fact(
            "croft_expected_rejection_rate",
            "Share of known images that is rejected on average: rank / (n + 1).",
        )
        self.alpha = fact("croft_alpha", "Largest share of known images that may be rejected.")
        self._of_bundle = (
            self.calibration_images,
            self.calibration_rank,
            self.expected_rejection_rate,
            self.alpha,
        )

    def _start_at_zero(self) -> None:
        for outcome in OUTCOMES[2:]:
            self.images.labels("", "", outcome)
        for reload in ("done", "failed"):
            self.reloads.labels(reload)
        self._stages = {stage: self.stage_seconds.labels(stage) for stage in STAGES}
        self.request_seconds.labels("/classify", "200")
        for reason in get_args(Reason):
            self.worker_restarts.labels(reason)
        self.ready.set(0)

    def add_bundle(self, bundle: Bundle) -> "BundleMetrics":
        """Publish what a bundle is, and start all of its series at zero."""
        threshold = bundle.threshold
        key = _key(bundle)
        self.bundle_info.labels(*_facts(bundle)).set(1)
        self.calibration_images.labels(*key).set(threshold.n)
        self.calibration_rank.labels(*key).set(threshold.rank)
        self.expected_rejection_rate.labels(*key).set(threshold.p_cut)
        self.alpha.labels(*key).set(threshold.alpha)
        return BundleMetrics(self, key, bundle.manifest.labels)

    def remove_bundle(self, bundle: Bundle) -> None:
        """Publish no longer what a bundle is. What was counted stays, or sums would fall."""
        with warnings.catch_warnings():  # several processes: `exposition` leaves them out
            warnings.simplefilter("ignore", UserWarning)
            self.bundle_info.remove(*_facts(bundle))
            for gauge in self._of_bundle:
                gauge.remove(*_key(bundle))

    def exposition(self) -> bytes:
        """Return the metrics of all processes behind the port in the text format of Prometheus."""
        if is_shared():
            return exposition((self.bundle_info, *self._of_bundle))
        return generate_latest(self.registry)

    def staged(self, stages: Stages) -> None:
        """Note how long an answered image spent in each stage."""
        for stage, histogram in self._stages.items():
            histogram.observe(getattr(stages, stage))

    # What an engine reports: service.engine.Observer.

    def queue_changed(self, images: int) -> None:
        """Note that so many images joined (or, negative, left) the queue."""
        self.queue_images.inc(images)

    def batch_encoded(self, images: int) -> None:
        """Note the size of a batch."""
        self.batch_images.observe(images)

    def worker_restarted(self, reason: Reason) -> None:
        """Count a worker that was replaced."""
        self.worker_restarts.labels(reason).inc()


def _key(bundle: Bundle) -> tuple[str, str]:
    return bundle.manifest.name, bundle.manifest.version


def _facts(bundle: Bundle) -> tuple[str, ...]:
    manifest = bundle.manifest
    return (
        *_key(bundle),
        manifest.score.name,
        bundle.threshold.method,
        manifest.tuning,
        manifest.backbone.name,
        manifest.backbone.digest.removeprefix("sha256:")[:12],
    )


class BundleMetrics:
    """The series of one bundle."""

    def __init__(self, metrics: Metrics, key: tuple[str, str], labels: list[str]) -> None:
        """Create every combination of labels, so that rates have a zero to start from."""
        self.key = key
        named = labels if len(labels) <= MAX_LABELS else [*labels[: MAX_LABELS - 1], OTHER]
        answered = OUTCOMES[:2]
        self._p_value = metrics.p_value.labels(*key)
        self._predictions = {
            (label, outcome): metrics.predictions.labels(*key, label, outcome)
            for label in named
            for outcome in answered
        }
        for outcome in OUTCOMES:
            metrics.images.labels(*key, outcome)
        # For the page, which has no Prometheus to ask.
        self.answers: dict[Outcome, int] = dict.fromkeys(answered, 0)
        self._below = [0] * len(P_VALUE_BUCKETS)

    def answered(self, decision: Decision) -> Outcome:
        """Count an answer, and return which of the outcomes it is."""
        outcome: Outcome = "rejected" if decision.rejected else "accepted"
        best = decision.candidates[0].label
        label = best if (best, outcome) in self._predictions else OTHER
        self._predictions[label, outcome].inc()
        self._p_value.observe(decision.p_value)
        self.answers[outcome] += 1
        self._below[bisect_left(P_VALUE_BUCKETS, decision.p_value)] += 1
        return outcome

    def images_at_most(self) -> list[int]:
        """Return how many answers of this process had a p-value of at most each bucket's limit."""
        return list(accumulate(self._below))
