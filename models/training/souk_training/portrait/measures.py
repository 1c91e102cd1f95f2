"""AUC per tag and per group, and calibration. numpy and scipy's ranks only."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

ECE_BINS = 10


def auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve; NaN unless both classes occur. Ties count half (Mann-Whitney)."""
    positive = np.asarray(positive, bool)
    ones, zeros = positive.sum(), (~positive).sum()
    if not ones or not zeros:
        return float("nan")
    return float((rankdata(score)[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def tag_aucs(y: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """One AUC per tag, `[labels]`: one against the rest of classes `[n]`, or of `[n, labels]` zeros and ones."""
    one_hot = y if y.ndim == 2 else y[:, None] == np.arange(probabilities.shape[1])
    return np.array([auc(one_hot[:, tag], probabilities[:, tag]) for tag in range(probabilities.shape[1])])


def macro_auc(y: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean AUC over the tags that occur; for two classes their common AUC."""
    return float(np.nanmean(tag_aucs(y, probabilities)))


def standard_error(by_fold: np.ndarray) -> np.ndarray:
    """Standard error of the mean over folds, along the first axis."""
    return by_fold.std(0, ddof=1) / np.sqrt(len(by_fold))


def expected_calibration_error(hit: np.ndarray, probability: np.ndarray) -> float:
    """Mean gap between probability and frequency over `ECE_BINS` bins of equal count, weighted by count.

    Every tag's probability counts as one statement, not only the most probable tag's. Source: Naeini,
    Cooper, Hauskrecht (2015), AAAI; bins of equal count after Nguyen and O'Connor (2015), EMNLP.
    """
    order = np.argsort(probability.ravel(), kind="stable")
    hit, probability = hit.ravel()[order].astype(float), probability.ravel()[order]
    bins = zip(np.array_split(hit, ECE_BINS), np.array_split(probability, ECE_BINS))
    return float(sum(abs(h.mean() - p.mean()) * len(h) for h, p in bins) / len(hit))
