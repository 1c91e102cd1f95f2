"""The yardstick: LightGBM on the same rows, split and target.

Ke et al. (2017), "LightGBM: A Highly Efficient Gradient Boosting Decision Tree". Huber loss on the log
ratio to the recent level; no city, tenure or holidays, since trees learn them by heart.
"""

from __future__ import annotations

import lightgbm
import numpy as np
import torch

from souk_training.gmv import HORIZON_DAYS
from souk_training.gmv.dataset import Part, Split
from souk_training.gmv.features import IDS
from souk_training.gmv.network import RecentLevel
from souk_training.gmv.objective import HUBER_DELTA, target

CATEGORIES = ("category_l1", "category_l2", "category_l3")
_PARAMETERS = {
    "objective": "huber", "alpha": HUBER_DELTA, "learning_rate": 0.05, "num_leaves": 31, "min_data_in_leaf": 100,
    "feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1, "num_threads": 1, "verbose": -1,
    "deterministic": True,
}  # fmt: skip
MOST_ROUNDS, PATIENCE = 2000, 50


def forecasts(split: Split, seed: int) -> dict:
    """Trains with early stopping on the validation origin; GMV `[n]` of each test origin."""
    train, validation = _dataset(split.train), _dataset(split.validation)
    booster = lightgbm.train(
        {**_PARAMETERS, "seed": seed},
        train,
        MOST_ROUNDS,
        valid_sets=[validation],
        callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
    )
    return {origin: _forecast(booster, part) for origin, part in split.tests.items()}


def _dataset(part: Part) -> lightgbm.Dataset:
    numbers, log_level = _matrix(part)
    wanted = target(part.gmv, torch.from_numpy(log_level)).log_ratio.numpy()
    columns = list(range(numbers.shape[1] - len(CATEGORIES), numbers.shape[1]))
    return lightgbm.Dataset(numbers, wanted, categorical_feature=columns, free_raw_data=False)


def _forecast(booster: lightgbm.Booster, part: Part) -> np.ndarray:
    numbers, log_level = _matrix(part)
    return np.exp(booster.predict(numbers) + log_level)


def _matrix(part: Part) -> tuple[np.ndarray, np.ndarray]:
    """The network's numbers relative to the level, the attributes but holidays, categories; and log level `[n]`."""
    ids, dense, gmv, orders = part.inputs
    with torch.inference_mode():
        level, _, numbers = RecentLevel()(gmv, orders)
    categories = ids[:, [IDS.index(name) for name in CATEGORIES]]
    matrix = torch.cat([numbers, dense[:, :-1], categories.float()], 1).numpy()
    return matrix, np.log(level.squeeze(1).numpy() * HORIZON_DAYS)
