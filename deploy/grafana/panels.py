"""Panels of each kind, without a place, which the board gives them; and changes to one."""

from collections.abc import Sequence

from queries import NO_TRAFFIC, SOURCE, Json, Query


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
