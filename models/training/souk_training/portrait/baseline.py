"""Logistic regression on the same standardised bag vectors: what the network must beat.

Multinomial for exclusive tags, one binary regression per department. C is chosen per group (per
department) on inner folds of the training users, by the very measure that is reported.
"""

from __future__ import annotations

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from souk_training.portrait.measures import macro_auc

C_GRID = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
DEPARTMENT_C_GRID = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)


def predict_group(x: np.ndarray, y: np.ndarray, folds: np.ndarray, at: np.ndarray, labels: int) -> np.ndarray:
    """Probabilities `[n, labels]` for `at`, from known classes `y` of `x` in inner `folds`."""
    return _tuned(x, y, folds, at, labels, C_GRID)


def predict_departments(x: np.ndarray, bought: np.ndarray, folds: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Probabilities `[n, departments]` for `at`. Folds are by user."""
    columns = [_tuned(x, column.astype(int), folds, at, 2, DEPARTMENT_C_GRID)[:, 1] for column in bought.T]
    return np.stack(columns, axis=1)


def _tuned(x, y, folds, at, labels: int, grid: tuple[float, ...]) -> np.ndarray:
    scores = [np.mean([_inner_score(x, y, folds == fold, labels, c) for fold in np.unique(folds)]) for c in grid]
    return _fit_predict(x, y, at, labels, grid[int(np.argmax(scores))])


def _inner_score(x, y, held_out: np.ndarray, labels: int, c: float) -> float:
    return macro_auc(y[held_out], _fit_predict(x[~held_out], y[~held_out], x[held_out], labels, c))


def _fit_predict(x, y, at, labels: int, c: float) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=c, max_iter=200, tol=1e-3).fit(x, y)
    # A class that no training user has keeps probability 0.
    found = np.zeros((len(at), labels))
    found[:, model.classes_] = model.predict_proba(at)
    return found
