"""Forecasts that need no model. A model that does not beat them is not worth serving."""

from __future__ import annotations

from datetime import date

import numpy as np

from souk_training.gmv.panel import Panel


def last_28_days(panel: Panel, origin: date) -> np.ndarray:
    """GMV of the 28 days before `origin`, `[n_shops]`."""
    return _sum_before(panel, origin, 28)


def four_times_last_7_days(panel: Panel, origin: date) -> np.ndarray:
    """Four times the GMV of the 7 days before `origin`, `[n_shops]`."""
    return 4 * _sum_before(panel, origin, 7)


BASELINES = {"sum of the last 28 days": last_28_days, "4 × the last 7 days": four_times_last_7_days}


def _sum_before(panel: Panel, origin: date, days: int) -> np.ndarray:
    end = panel.index_of(origin)
    return np.nansum(panel.gmv[:, max(0, end - days) : end], axis=1)
