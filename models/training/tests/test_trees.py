"""Boosters as tensors predict what their library predicts; skipped without torch, lightgbm or xgboost."""

import numpy as np
import pytest

REASON = "{} is not installed (extra `train`)"
torch = pytest.importorskip("torch", reason=REASON.format("torch"))
lightgbm = pytest.importorskip("lightgbm", reason=REASON.format("lightgbm"))
xgboost = pytest.importorskip("xgboost", reason=REASON.format("xgboost"))

from souk_training.export import freeze  # noqa: E402
from souk_training.families.trees import Forest, Nodes, from_lightgbm, from_xgboost  # noqa: E402

# Sums of float64 in another order; margins near 0 have no relative precision. XGBoost's are float32, and equal.
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}
ROWS, COLUMNS = 600, 6
DEPTHS = (1, 3, 7)


def values(missing: float, seed: int = 0) -> np.ndarray:
    """Numbers on a grid, so that many lie on thresholds; with zeros, and a share of NaN."""
    random = np.random.default_rng(seed)
    found = random.normal(size=(ROWS, COLUMNS)).round(1)
    found[random.random(found.shape) < 0.2] = 0.0
    found[random.random(found.shape) < missing] = np.nan
    return found.astype(np.float32)


def outcome(x: np.ndarray) -> np.ndarray:
    known = np.nan_to_num(x, nan=-1.0)
    return known[:, 0] + known[:, 1] * known[:, 2] + np.isnan(x[:, 3])


def classes(x: np.ndarray, count: int) -> np.ndarray:
    y = outcome(x)
    return np.searchsorted(np.quantile(y, np.arange(1, count) / count), y)


def margins(nodes: Nodes, x: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return freeze(Forest(nodes))(torch.from_numpy(x)).numpy()


def grow_lightgbm(x, y, depth: int, **parameters):
    common = {"max_depth": depth, "num_leaves": 2**depth, "min_data_in_leaf": 5, "verbose": -1, "num_threads": 1}
    return lightgbm.train({**common, **parameters}, lightgbm.Dataset(x, y), 20)


def grow_xgboost(x, y, depth: int, **parameters):
    return xgboost.train({"max_depth": depth, "nthread": 1, **parameters}, xgboost.DMatrix(x, y), 20)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("depth", DEPTHS)
def test_lightgbm_regression_is_its_library_s(depth, missing):
    x = values(missing)
    booster = grow_lightgbm(x, outcome(x), depth, objective="huber")
    # Other rows, with NaN where training had none: it counts as 0 there.
    for rows in (x, values(0.2, seed=1)):
        np.testing.assert_allclose(margins(from_lightgbm(booster), rows)[:, 0], booster.predict(rows), **TOLERANCE)


@pytest.mark.parametrize("rule", [{"zero_as_missing": True}, {"use_missing": False}])
def test_lightgbm_s_rules_for_what_is_missing_hold(rule):
    x = values(0.2)
    # A rule is read with the data, too.
    data = lightgbm.Dataset(x, outcome(x), params=rule)
    booster = lightgbm.train({"num_leaves": 16, "verbose": -1, "num_threads": 1, **rule}, data, 20)
    tiny = x.copy()
    tiny[::3] *= np.float32(1e-36)
    for rows in (x, tiny):
        np.testing.assert_allclose(margins(from_lightgbm(booster), rows)[:, 0], booster.predict(rows), **TOLERANCE)


@pytest.mark.parametrize("depth", DEPTHS)
def test_lightgbm_classes_are_its_library_s(depth):
    x = values(0.1)
    booster = grow_lightgbm(x, classes(x, 3), depth, objective="multiclass", num_class=3)
    found = margins(from_lightgbm(booster), x)
    np.testing.assert_allclose(found, booster.predict(x, raw_score=True), **TOLERANCE)
    probability = torch.from_numpy(found).softmax(1).numpy()
    np.testing.assert_allclose(probability, booster.predict(x), rtol=1e-6)


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("depth", DEPTHS)
def test_xgboost_regression_is_its_library_s(depth, missing):
    x = values(missing)
    booster = grow_xgboost(x, outcome(x), depth, objective="reg:pseudohubererror")
    for rows in (x, values(0.2, seed=1)):
        wanted = booster.predict(xgboost.DMatrix(rows))
        np.testing.assert_array_equal(margins(from_xgboost(booster), rows)[:, 0], wanted)


@pytest.mark.parametrize("depth", DEPTHS)
def test_xgboost_classes_are_its_library_s(depth):
    x = values(0.1)
    many = grow_xgboost(x, classes(x, 3), depth, objective="multi:softprob", num_class=3)
    two = grow_xgboost(x, classes(x, 2), depth, objective="binary:logistic")
    for booster in (many, two):
        found = margins(from_xgboost(booster), x).squeeze()
        np.testing.assert_array_equal(found, booster.predict(xgboost.DMatrix(x), output_margin=True))
    probability = 1 / (1 + np.exp(-margins(from_xgboost(two), x)[:, 0]))
    np.testing.assert_allclose(probability, two.predict(xgboost.DMatrix(x)), rtol=1e-6)


@pytest.mark.parametrize("seed", range(8))
def test_the_log_odds_that_xgboost_starts_from_are_exact(seed):
    x, random = values(0.0), np.random.default_rng(seed)
    y = (random.random(ROWS) < random.uniform(0.005, 0.3)) * 1.0
    booster = grow_xgboost(x, y, 1, objective="binary:logistic")
    wanted = booster.predict(xgboost.DMatrix(x), output_margin=True)
    np.testing.assert_array_equal(margins(from_xgboost(booster), x)[:, 0], wanted)


def test_a_value_on_a_threshold_goes_where_each_library_sends_it():
    x = np.repeat(np.float32([[1.0], [2.0]]), 50, 0)
    y = x[:, 0]
    on = np.float32([[1.0], [1.5], [2.0], [np.nextafter(np.float32(1.5), np.float32(0))]])
    left = lightgbm.train({"min_data_in_leaf": 1, "verbose": -1}, lightgbm.Dataset(x, y), 1)
    right = grow_xgboost(x, y, 1)
    np.testing.assert_allclose(margins(from_lightgbm(left), on)[:, 0], left.predict(on), **TOLERANCE)
    np.testing.assert_allclose(margins(from_xgboost(right), on)[:, 0], right.predict(xgboost.DMatrix(on)), **TOLERANCE)


def test_a_tree_of_one_leaf_is_its_value():
    x, y = values(0.0), np.full(ROWS, 3.0)
    flat = lightgbm.train({"verbose": -1}, lightgbm.Dataset(x, y), 2)
    np.testing.assert_allclose(margins(from_lightgbm(flat), x)[:, 0], flat.predict(x), **TOLERANCE)
    flat = grow_xgboost(x, y, 3)
    np.testing.assert_allclose(margins(from_xgboost(flat), x)[:, 0], flat.predict(xgboost.DMatrix(x)), **TOLERANCE)


def test_boosters_side_by_side_give_what_each_gives():
    x = values(0.1)
    tags, amount = {"objective": "multiclass", "num_class": 3}, {"objective": "huber"}
    one, other = grow_lightgbm(x, classes(x, 3), 2, **tags), grow_lightgbm(x, outcome(x), 4, **amount)
    joined = margins(Nodes.side_by_side([from_lightgbm(one), from_lightgbm(other)]), x)
    np.testing.assert_allclose(joined[:, :3], one.predict(x, raw_score=True), **TOLERANCE)
    np.testing.assert_allclose(joined[:, 3], other.predict(x), **TOLERANCE)
    # Of another number of rounds: what is added in order ends earlier for some outputs.
    long = grow_xgboost(x, outcome(x), 4)
    joined = margins(Nodes.side_by_side([from_xgboost(long[:7]), from_xgboost(long)]), x)
    for column, booster in zip(joined.T, (long[:7], long), strict=True):
        np.testing.assert_array_equal(column, booster.predict(xgboost.DMatrix(x)))


def test_boosters_that_add_in_other_precisions_are_not_joined():
    x = values(0.1)
    boosters = [from_lightgbm(grow_lightgbm(x, outcome(x), 1)), from_xgboost(grow_xgboost(x, outcome(x), 1))]
    with pytest.raises(ValueError, match="wanted one"):
        Nodes.side_by_side(boosters)


def test_rows_alone_are_as_in_a_batch():
    x = values(0.2)
    nodes = from_lightgbm(grow_lightgbm(x, outcome(x), 5))
    alone = np.concatenate([margins(nodes, x[row : row + 1]) for row in range(9)])
    # Sums of float64 in another order.
    np.testing.assert_allclose(alone, margins(nodes, x[:9]), rtol=1e-12, atol=1e-12)


def test_splits_on_categories_are_refused():
    x = values(0.0)
    x[:, 0] = np.random.default_rng(0).integers(0, 5, ROWS)
    y = np.isin(x[:, 0], (1, 3)) * 1.0
    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(x, y, categorical_feature=[0]), 2)
    with pytest.raises(ValueError, match="split on a category"):
        from_lightgbm(booster)
