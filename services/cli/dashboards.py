"""Writes deploy/grafana/dashboards/*.json: ``python -m services.cli.dashboards [--check]``.

With ``--check`` it writes nothing and exits with 1 where the files are not what the code says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.cli.dashboard_list import AGGREGATOR, INFERENCE, INGEST, OVERVIEW
from services.cli.dashboard_panels import Dashboard, Panel
from services.cli.dashboard_recognition import CAMERAS, QUALITY

TARGET = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
DASHBOARDS = (OVERVIEW, INGEST, INFERENCE, AGGREGATOR, CAMERAS, QUALITY)
ROW_WIDTH, STAT_WIDTH = 24, 6
WIDTHS = {1: 24, 2: 12, 4: 12}
"""Of a panel, where a heading has so many; else three stand side by side."""
HEADING, STAT, SERIES = 1, 4, 8
"""Heights in Grafana's units."""
SCHEMA = 39
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def main(arguments: list[str]) -> int:
    files = {TARGET / f"{one.uid}.json": document(one) for one in DASHBOARDS}
    if "--check" not in arguments:
        TARGET.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            path.write_text(text, encoding="utf-8")
        return 0
    lying = {path: path.read_text(encoding="utf-8") for path in TARGET.glob("*.json")}
    if lying == files:
        return 0
    sys.stderr.write("deploy/grafana/dashboards is not what the code says: run `make docs` and commit it\n")
    return 1


def document(dashboard: Dashboard) -> str:
    """A dashboard as Grafana reads it: one time range, one choice of the Prometheus to ask."""
    return json.dumps(_json(dashboard), indent=1, ensure_ascii=False) + "\n"


def _json(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["plateflow"],
        "schemaVersion": SCHEMA,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
                *(_variable(name, query) for name, query in dashboard.variables),
            ]
        },
        "links": [
            {"title": "plateflow", "type": "dashboards", "tags": ["plateflow"], "asDropdown": True, "keepTime": True}
        ],
        "panels": [{"id": number, **panel} for number, panel in enumerate(_panels(dashboard), 1)],
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    """A choice at the top of the page, of several values; all to begin with."""
    return {
        "name": name,
        "label": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    """Each heading and its panels, from left to right, then downwards."""
    top = 0
    for heading, panels in dashboard.rows:
        yield {
            "type": "row",
            "title": heading,
            "collapsed": False,
            "panels": [],
            "gridPos": _at(0, top, ROW_WIDTH, HEADING),
        }
        top += HEADING
        left = 0
        for panel in panels:
            height = STAT if panel.kind == "stat" else SERIES
            width = STAT_WIDTH if panel.kind == "stat" else WIDTHS.get(len(panels), ROW_WIDTH // 3)
            if left + width > ROW_WIDTH:
                left, top = 0, top + height
            yield _panel(panel) | {"gridPos": _at(left, top, width, height)}
            left += width
        top += STAT if panels[-1].kind == "stat" else SERIES


def _at(left: int, top: int, width: int, height: int) -> dict[str, int]:
    return {"x": left, "y": top, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": SOURCE,
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": SOURCE, "expr": query.expr, "legendFormat": query.legend}
            for number, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0} | _colours(panel), "overrides": []},
        "options": _options(panel),
    }


def _colours(panel: Panel) -> dict[str, Any]:
    if panel.bad_above is None:
        return {}
    steps = [{"color": "green", "value": None}, {"color": "red", "value": panel.bad_above + 1e-9}]
    return {"thresholds": {"mode": "absolute", "steps": steps}}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"]},
            "colorMode": "background" if panel.bad_above is not None else "none",
            "textMode": "value_and_name" if panel.queries[0].legend else "value",
        }
    return {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
