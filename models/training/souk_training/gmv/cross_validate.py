"""How settings are compared: on origins inside the training span, never on the test.

Five folds, each trained on the origins up to a Monday and scored on later ones, after a purge of at least four
weeks. One origin alone says little: what all its shops share outweighs what settings change.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import date

import numpy as np
import torch

from souk_training.gmv.dataset import FIRST_TRAIN, LAST_TRAIN, VALIDATION, Split
from souk_training.gmv.metrics import HIGH, LOW, coverage, rmsle, wape
from souk_training.gmv.panel import mondays
from souk_training.gmv.train import Settings, predict, train
from souk_training.heads import expected_gmv, gmv_quantile

# Last training origin -> origins to score.
FOLDS = {
    date(2016, 2, 1): (date(2016, 3, 7), date(2016, 3, 21)),
    date(2016, 2, 29): (date(2016, 4, 4), date(2016, 4, 18)),
    date(2016, 4, 4): (date(2016, 5, 9), date(2016, 5, 23)),
    date(2016, 5, 2): (date(2016, 6, 6), date(2016, 6, 20)),
    LAST_TRAIN: (VALIDATION,),
}


def cross_validate(split: Split, settings: Settings) -> np.ndarray:
    """Mean WAPE, RMSLE and coverage of the 80 % interval, after the last epoch; prints each fold to stderr."""
    folds = []
    for last, scored in FOLDS.items():
        network = train(_up_to(split, last), replace(settings, stop_early=False))
        figures = np.mean([_figures(network, _at(split, origin)) for origin in scored], axis=0)
        print(f"up to {last}: WAPE {figures[0]:.4f}, RMSLE {figures[1]:.4f}, covers {figures[2]:.3f}", file=sys.stderr)
        folds.append(figures)
    return np.mean(folds, axis=0)


def _up_to(split: Split, last: date) -> Split:
    origins = len(mondays(FIRST_TRAIN, last))
    index = torch.nonzero(split.train_origin < origins).squeeze(1)
    return replace(split, train=split.train.take(index), train_origin=split.train_origin[index])


def _at(split: Split, origin: date):
    if origin == VALIDATION:
        return split.validation
    place = mondays(FIRST_TRAIN, LAST_TRAIN).index(origin)
    return split.train.take(torch.nonzero(split.train_origin == place).squeeze(1))


def _figures(network, part) -> tuple[float, float, float]:
    outputs, actual = predict(network, part), part.gmv.double().numpy()
    forecast = expected_gmv(outputs)
    interval = gmv_quantile(outputs, LOW), gmv_quantile(outputs, HIGH)
    return wape(forecast, actual), rmsle(forecast, actual), coverage(*interval, actual)
