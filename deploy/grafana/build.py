"""The Grafana dashboards: made here, committed as JSON.

    python deploy/grafana/build.py            # write dashboards/*.json
    python deploy/grafana/build.py --check    # fail if a file is not what this makes

Plain dictionaries: Grafana's own SDK for Python is alpha and bound to a minor version of Grafana.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

Json = dict[str, Any]

FOLDER: Final = Path(__file__).parent / "dashboards"
SOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS: Final = 24
BUNDLE: Final = 'bundle=~"$bundle"'
INSTANCE: Final = 'instance=~"$instance"'
PROCESS: Final = f'job="croft",{INSTANCE}'
ANSWERED: Final = f'croft_images_total{{{BUNDLE},{INSTANCE},outcome=~"accepted|rejected"}}'
REJECTED: Final = f'croft_images_total{{{BUNDLE},{INSTANCE},outcome="rejected"}}'
CLASSIFY: Final = f'croft_request_seconds_bucket{{route="/classify",status="200",{INSTANCE}}}'
VERSION: Final = "{{bundle}}@{{version}}"
RATE: Final = "[$__rate_interval]"
RECEIVED: Final = f"sum(rate(croft_images_received_total{{{INSTANCE}}}{RATE}))"
NO_TRAFFIC: Final = "no traffic"
NO_SERVICE: Final = "no service"
ONE_PROCESS: Final = "shown for one process behind a port"
IMAGES_PER_SECOND: Final = "suffix: img/s"
BINS: Final = ("0", "0.05", "0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9", "1.0")
"""Edges of the p-value histogram as shown; buckets below 0.05 are too narrow for small n."""


# Queries.


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """PromQL, and the name of its series."""

    expr: str
    legend: str = ""
    instant: bool = False
    format: str = "time_series"

    def target(self, ref: str) -> Json:
        """Return it as a panel holds it."""
        return {
            "refId": ref,
            "datasource": SOURCE,
            "expr": self.expr,
            "legendFormat": self.legend,
            "format": self.format,
            "instant": self.instant,
            "range": not self.instant,
        }


def quantile(q: float, metric: str, *, by: str = "le") -> str:
    """A quantile of a histogram; no value, not NaN, where nothing was observed."""
    return f"histogram_quantile({q}, sum by ({by}) (rate({metric}{RATE}))) >= 0"


def rows(name: str, expr: str) -> Query:
    """A query whose labels are a table's columns; its value is the column ``name``."""
    return Query(expr=expr, legend=name, instant=True, format="table")


# Panels: without a place, which the board gives them.


def panel(kind: str, title: str, text: str, queries: Sequence[Query], *, unit: str) -> Json:
    """What every panel has. ``text`` is shown behind its (i)."""
    return {
        "type": kind,
        "title": title,
        "description": text,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "noValue": NO_TRAFFIC}, "overrides": []},
        "options": {},
        "targets": [query.target(chr(ord("A") + i)) for i, query in enumerate(queries)],
    }


def stat(title: str, text: str, query: Query, *, unit: str) -> Json:
    """One number, or one for each series."""
    made = panel("stat", title, text, [query], unit=unit)
    made["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"]},
        "colorMode": "value",
        "graphMode": "none" if query.instant else "area",
    }
    return steps(made, (None, "green"))  # Grafana's own default turns red at 80


def lines(title: str, text: str, *queries: Query, unit: str, stacked: bool = False) -> Json:
    """Curves over time, from zero."""
    made = panel("timeseries", title, text, queries, unit=unit)
    made["fieldConfig"]["defaults"] |= {
        "min": 0,
        "custom": {
            # Without lines, what is zero does not hide what it stands on.
            "lineWidth": 0 if stacked else 2,
            "fillOpacity": 70 if stacked else 0,
            "showPoints": "never",
            "stacking": {"mode": "normal" if stacked else "none"},
        },
    }
    made["options"] = {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return made


def bars(title: str, text: str, *queries: Query, unit: str) -> Json:
    """One bar for each series, of its last value."""
    made = panel("bargauge", title, text, queries, unit=unit)
    made["fieldConfig"]["defaults"]["min"] = 0
    made["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"]},
        "orientation": "horizontal",
        "displayMode": "basic",
    }
    return steps(made, (None, "blue"))


def table(title: str, text: str, *queries: Query, unit: str = "none") -> Json:
    """One row for each set of labels, one column for each query."""
    made = panel("table", title, text, queries, unit=unit)
    values = {f"Value #{target['refId']}": target["legendFormat"] for target in made["targets"]}
    made["transformations"] = [
        {"id": "merge", "options": {}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {"Time": True},
                # A single query's value column carries no letter.
                "renameByName": values | {"Value": queries[0].legend},
            },
        },
    ]
    return made


def empty(made: Json, *, says: str) -> Json:
    """Say something else than "no traffic" where there is nothing to show."""
    made["fieldConfig"]["defaults"]["noValue"] = says
    return made


def steps(made: Json, *colours: tuple[float | None, str]) -> Json:
    """Colour values from each bound on; the first has none."""
    made["fieldConfig"]["defaults"]["thresholds"] = {
        "mode": "absolute",
        "steps": [{"color": colour, "value": bound} for bound, colour in colours],
    }
    return made


def limit(made: Json, at: float) -> Json:
    """Draw a line that values should stay below."""
    made["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"] = {"mode": "dashed"}
    return steps(made, (None, "transparent"), (at, "red"))


def colour(made: Json, **colours: str) -> Json:
    """Give series a colour of their own, by name."""
    for name, chosen in colours.items():
        _override(made, {"id": "byName", "options": name}, _fixed(chosen))
    return made


def dashed(made: Json, **colours: str) -> Json:
    """Dash the series whose names begin so."""
    style = {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 6]}}
    for start, chosen in colours.items():
        _override(made, {"id": "byRegexp", "options": f"/^{start}/"}, style, _fixed(chosen))
    return made


def column_unit(made: Json, unit: str, *names: str) -> Json:
    """Give columns of a table a unit of their own."""
    for name in names:
        _override(made, {"id": "byName", "options": name}, {"id": "unit", "value": unit})
    return made


def _override(made: Json, matcher: Json, *properties: Json) -> None:
    made["fieldConfig"]["overrides"].append({"matcher": matcher, "properties": list(properties)})


def _fixed(chosen: str) -> Json:
    return {"id": "color", "value": {"mode": "fixed", "fixedColor": chosen}}


# Boards.


def board(uid: str, title: str, text: str, *shelves: tuple[int, Sequence[Json]]) -> Json:
    """A board of shelves, each with its height and the panels that share its width."""
    return {
        "id": None,
        "uid": uid,
        "title": title,
        "description": text,
        "tags": ["croft"],
        "schemaVersion": 41,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "timezone": "",
        "annotations": {"list": _changes_of_bundles()},
        "links": [_links()],
        "templating": {"list": _variables()},
        "panels": _placed(shelves),
    }


def _placed(shelves: Sequence[tuple[int, Sequence[Json]]]) -> list[Json]:
    placed: list[Json] = []
    y = 0
    for height, panels in shelves:
        for i, made in enumerate(panels):
            left, right = (COLUMNS * edge // len(panels) for edge in (i, i + 1))
            place = {"x": left, "y": y, "w": right - left, "h": height}
            placed.append({"id": len(placed) + 1, **made, "gridPos": place})
        y += height
    return placed


def _variables() -> list[Json]:
    return [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
        },
        _variable("bundle", "Bundle", "label_values(croft_bundle_info, bundle)"),
        _variable("instance", "Instance", "label_values(croft_ready, instance)"),
    ]


def _variable(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _links() -> Json:
    return {
        "type": "dashboards",
        "title": "Croft",
        "tags": ["croft"],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "dashboard",
    }


def _changes_of_bundles() -> list[Json]:
    now = f"count by (bundle, version) (croft_bundle_info{{{BUNDLE}}})"
    before = f"count by (bundle, version) (croft_bundle_info{{{BUNDLE}}} offset 5m)"
    return [
        _annotation("Bundle loaded", f"{now} unless {before}", "green"),
        _annotation("Bundle removed", f"{before} unless {now}", "orange"),
    ]


def _annotation(name: str, expr: str, chosen: str) -> Json:
    return {
        "name": name,
        "enable": True,
        "datasource": SOURCE,
        "expr": expr,
        "step": "60s",
        "titleFormat": name,
        "textFormat": VERSION,
        "iconColor": chosen,
    }


# What they show.


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


def open_set() -> Json:
    """Does the model still know what it is looking at?"""
    return board(
        "croft-open-set",
        "Croft open-set",
        "Does the model still know what it is looking at? All of the last hour. docs/monitoring.md "
        "explains the limits.",
        (8, [_band(), _drift()]),
        (8, [_jump(), _what_if()]),
        (9, [_p_values(), _p_values_over_time()]),
        (9, [_classes(), _classes_jump()]),
        (5, [_calibration()]),
    )


def _recorded(name: str, legend: str) -> Query:
    return Query(expr=f"{name}{{{BUNDLE}}}", legend=f"{legend} {VERSION}")


def _band() -> Json:
    return dashed(
        lines(
            "Rejection rate and its band",
            "Share of the last hour's answered images that was rejected. Expected: r/(n+1). Dashed "
            "red: the band in which known images stay, whatever the calibration draw was and "
            "however many images came. Outside it for a quarter of an hour is an alert.",
            _recorded("bundle:croft_rejection:ratio1h", "rejected"),
            _recorded("bundle:croft_rejection_expected:ratio", "expected"),
            _recorded("bundle:croft_rejection_upper:ratio1h", "upper"),
            _recorded("bundle:croft_rejection_lower:ratio1h", "lower"),
            unit="percentunit",
        ),
        expected="blue",
        upper="red",
        lower="red",
    )


def _drift() -> Json:
    return dashed(
        lines(
            "p-values: distance from known images",
            "Largest difference between the distribution of the last hour's p-values and that of "
            "known images. Dashed: what the calibration draw and the number of images explain. "
            "Above it, users send other images than the model was calibrated on, even if no more "
            "of them are rejected.",
            _recorded("bundle:croft_p_value_distance:max1h", "distance"),
            _recorded("bundle:croft_p_value_distance_limit:max1h", "limit"),
            unit="percentunit",
        ),
        limit="red",
    )


def _jump() -> Json:
    made = lines(
        "Rejection rate against the day before",
        "By how many standard deviations the last hour's rejected share is above that of the day "
        "before it. Above 5, and by more than 2 percentage points, is an alert. It needs 500 "
        "images in that day.",
        _recorded("bundle:croft_rejection_jump:sd", "sd"),
        unit="suffix: sd",
    )
    del made["fieldConfig"]["defaults"]["min"]  # fewer than before is below zero
    return limit(empty(made, says="needs a day of traffic"), 5)


def _what_if() -> Json:
    share = f'bundle:croft_p_value_share:ratio1h{{{BUNDLE},le=~"0.01|0.02|0.05|0.1"}}'
    return lines(
        "What other thresholds would reject",
        "Share of the last hour's images that marginal thresholds at 1, 2, 5 and 10 % would have "
        "rejected. On known images each is about its own level.",
        Query(expr=share, legend=f"at {{{{le}}}} {VERSION}"),
        unit="percentunit",
    )


def _p_values() -> Json:
    made = bars(
        "p-values against calibration",
        "Histogram of the last hour's p-values, divided by what known images give: all bars are "
        "about 1 on known images. Unknown images make the first one tall; another style tilts "
        "them. The mean of the chosen bundles.",
        *(_density(low, high) for low, high in pairwise(BINS)),
        unit="suffix: x",
    )
    made["fieldConfig"]["defaults"]["decimals"] = 2
    return steps(made, (None, "blue"), (1.5, "orange"), (3, "red"))


def _density(low: str, high: str) -> Query:
    at_most = 'bundle:croft_p_value_share:ratio1h{{{bundle},le="{edge}"}}'
    share = at_most.format(bundle=BUNDLE, edge=high)
    if low != "0":
        share = f"{share} - ignoring (le) {at_most.format(bundle=BUNDLE, edge=low)}"
    per_width = round(1 / (float(high) - float(low)))
    return Query(expr=f"avg({share}) * {per_width}", legend=f"{low} to {high}", instant=True)


def _p_values_over_time() -> Json:
    made = panel(
        "heatmap",
        "p-values over time",
        "How many answered images had a p-value in each bucket; the label is its upper end. "
        "Buckets below 0.1 are narrower, so they are paler on known images. A dark lowest row: "
        "unknown images.",
        [
            Query(
                expr=f"sum by (le) (increase(croft_p_value_bucket{{{BUNDLE},{INSTANCE}}}{RATE}))",
                legend="{{le}}",
                format="heatmap",
            )
        ],
        unit="suffix: img",
    )
    made["options"] = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "yAxis": {"axisPlacement": "left", "unit": "none"},
        "rowsFrame": {"layout": "le"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "legend": {"show": True},
    }
    return made


def _classes() -> Json:
    enough = f"label:croft_answered:increase1h{{{BUNDLE}}} >= 20"
    return bars(
        "Classes whose images are rejected most",
        "Of the last hour's images that look most like a class, the share that was rejected. The "
        "ten largest, with at least 20 images.",
        Query(
            expr=f"topk(10, label:croft_rejection:ratio1h{{{BUNDLE}}} and {enough})",
            legend="{{label}} " + VERSION,
            instant=True,
        ),
        unit="percentunit",
    )


def _classes_jump() -> Json:
    return steps(
        empty(
            bars(
                "Classes against the day before",
                "By how many standard deviations a class's rejected share of the last hour is "
                "above that of the day before it: the ten largest. Above 5, and by more than 5 "
                "percentage points, is an alert.",
                Query(
                    expr=f"topk(10, label:croft_rejection_jump:sd{{{BUNDLE}}})",
                    legend="{{label}} " + VERSION,
                    instant=True,
                ),
                unit="suffix: sd",
            ),
            says="needs a day of traffic",
        ),
        (None, "blue"),
        (5, "red"),
    )


def _calibration() -> Json:
    made = table(
        "Calibration",
        "What each bundle was calibrated on and what it promises: n images, the rank r of the "
        "threshold among their scores, the expected share of known images that is rejected, "
        "r/(n+1), and alpha, which it stays below.",
        rows("images (n)", _fact("croft_calibration_images")),
        rows("rank (r)", _fact("croft_calibration_rank")),
        rows("expected", _fact("croft_expected_rejection_rate")),
        rows("alpha", _fact("croft_alpha")),
    )
    return empty(column_unit(made, "percentunit", "expected", "alpha"), says=NO_SERVICE)


def _fact(metric: str) -> str:
    bundles = f"max by (bundle, version, score, method, backbone) (croft_bundle_info{{{BUNDLE}}})"
    fact = f"max by (bundle, version) ({metric}{{{BUNDLE}}})"
    return f"{bundles} * on (bundle, version) group_left () {fact}"


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


BOARDS: Final = {
    "overview.json": overview,
    "open-set.json": open_set,
    "instances.json": instances,
}


def main(arguments: Sequence[str]) -> str | None:
    """Write the boards, or compare them; return what is wrong."""
    if list(arguments) not in ([], ["--check"]):
        return f"Usage: build.py [--check], but given: {' '.join(arguments)}"
    made = {name: json.dumps(make(), indent=1) + "\n" for name, make in BOARDS.items()}
    if arguments:
        return _differences(made)
    for name, text in made.items():
        (FOLDER / name).write_text(text)
    return None


def _differences(made: dict[str, str]) -> str | None:
    found = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    wrong = sorted(name for name in made.keys() | found.keys() if made.get(name) != found.get(name))
    if not wrong:
        return None
    return f"Not what build.py makes: {', '.join(wrong)}. Run python deploy/grafana/build.py."


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
