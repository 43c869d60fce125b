"""The board Overview."""

from board import board
from panels import colour, dashed, empty, lines, stat, steps
from queries import (
    ANSWERED,
    BUNDLE,
    CLASSIFY,
    IMAGES_PER_SECOND,
    INSTANCE,
    NO_SERVICE,
    RATE,
    RECEIVED,
    REJECTED,
    VERSION,
    Json,
    Query,
    quantile,
)


def overview() -> Json:
    """Does it answer, how fast, and does the model know what it sees?"""
    return board(
        "croft-overview",
        "Croft overview",
        "Traffic, outcomes, latency, queue, and how often images are rejected.",
        (4, _headline()),
        (8, [_outcomes(), _rejection_rate()]),
        (8, [_latency(), _stages()]),
        (8, [_not_answered_over_time(), _queue(), _batches()]),
    )


def _headline() -> list[Json]:
    return [
        steps(_ready_share(), (None, "red"), (1, "green")),
        steps(_alerts(), (None, "green"), (1, "red")),
        _received(),
        _rejected(),
        steps(_not_answered(), (None, "green"), (0.001, "orange"), (0.01, "red")),
        steps(_p95(), (None, "green"), (0.5, "orange"), (1, "red")),
    ]


def _ready_share() -> Json:
    made = stat(
        "Ready",
        "Replicas that take requests, as the share of those that are scraped. A replica is ready "
        "once its bundles are verified and their golden images give the expected scores.",
        Query(expr=f"avg(croft_ready{{{INSTANCE}}})", legend="ready", instant=True),
        unit="percentunit",
    )
    return empty(made, says=NO_SERVICE)


def _alerts() -> Json:
    firing = 'ALERTS{alertname=~"Croft.*",alertstate="firing"}'
    return stat(
        "Alerts",
        "Alerts of Croft that fire now. Each has a runbook; Prometheus lists them under /alerts.",
        Query(expr=f"count({firing}) or vector(0)", legend="alerts", instant=True),
        unit="none",
    )


def _received() -> Json:
    return stat(
        "Images per second",
        "Images received, before anything is known about them.",
        Query(expr=RECEIVED, legend="images"),
        unit=IMAGES_PER_SECOND,
    )


def _rejected() -> Json:
    rejected, answered = (f"sum(increase({of}[$__range]))" for of in (REJECTED, ANSWERED))
    return stat(
        "Rejected",
        "Share of the answered images that were rejected, over the whole time range shown.",
        Query(expr=f"{rejected} / ({answered} > 0)", legend="rejected", instant=True),
        unit="percentunit",
    )


def _not_answered() -> Json:
    lost = f'sum(rate(croft_images_total{{{INSTANCE},outcome=~"failed|shed"}}{RATE}))'
    return stat(
        "Not answered",
        "Share of the received images that got no answer through no fault of theirs: failed "
        "inside the service, or shed because the queue was full or their time was up.",
        Query(expr=f"{lost} / ({RECEIVED} > 0)", legend="not answered"),
        unit="percentunit",
    )


def _p95() -> Json:
    return stat(
        "Latency p95",
        "95 % of the requests to /classify that were answered took no longer than this.",
        Query(expr=quantile(0.95, CLASSIFY), legend="p95"),
        unit="s",
    )


def _outcomes() -> Json:
    return colour(
        lines(
            "Traffic by outcome",
            "Images per second by what became of them. accepted and rejected were answered; "
            "invalid could not be read as an image; failed, cancelled and shed were not answered.",
            Query(
                expr=f"sum by (outcome) (rate(croft_images_total{{{INSTANCE}}}{RATE}))",
                legend="{{outcome}}",
            ),
            unit=IMAGES_PER_SECOND,
            stacked=True,
        ),
        accepted="green",
        rejected="orange",
        invalid="yellow",
        failed="red",
        cancelled="blue",
        shed="purple",
    )


def _rejection_rate() -> Json:
    rejected, answered = (
        f"sum by (bundle, version) (rate({of}{RATE}))" for of in (REJECTED, ANSWERED)
    )
    return dashed(
        lines(
            "Rejection rate at this moment",
            "Share of the answered images that were rejected, and, dashed, what calibration leads "
            "to expect on known traffic, r/(n+1). A moment holds few images: whether the "
            "difference means something is on the board Croft open-set.",
            Query(
                expr=f"{rejected} / ({answered} > 0)",
                legend=f"rejected {VERSION}",
            ),
            Query(
                expr=f"bundle:croft_rejection_expected:ratio{{{BUNDLE}}}",
                legend=f"expected {VERSION}",
            ),
            unit="percentunit",
        ),
        expected="blue",
    )


def _latency() -> Json:
    return lines(
        "Latency",
        "How long requests to /classify that were answered took, from the first byte to the last: "
        "the median, 95 % and 99 %.",
        *(
            Query(expr=quantile(q, CLASSIFY), legend=name)
            for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
        ),
        unit="s",
    )


def _stages() -> Json:
    metric = f"croft_stage_seconds_bucket{{{INSTANCE}}}"
    return lines(
        "Latency by stage, p95",
        "Where the time goes: reading the upload, waiting for a worker, decoding, encoding (of the "
        "batch it was in), deciding.",
        Query(expr=quantile(0.95, metric, by="le, stage"), legend="{{stage}}"),
        unit="s",
    )


def _not_answered_over_time() -> Json:
    return colour(
        lines(
            "Errors and shedding",
            "Shares of the received images, over five minutes and all instances: failed inside the "
            "service (500), and shed because the queue was full or their time was up (503, 504). "
            "Above 1 % is an alert.",
            Query(expr="croft:images_failed:ratio5m", legend="failed"),
            Query(expr="croft:images_shed:ratio5m", legend="shed"),
            unit="percentunit",
        ),
        failed="red",
        shed="purple",
    )


def _queue() -> Json:
    return dashed(
        empty(
            lines(
                "Queue",
                "Images that wait for a worker or are being uploaded, and, dashed, how many may. "
                "When it is full, images are shed with 503.",
                Query(expr=f"sum(croft_queue_images{{{INSTANCE}}})", legend="waiting"),
                Query(expr=f"sum(croft_queue_limit_images{{{INSTANCE}}})", legend="limit"),
                unit="suffix: img",
            ),
            says=NO_SERVICE,
        ),
        limit="red",
    )


def _batches() -> Json:
    total = f"sum(rate(croft_batch_images_sum{{{INSTANCE}}}{RATE}))"
    batches = f"sum(rate(croft_batch_images_count{{{INSTANCE}}}{RATE}))"
    return lines(
        "Images per batch",
        "Images that were encoded in one call, on average. It grows with the load: workers take "
        "what waits.",
        Query(expr=f"{total} / ({batches} > 0)", legend="mean"),
        unit="suffix: img",
    )
