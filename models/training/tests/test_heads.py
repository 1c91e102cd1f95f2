"""Formulas of the heads against independent ones."""

import numpy as np
import pytest

from souk_training import heads


def test_quantile_is_the_inverse_of_the_distribution():
    random = np.random.default_rng(0)
    sample = np.where(random.random(400_000) < 0.9, np.exp(random.normal(1.0, 0.5, 400_000)), 0.0)
    outputs = np.array([[np.log(9.0), 1.0, 0.5]])
    for probability in (0.05, 0.3, 0.9):
        # Sampling error at this size is about 0.5 %.
        assert heads.gmv_quantile(outputs, probability)[0] == pytest.approx(np.quantile(sample, probability), rel=0.02)
    assert heads.expected_gmv(outputs)[0] == pytest.approx(sample.mean(), rel=0.02)


def test_extreme_logits_stay_finite():
    assert heads.sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]
    assert heads.softmax(np.array([1e4, 0.0])).tolist() == [1.0, 0.0]
