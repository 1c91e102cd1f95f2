#!/usr/bin/env python3
"""Writes souk.json, the dashboard, from the panels of rows.py.

    python3 deploy/grafana/make.py            writes it
    python3 deploy/grafana/make.py --check    says whether it is what this writes

To have it in Grafana, 11 or newer: Dashboards, New, Import. `make watch-test` asks a real Prometheus all that it asks.
Two figures, calls that fail and slow ones, are recorded by ../prometheus/rules.yml.
"""

import json
import sys
from pathlib import Path

from rows import ROWS
from shapes import DATASOURCE, MODEL, SERVER

FILE = Path(__file__).with_name("souk.json")


def laid_out() -> list:
    """The panels from left to right below the title of their row, numbered."""
    made, top = [], 0
    for title, panels in ROWS.items():
        made.append(
            {
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": top, "w": 24, "h": 1},
                "panels": [],
            }
        )
        left, top = 0, top + 1
        for one in panels:
            place = one["gridPos"]
            if left + place["w"] > 24:
                left, top = 0, top + place["h"]
            made.append(one | {"gridPos": {"x": left, "y": top} | place})
            left += place["w"]
        top += panels[-1]["gridPos"]["h"]
    return [{"id": number} | one for number, one in enumerate(made, 1)]


def variable(name: str, label: str, query: str) -> dict:
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "includeAll": True,
        "allValue": ".+",
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
        # When the time range changes: versions come and go.
        "refresh": 2,
        "sort": 1,
    }


def changes() -> dict:
    """Marks the moments at which a label went to another version."""
    live = "max by (model, version, label) (souk_model_live{%s}%s)"
    return {
        "name": "Who answers changed",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": live % (MODEL, "") + " unless " + live % (MODEL, " offset 1m"),
        "step": "1m",
        "titleFormat": "{{model}} {{version}} is {{label}}",
    }


def dashboard() -> dict:
    servers = 'souk_build_info{job=~"$job"}'
    return {
        "uid": "souk",
        "title": "Souk",
        "description": "What is slow, since when, which version, which model? Alerts: deploy/RUNBOOK.md.",
        "tags": ["souk"],
        "schemaVersion": 39,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {
                    "type": "datasource",
                    "name": "datasource",
                    "label": "Data source",
                    "query": "prometheus",
                    "current": {},
                },
                variable("job", "Job", "label_values(souk_build_info, job)"),
                variable("instance", "Server", f"label_values({servers}, instance)"),
                variable("model", "Model", f"label_values(souk_model_live{{{SERVER}}}, model)"),
                variable("version", "Version", f"label_values(souk_model_age_seconds{{{MODEL}}}, version)"),
            ]
        },
        "annotations": {"list": [changes()]},
        "panels": laid_out(),
    }


def main() -> int:
    text = json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"
    if sys.argv[1:] == ["--check"]:
        if FILE.read_text("utf-8") == text:
            return 0
        print(f"{FILE} is not what make.py writes: run python3 deploy/grafana/make.py", file=sys.stderr)
        return 1
    FILE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
