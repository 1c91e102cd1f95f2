"""Trains boosters of either library behind one small interface. Settings are the same as far as their names differ.

Ke et al. (2017), "LightGBM", NeurIPS; Chen, Guestrin (2016), "XGBoost", arXiv:1603.02754.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import lightgbm
import numpy as np
import xgboost

from souk_training.families.trees import Nodes, from_lightgbm, from_xgboost
from souk_training.gmv.objective import HUBER_DELTA

MOST_ROUNDS, PATIENCE = 1000, 50


@dataclass(frozen=True)
class Growth:
    """How trees grow; `rounds` unless a validation set stops them earlier."""

    rounds: int
    rate: float
    depth: int
    leaf_rows: int
    columns: float
    rows: float = 0.8


FORECAST = Growth(MOST_ROUNDS, 0.1, 6, 100, 0.7)
# A group's tags have some hundred rows, a department some thousand.
TAGS = Growth(40, 0.05, 2, 20, 0.3)
DEPARTMENT = Growth(60, 0.1, 3, 50, 0.3)


class Booster(Protocol):
    """One trained booster."""

    def margins(self, values: np.ndarray) -> np.ndarray:
        """The library's raw prediction of float32 `[n, features]`: float64 `[n, outputs]`."""

    def nodes(self) -> Nodes:
        """Its trees."""


class Library(Protocol):
    """Trains boosters, on float32 `[n, features]`."""

    def forecast(self, x, y, validation_x, validation_y, seed: int) -> Booster:
        """By a Huber-like loss, as many rounds as the validation set wants."""

    def classes(self, x, y, count: int, seed: int) -> Booster:
        """Of exclusive classes 0 to `count - 1`, one output each; of 2 classes 0 and 1 where `count` is 1."""


@dataclass(frozen=True)
class LightGBMBooster:
    """`lightgbm.Booster`."""

    booster: lightgbm.Booster

    def margins(self, values: np.ndarray) -> np.ndarray:
        found = self.booster.predict(values, raw_score=True, num_threads=1)
        return np.asarray(found, np.float64).reshape(len(values), -1)

    def nodes(self) -> Nodes:
        return from_lightgbm(self.booster)


class LightGBM:
    """Trains with lightgbm."""

    def forecast(self, x, y, validation_x, validation_y, seed: int) -> LightGBMBooster:
        parameters = {**self._parameters(FORECAST, seed), "objective": "huber", "alpha": HUBER_DELTA}
        stop = lightgbm.early_stopping(PATIENCE, verbose=False)
        held_out = lightgbm.Dataset(validation_x, validation_y)
        data = lightgbm.Dataset(x, y)
        return LightGBMBooster(
            lightgbm.train(parameters, data, FORECAST.rounds, valid_sets=[held_out], callbacks=[stop])
        )

    def classes(self, x, y, count: int, seed: int) -> LightGBMBooster:
        growth = TAGS if count > 1 else DEPARTMENT
        objective = {"objective": "multiclass", "num_class": count} if count > 1 else {"objective": "binary"}
        parameters = {**self._parameters(growth, seed), **objective}
        return LightGBMBooster(lightgbm.train(parameters, lightgbm.Dataset(x, y), growth.rounds))

    def _parameters(self, growth: Growth, seed: int) -> dict:
        return {
            "learning_rate": growth.rate, "max_depth": growth.depth, "num_leaves": 2**growth.depth - 1,
            "min_data_in_leaf": growth.leaf_rows, "feature_fraction": growth.columns, "bagging_freq": 1,
            "bagging_fraction": growth.rows, "seed": seed, "num_threads": 1, "deterministic": True,
            "force_col_wise": True, "verbose": -1,
        }  # fmt: skip


@dataclass(frozen=True)
class XGBoostBooster:
    """`xgboost.Booster`."""

    booster: xgboost.Booster

    def margins(self, values: np.ndarray) -> np.ndarray:
        found = self.booster.predict(xgboost.DMatrix(values, nthread=1), output_margin=True)
        return np.asarray(found, np.float64).reshape(len(values), -1)

    def nodes(self) -> Nodes:
        return from_xgboost(self.booster)


class XGBoost:
    """Trains with xgboost."""

    def forecast(self, x, y, validation_x, validation_y, seed: int) -> XGBoostBooster:
        objective = {"objective": "reg:pseudohubererror", "huber_slope": HUBER_DELTA, "eval_metric": "mae"}
        parameters = {**self._parameters(FORECAST, seed), **objective}
        held_out = [(xgboost.DMatrix(validation_x, validation_y), "validation")]
        booster = xgboost.train(
            parameters, xgboost.DMatrix(x, y), FORECAST.rounds, evals=held_out, early_stopping_rounds=PATIENCE,
            verbose_eval=False,
        )  # fmt: skip
        return XGBoostBooster(booster[: booster.best_iteration + 1])

    def classes(self, x, y, count: int, seed: int) -> XGBoostBooster:
        growth = TAGS if count > 1 else DEPARTMENT
        many = {"objective": "multi:softprob", "num_class": count}
        objective = many if count > 1 else {"objective": "binary:logistic"}
        parameters = {**self._parameters(growth, seed), **objective}
        return XGBoostBooster(xgboost.train(parameters, xgboost.DMatrix(x, y), growth.rounds))

    def _parameters(self, growth: Growth, seed: int) -> dict:
        # Its leaves are bounded by the sum of second derivatives: up to 1 a row, 1/4 for probabilities.
        return {
            "eta": growth.rate, "max_depth": growth.depth, "min_child_weight": growth.leaf_rows / 4, "lambda": 1.0,
            "colsample_bytree": growth.columns, "subsample": growth.rows, "seed": seed, "nthread": 1,
            "tree_method": "hist",
        }  # fmt: skip
