"""Checks the `head` and `outputs` of a manifest against each other."""

from __future__ import annotations

_ZILN_KEYS = {"kind", "output", "currency", "horizon_days", "quantiles"}
_POINT_KEYS = {"kind", "output", "currency", "horizon_days"}
_GROUP_KINDS = ("softmax", "sigmoid", "embedding")


def check_head(head: dict, outputs: list[dict], task: str):
    """Yields every problem of `head`."""
    shapes = {output["name"]: output["shape"] for output in outputs}
    kind = head.get("kind")
    if kind in ("ziln", "point"):
        yield from _check_forecast(head, kind, shapes)
    elif kind == "portrait":
        yield from _check_portrait(head, shapes)
    elif kind != "tensors":
        yield f"head.kind: found {kind!r}, wanted ziln, point, portrait or tensors"
    wanted = {"merchant_gmv": ("ziln", "point"), "user_portrait": ("portrait",), "tensors": ("tensors",)}[task]
    if kind not in wanted:
        yield f"head.kind: task {task} wants one of {wanted}, found {kind!r}"


def _check_forecast(head: dict, kind: str, shapes: dict):
    wanted = _ZILN_KEYS if kind == "ziln" else _POINT_KEYS
    if set(head) != wanted:
        yield f"head: found keys {sorted(head)}, wanted {sorted(wanted)}"
        return
    width = [3] if kind == "ziln" else [1]
    if shapes.get(head["output"]) != width:
        yield f"head.output: {head['output']!r} must be an output of shape {width}"
    quantiles = head.get("quantiles", [])
    if any(not 0 < q < 1 for q in quantiles) or sorted(set(quantiles)) != quantiles:
        yield "head.quantiles: wanted ascending probabilities between 0 and 1"
    if not head["horizon_days"] >= 1:
        yield "head.horizon_days: wanted at least 1"


def _check_portrait(head: dict, shapes: dict):
    if set(head) != {"kind", "groups"} or not head["groups"]:
        yield "head: a portrait has kind and groups"
        return
    for index, group in enumerate(head["groups"]):
        yield from _check_group(f"head.groups[{index}]", group, shapes)
    if sum(group.get("kind") == "embedding" for group in head["groups"]) > 1:
        yield "head.groups: at most one embedding"


def _check_group(path: str, group: dict, shapes: dict):
    kind = group.get("kind")
    if kind not in _GROUP_KINDS or group.get("output") not in shapes:
        yield f"{path}: kind must be one of {_GROUP_KINDS} and output an output's name"
        return
    if kind == "embedding":
        if set(group) != {"name", "kind", "output"}:
            yield f"{path}: an embedding has name, kind and output"
        return
    labels = group.get("labels", [])
    if set(group) - {"calibration"} != {"name", "kind", "output", "labels"}:
        yield f"{path}: found keys {sorted(group)}"
    if shapes[group["output"]] != [len(labels)] or len(set(labels)) != len(labels):
        yield f"{path}.labels: {len(labels)} labels (no two alike) for an output of shape {shapes[group['output']]}"
    calibration = group.get("calibration", {})
    if not set(calibration) <= {"scale", "bias"}:
        yield f"{path}.calibration: unknown key"
    if len(calibration.get("bias", labels)) != len(labels):
        yield f"{path}.calibration.bias: wanted one number per label"
