"""A board: its shelves of panels, its variables, links and annotations."""

from collections.abc import Sequence
from typing import Final

from queries import BUNDLE, SOURCE, VERSION, Json

COLUMNS: Final = 24


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
