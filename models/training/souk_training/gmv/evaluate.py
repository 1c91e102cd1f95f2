"""Scores the network, LightGBM and the baselines on the test origins."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from souk_training.gmv import gradient_boosting
from souk_training.gmv.baselines import BASELINES
from souk_training.gmv.dataset import Split
from souk_training.gmv.metrics import HIGH, LOW, coverage, rmsle, wape
from souk_training.gmv.network import GmvNetwork
from souk_training.gmv.panel import Panel
from souk_training.gmv.train import predict
from souk_training.heads import expected_gmv, gmv_quantile

NETWORK, BOOSTING = "DeepFM (this version)", "LightGBM"


@dataclass(frozen=True)
class Scores:
    """`errors[forecaster][origin]` = (WAPE, RMSLE); `coverage[origin]` of the network's central 80 % interval."""

    shops: dict[date, int]
    errors: dict[str, dict[date, tuple[float, float]]]
    coverage: dict[date, float]

    def mean(self, forecaster: str) -> tuple[float, float]:
        """Mean over the test origins."""
        pairs = list(self.errors[forecaster].values())
        return tuple(float(np.mean(column)) for column in zip(*pairs))


def evaluate(panel: Panel, split: Split, network: GmvNetwork, seed: int) -> Scores:
    """All forecasters on all test origins."""
    boosted = gradient_boosting.forecasts(split, seed)
    scores = Scores({}, {name: {} for name in (NETWORK, BOOSTING, *BASELINES)}, {})
    for origin, part in split.tests.items():
        actual, outputs = part.gmv.double().numpy(), predict(network, part)
        active = panel.active(origin)
        forecasts = {NETWORK: expected_gmv(outputs), BOOSTING: boosted[origin]}
        forecasts |= {name: baseline(panel, origin)[active] for name, baseline in BASELINES.items()}
        for name, forecast in forecasts.items():
            scores.errors[name][origin] = (wape(forecast, actual), rmsle(forecast, actual))
        scores.coverage[origin] = coverage(gmv_quantile(outputs, LOW), gmv_quantile(outputs, HIGH), actual)
        scores.shops[origin] = len(part)
    return scores
