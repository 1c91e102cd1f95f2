"""The numbers that the API answers: from a library's outputs by the heads in float64, and from what was served."""

from __future__ import annotations

import numpy as np

from souk_training.heads import active_probability, expected_gmv, gmv_quantile
from souk_training.portrait.calibrate import probabilities


def wanted(manifest: dict, outputs: dict[str, np.ndarray]) -> np.ndarray:
    """`[n, numbers]` float64: what has to be answered where a model says `outputs`."""
    head = manifest["head"]
    if head["kind"] == "point":
        return outputs[head["output"]].astype(np.float64)
    if head["kind"] == "ziln":
        found = outputs[head["output"]].astype(np.float64)
        quantiles = [gmv_quantile(found, probability) for probability in head["quantiles"]]
        return np.stack([expected_gmv(found), active_probability(found), *quantiles], 1)
    groups = [group for group in head["groups"] if group["kind"] != "embedding"]
    found = [
        probabilities(
            outputs[group["output"]].astype(np.float64), group.get("calibration", {}), group["kind"] == "softmax"
        )
        for group in groups
    ]
    return np.concatenate(found, 1)


def served(manifest: dict, results: list[dict]) -> np.ndarray:
    """The same numbers out of the lines of `souk score`. Protobuf's JSON leaves out what is 0."""
    if manifest["head"]["kind"] == "point":
        return np.array([[line["forecast"].get("expected_gmv", 0.0)] for line in results])
    if manifest["head"]["kind"] == "ziln":
        return np.array([_forecast(line["forecast"]) for line in results])
    return np.array([
        [tag.get("probability", 0.0) for group in line["portrait"]["groups"] for tag in group["tags"]]
        for line in results
    ])  # fmt: skip


def worst_difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest relative difference of any number; infinite where one is 0 and the other is not."""
    if found.shape != wanted.shape:
        raise ValueError(f"{found.shape} numbers served, wanted {wanted.shape}")
    gap = np.abs(found - wanted)
    relative = np.divide(gap, np.abs(wanted), out=np.where(gap > 0, np.inf, 0.0), where=wanted != 0)
    return float(relative.max())


def _forecast(forecast: dict) -> list[float]:
    quantiles = [quantile.get("gmv", 0.0) for quantile in forecast["quantiles"]]
    return [forecast.get("expected_gmv", 0.0), forecast.get("active_probability", 0.0), *quantiles]
