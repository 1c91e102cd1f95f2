"""Writes `tests/fixtures/heads.json`: outputs of models with what the heads make of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from souk_training import heads

PROBABILITIES = (0.01, 0.1, 0.25, 0.5, 0.9, 0.99)
# logit of P(GMV > 0), mu, sigma
ZILN = (
    (0.0, 0.0, 1.0),
    (3.5, 9.25, 0.375),
    (12.0, 11.5, 0.125),
    (40.0, 8.0, 0.5),
    (-2.0, 5.0, 1.5),
    (-30.0, 1.0, 0.25),
    (2.1972245773362196, 7.0, 0.75),
    (0.5, -3.0, 2.0),
)
PORTRAITS = (
    ([0.0, 0.0, 0.0], "softmax", 1.0, None),
    ([1.0, -2.0, 0.5, 3.25], "softmax", 0.9, [0.1, -0.2, 0.0, 0.3]),
    ([100.0, -100.0, 99.0], "softmax", 1.0, None),
    ([-1000.0, -1001.0], "softmax", 0.5, [0.0, 1.0]),
    ([0.0, 2.0, -2.0], "sigmoid", 1.0, None),
    ([0.75, -0.25, 40.0, -40.0], "sigmoid", 1.25, [-0.5, 0.5, 0.0, 0.0]),
)


def write_head_fixtures(path: Path) -> int:
    """Writes all cases; returns how many."""
    content = {"ziln": [_ziln(case) for case in ZILN], "portrait": [_portrait(*case) for case in PORTRAITS]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")
    return len(ZILN) + len(PORTRAITS)


def _ziln(outputs: tuple[float, float, float]) -> dict:
    row = np.array([outputs])
    return {
        "outputs": list(outputs),
        "expected": float(heads.expected_gmv(row)[0]),
        "active_probability": float(heads.active_probability(row)[0]),
        "quantiles": [[q, float(heads.gmv_quantile(row, q)[0])] for q in PROBABILITIES],
    }


def _portrait(logits: list[float], kind: str, scale: float, bias: list[float] | None) -> dict:
    scores = heads.calibrated(logits, scale, bias)
    probabilities = heads.softmax(scores) if kind == "softmax" else heads.sigmoid(scores)
    return {
        "logits": logits,
        "kind": kind,
        "scale": scale,
        "bias": bias or [0.0] * len(logits),
        "probabilities": probabilities.tolist(),
    }
