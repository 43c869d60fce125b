"""What Grafana does with a panel before it draws: variables, names, units, colours."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Panel = dict[str, Any]

COLOURS: Final = {
    "green": "#2a8a3e",
    "yellow": "#d9a300",
    "orange": "#e66a00",
    "red": "#d0232f",
    "blue": "#0072b2",
    "purple": "#8a4fbf",
}
_SCALES: Final = {
    "s": ((3600, "h"), (60, "min"), (1, "s"), (1e-3, "ms"), (1e-6, "µs")),
    "bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")),
}


@dataclass(frozen=True, slots=True)
class Series:
    """What a query found for one set of labels; N samples, one if the query was instant."""

    name: str
    labels: Mapping[str, str]
    column: str
    """The query's own name, which a table has as the title of a column."""
    times_N: NDArray[np.float64]
    """Seconds since 1970."""
    values_N: NDArray[np.float64]

    @property
    def last(self) -> float:
        """The value that is shown where there is room for one."""
        return float(self.values_N[-1])


def substitute(expression: str, *, interval: str = "1m", span: str = "1h") -> str:
    """Return PromQL as Grafana would send it with all bundles and instances chosen.

    Args:
        expression: with Grafana's variables.
        interval: what rates are taken over.
        span: the length of time that is shown.

    Raises:
        ValueError: it has a variable that nothing defines.
    """
    values = {
        "$__rate_interval": interval,
        "$__range": span,
        "$bundle": ".*",
        "$instance": ".*",
    }
    for name, value in values.items():
        expression = expression.replace(name, value)
    if "$" in expression:
        raise ValueError(f"a variable that nothing defines: {expression}")
    return expression


def named(target: Mapping[str, Any], found: Sequence[Mapping[str, Any]]) -> list[Series]:
    """Return what Prometheus answered to a query of a panel, with names for the legend."""
    series = []
    for one in found:
        labels = {key: value for key, value in one["metric"].items() if key != "__name__"}
        samples = np.array(one.get("values") or [one["value"]], dtype=np.float64)
        legend = target["legendFormat"]
        series.append(Series(_name(legend, labels), labels, legend, samples[:, 0], samples[:, 1]))
    return series


def _name(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{(\w+)}}", lambda match: labels.get(match[1], ""), legend)


def formatted(value: float, unit: str, *, decimals: int | None = None) -> str:
    """Return a value with its unit, to three digits unless ``decimals`` says otherwise.

    Raises:
        ValueError: no panel has had this unit so far.
    """
    if unit == "none":
        return _digits(value, decimals)
    if unit == "percentunit":
        return f"{_digits(100 * value, decimals)} %"
    if unit.startswith("suffix:"):
        return _digits(value, decimals) + unit.removeprefix("suffix:")
    if unit in _SCALES:
        size, name = scale(value, unit)
        return f"{_digits(value / size, decimals)} {name}"
    raise ValueError(f"The unit {unit} is not known here. Teach it to {__name__}.formatted.")


def scale(value: float, unit: str) -> tuple[float, str]:
    """Return the size and name of what a value is counted in: seconds, or milliseconds."""
    scales = _SCALES.get(unit, ((1, ""),))
    if value == 0:
        return next((size, name) for size, name in scales if size == 1)
    return next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])


def _digits(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def threshold_colour(panel: Panel, value: float) -> str:
    """Return the colour that the panel's thresholds give a value."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    passed = [step["color"] for step in steps if step["value"] is None or step["value"] <= value]
    return COLOURS[passed[-1]]


def mapped(panel: Panel, value: float) -> tuple[str, str] | None:
    """Return the text and colour that the panel has for exactly this value, if any."""
    for mapping in panel["fieldConfig"]["defaults"].get("mappings", []):
        if chosen := mapping["options"].get(f"{value:g}"):
            return chosen["text"], COLOURS[chosen["color"]]
    return None


def overrides(panel: Panel, name: str) -> dict[str, Any]:
    """Return the properties that the panel sets for a series or column of this name."""
    found: dict[str, Any] = {}
    for override in panel["fieldConfig"]["overrides"]:
        matcher, wanted = override["matcher"]["id"], override["matcher"]["options"]
        if name == wanted if matcher == "byName" else re.search(wanted.strip("/"), name):
            found |= {entry["id"]: entry["value"] for entry in override["properties"]}
    return found
