"""Calibration from out-of-fold logits: a temperature per softmax group, scale and bias for departments.

Source: Guo, Pleiss, Sun, Weinberger (2017), arXiv:1706.04599.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_softmax

from souk_training.portrait.measures import expected_calibration_error


def fit_softmax(logits: np.ndarray, classes: np.ndarray) -> dict:
    """The scale that makes classes `[n]` most likely."""
    rows = np.arange(len(classes))

    def loss(theta):
        return -log_softmax(logits * np.exp(theta[0]), axis=1)[rows, classes].mean()

    return {"scale": float(np.exp(minimize(loss, [0.0]).x[0]))}


def fit_sigmoid(logits: np.ndarray, bought: np.ndarray) -> dict:
    """One scale, and a bias per label, that make `bought` `[n, labels]` most likely."""

    def loss(theta):
        z = logits * np.exp(theta[0]) + theta[1:]
        residual = (expit(z) - bought) / len(z)
        gradient = np.concatenate([[(residual * (z - theta[1:])).sum()], residual.sum(0)])
        return (np.logaddexp(0.0, z) - bought * z).sum() / len(z), gradient

    theta = minimize(loss, np.zeros(1 + logits.shape[1]), jac=True).x
    return {"scale": float(np.exp(theta[0])), "bias": [float(value) for value in theta[1:]]}


def probabilities(logits: np.ndarray, calibration: dict, exclusive: bool) -> np.ndarray:
    """Probabilities `[n, labels]` as the server computes them."""
    z = logits * calibration.get("scale", 1.0) + np.asarray(calibration.get("bias", 0.0))
    return np.exp(log_softmax(z, axis=1)) if exclusive else expit(z)


def cross_fitted_error(logits: np.ndarray, y: np.ndarray, folds: np.ndarray, exclusive: bool) -> tuple[float, float]:
    """Expected calibration error before and after, each fold calibrated by the other folds."""
    fit = fit_softmax if exclusive else fit_sigmoid
    hits = y[:, None] == np.arange(logits.shape[1]) if exclusive else y > 0
    after = np.zeros(logits.shape)
    for fold in np.unique(folds):
        held_out = folds == fold
        found = fit(logits[~held_out], y[~held_out])
        after[held_out] = probabilities(logits[held_out], found, exclusive)
    before = probabilities(logits, {}, exclusive)
    return expected_calibration_error(hits, before), expected_calibration_error(hits, after)
