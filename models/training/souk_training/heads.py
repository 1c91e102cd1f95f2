"""Reference values of the heads: what the server computes from a model's outputs.

float64 throughout. Formulas: zero-inflated lognormal, Wang, Liu, Miao (2019), arXiv:1912.07753, eq. 5.
Needs numpy only; the normal quantile is `statistics.NormalDist`'s (Wichura's AS 241, 16 digits).
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Logistic function without overflow."""
    x = np.asarray(x, np.float64)
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def active_probability(outputs: np.ndarray) -> np.ndarray:
    """P(GMV > 0) from ziln outputs `[n, 3]`; `[n]`."""
    return sigmoid(np.asarray(outputs, np.float64)[:, 0])


def expected_gmv(outputs: np.ndarray) -> np.ndarray:
    """Mean `p * exp(mu + sigma^2 / 2)` of ziln outputs `[n, 3]`; `[n]`, in the model's currency."""
    outputs = np.asarray(outputs, np.float64)
    return active_probability(outputs) * np.exp(outputs[:, 1] + outputs[:, 2] ** 2 / 2)


def gmv_quantile(outputs: np.ndarray, probability: float) -> np.ndarray:
    """The `probability` quantile of ziln outputs `[n, 3]`; `[n]`. 0 up to the mass at zero."""
    outputs = np.asarray(outputs, np.float64)
    p = active_probability(outputs)
    result = np.zeros(len(outputs))
    for row in np.flatnonzero(probability > 1 - p):
        inner = (probability - (1 - p[row])) / p[row]
        if inner < 1:
            result[row] = np.exp(outputs[row, 1] + outputs[row, 2] * NormalDist().inv_cdf(inner))
    return result


def calibrated(logits: list[float], scale: float = 1.0, bias: list[float] | None = None) -> np.ndarray:
    """`logits * scale + bias`."""
    logits = np.asarray(logits, np.float64)
    return logits * scale + (np.zeros(len(logits)) if bias is None else np.asarray(bias))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax of one group `[n_labels]`, shifted by the largest logit so that it cannot overflow."""
    e = np.exp(logits - logits.max())
    return e / e.sum()
