"""The board Instances."""

from board import board
from panels import empty, limit, lines, stat, table
from queries import (
    BUNDLE,
    IMAGES_PER_SECOND,
    INSTANCE,
    NO_SERVICE,
    ONE_PROCESS,
    PROCESS,
    RATE,
    Json,
    Query,
    rows,
)


def instances() -> Json:
    """Is every replica well, and do they serve the same?"""
    return board(
        "croft-instances",
        "Croft instances",
        "Every replica: readiness, versions, load, memory and processor.",
        (6, [_ready(), _versions()]),
        (8, [_traffic_by_instance(), _places(), _wait()]),
        (8, [_batches_by_instance(), _memory(), _processor()]),
        (8, [_replaced(), _started(), _reloads()]),
    )


def _ready() -> Json:
    made = stat(
        "Ready by instance",
        "1: takes requests. 0: a golden image was not reproduced, the encoder only fails, or it is "
        "shutting down; /readyz says which.",
        Query(expr=f"croft_ready{{{INSTANCE}}}", legend="{{instance}}", instant=True),
        unit="none",
    )
    states = {
        "0": {"text": "not ready", "color": "red"},
        "1": {"text": "ready", "color": "green"},
    }
    made["fieldConfig"]["defaults"]["mappings"] = [{"type": "value", "options": states}]
    return empty(made, says=NO_SERVICE)


def _versions() -> Json:
    return empty(
        table(
            "Versions by instance",
            "Which bundles each replica has loaded. Replicas that differ for a quarter of an hour "
            "are an alert.",
            rows(
                "loaded",
                f"count by (bundle, version, instance) (croft_bundle_info{{{BUNDLE},{INSTANCE}}})",
            ),
        ),
        says=NO_SERVICE,
    )


def _traffic_by_instance() -> Json:
    return lines(
        "Images per second by instance",
        "Images received by each replica. They are about equal if the load is spread well.",
        Query(
            expr=f"sum by (instance) (rate(croft_images_received_total{{{INSTANCE}}}{RATE}))",
            legend="{{instance}}",
        ),
        unit=IMAGES_PER_SECOND,
    )


def _places() -> Json:
    taken = f"croft_queue_images{{{INSTANCE}}}"
    return limit(
        empty(
            lines(
                "Places taken in the queue",
                "Images that wait or are being uploaded, as the share of how many may. Above 80 % "
                "for five minutes is an alert.",
                Query(
                    expr=f"{taken} / (croft_queue_limit_images{{{INSTANCE}}} > 0)",
                    legend="{{instance}}",
                ),
                unit="percentunit",
            ),
            says=NO_SERVICE,
        ),
        0.8,
    )


def _wait() -> Json:
    return lines(
        "Queue wait per image",
        "How long an image waited for a worker, on average over five minutes.",
        Query(expr=f"instance:croft_queue_seconds:mean5m{{{INSTANCE}}}", legend="{{instance}}"),
        unit="s",
    )


def _batches_by_instance() -> Json:
    return lines(
        "Images per batch by instance",
        "Images that were encoded in one call, on average over five minutes.",
        Query(expr=f"instance:croft_batch_images:mean5m{{{INSTANCE}}}", legend="{{instance}}"),
        unit="suffix: img",
    )


def _memory() -> Json:
    return empty(
        lines(
            "Memory",
            "Resident memory of each process. It grows with large images and for the length of a "
            "reload, which holds old and new bundles.",
            Query(expr=f"process_resident_memory_bytes{{{PROCESS}}}", legend="{{instance}}"),
            unit="bytes",
        ),
        says=ONE_PROCESS,
    )


def _processor() -> Json:
    return empty(
        lines(
            "Processor",
            "Processor cores that each process keeps busy. Workers encode one image or batch each, "
            "on one core.",
            Query(
                expr=f"rate(process_cpu_seconds_total{{{PROCESS}}}{RATE})", legend="{{instance}}"
            ),
            unit="suffix: cores",
        ),
        says=ONE_PROCESS,
    )


def _replaced() -> Json:
    replaced = f"croft_worker_restarts_total{{{INSTANCE}}}"
    return empty(
        lines(
            "Workers replaced",
            "Workers of the engine that died or were stuck, in the last quarter of an hour. Three "
            "are an alert.",
            Query(
                expr=f"sum by (instance, reason) (increase({replaced}[15m]))",
                legend="{{instance}} {{reason}}",
            ),
            unit="none",
        ),
        says=NO_SERVICE,
    )


def _started() -> Json:
    return empty(
        lines(
            "Time since the start",
            "How long each process has run. A saw-tooth is a process that is restarted again and "
            "again.",
            Query(expr=f"time() - process_start_time_seconds{{{PROCESS}}}", legend="{{instance}}"),
            unit="s",
        ),
        says=ONE_PROCESS,
    )


def _reloads() -> Json:
    reloads = f"croft_reloads_total{{{INSTANCE}}}"
    return empty(
        lines(
            "Reloads of bundles",
            "Reloads within an hour: done, or failed, after which the old bundles go on answering.",
            Query(
                expr=f"sum by (instance, outcome) (increase({reloads}[1h]))",
                legend="{{instance}} {{outcome}}",
            ),
            unit="none",
        ),
        says=NO_SERVICE,
    )
