"""What panels of the dashboard are made of: what a query picks, usual queries, and the shapes of panels."""

# What a query picks: servers; one model's; one version's.
SERVER = 'job=~"$job", instance=~"$instance"'
MODEL = SERVER + ', model=~"$model"'
VERSION = MODEL + ', version=~"$version"'
WITH_ERROR = VERSION + ', outcome!="ok"'
# Calls that somebody waits for, as in rules.yml: health and reflection are not, and streams take as long as they like.
CALLS = SERVER + ', method!~"grpc[.].*|other"'
UNARY = SERVER + ', method!~"grpc[.].*|other|.*Stream.*"'
STREAM = SERVER + ', method=~".*Stream.*"'

GREEN, YELLOW, RED = "green", "yellow", "red"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def rate(metric: str, picked: str) -> str:
    return f"rate({metric}{{{picked}}}[$__rate_interval])"


def quantile(share: float, histogram: str, picked: str, by: str) -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) ({rate(histogram + '_bucket', picked)}))"


def quantiles(histogram: str, picked: str, by: str) -> list:
    """p50 and p99; the legend names what is in `by`."""
    name = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    return [
        (quantile(share, histogram, picked, by), f"{name} {called}") for share, called in [(0.5, "p50"), (0.99, "p99")]
    ]


def mean(histogram: str, picked: str, by: str) -> str:
    return f"sum by ({by}) ({rate(histogram + '_sum', picked)}) / sum by ({by}) ({rate(histogram + '_count', picked)})"


def difference(statistic: str) -> str:
    return f'souk_shadow_difference{{{VERSION}, statistic="{statistic}"}}'


def panel(kind: str, title: str, unit: str, description: str, queries: list, width: int, height: int, steps=()) -> dict:
    """`steps` are values from which on a figure is worse, with their colours."""
    colours = [{"color": GREEN, "value": None}, *({"color": colour, "value": value} for value, colour in steps)]
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": DATASOURCE,
            "editorMode": "code",
            "expr": expr,
            "legendFormat": legend,
        }
        for place, (expr, legend) in enumerate(queries)
    ]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": unit, "thresholds": {"mode": "absolute", "steps": colours}},
            "overrides": [],
        },
        "options": {},
    }


def stat(title: str, unit: str, description: str, query: str, steps=(), width=4, legend="") -> dict:
    made = panel("stat", title, unit, description, [(query, legend)], width, 4, steps)
    made["options"] = {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return made


def chart(title: str, unit: str, description: str, queries: list, steps=(), width=8, stacked=False) -> dict:
    made = panel("timeseries", title, unit, description, queries, width, 8, steps)
    made["fieldConfig"]["defaults"]["custom"] = {
        "fillOpacity": 20 if stacked else 0,
        "showPoints": "never",
        "stacking": {"mode": "normal" if stacked else "none"},
        "thresholdsStyle": {"mode": "line" if steps else "off"},
    }
    made["fieldConfig"]["defaults"]["min"] = 0
    made["options"] = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return made


def signed(made: dict) -> dict:
    """A chart of what may be negative."""
    del made["fieldConfig"]["defaults"]["min"]
    return made


def table(title: str, description: str, query: str, hidden: list, width: int) -> dict:
    made = panel("table", title, "none", description, [(query, "")], width, 8)
    made["targets"][0] |= {"format": "table", "instant": True}
    out = {name: True for name in ["Time", "Value", "__name__", *hidden]}
    made["transformations"] = [{"id": "organize", "options": {"excludeByName": out}}]
    return made
