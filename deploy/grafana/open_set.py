"""The board Open-set."""

from itertools import pairwise

from board import board
from panels import bars, column_unit, dashed, empty, limit, lines, panel, steps, table
from queries import BINS, BUNDLE, INSTANCE, NO_SERVICE, RATE, VERSION, Json, Query, rows


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
