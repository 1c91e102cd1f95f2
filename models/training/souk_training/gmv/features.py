"""Which features `merchant_gmv` reads, how they are encoded and into which inputs they go.

Vocabularies, means and deviations are learnt from the training rows; all else is written here.
"""

from __future__ import annotations

import numpy as np

from souk_training.gmv import HORIZON_DAYS

SERIES_DAYS = 112
# Limits of what a client may send, far above any shop; they keep float32 sums finite.
LARGEST_GMV, LARGEST_COUNT = 1e12, 1e9
VOCABULARIES = ("city", "category_l1", "category_l2", "category_l3")
# A category of fewer training shops than this is unknown: the network could only learn it by heart.
FEWEST_SHOPS = 10
EDGES = {
    "shop_level": [1.0, 2.0, 3.0],
    "average_basket": [3.0, 5.0, 8.0, 12.0, 16.0],
    "rating": [1.0, 2.0, 3.0, 4.0],
    "review_count": [1.0, 3.0, 6.0, 12.0],
    # Beyond 16 weeks the training data say when a shop joined in rather than how old it is.
    "tenure_days": [14.0, 28.0, 56.0, 112.0],
}
LARGEST = {
    "shop_level": 100.0, "average_basket": LARGEST_GMV, "rating": 100.0, "review_count": LARGEST_COUNT,
    "tenure_days": 100_000.0,
}  # fmt: skip
LOGGED = ("average_basket", "review_count")
IDS = (*VOCABULARIES, *EDGES)
DENSE = ("shop_level", "average_basket", "rating", "review_count", "holidays_in_horizon")
# Each holiday occurs in one or two years of the data: counts this far from the mean are kept small, so
# that weight decay lets them move a forecast only a little.
HOLIDAY_SPREAD = 30.0


def build_features(rows: list[dict], holidays: list[str]) -> list[dict]:
    """The manifest's `features`, fitted to training rows (one per shop is enough)."""
    return [
        *(_vocabulary(name, rows) for name in VOCABULARIES),
        *(_number(name, rows) for name in EDGES),
        _holidays(holidays),
        _series("daily_gmv", LARGEST_GMV, required=True),
        _series("daily_orders", LARGEST_COUNT, required=False),
    ]


def build_inputs() -> list[dict]:
    """The manifest's `inputs`: one matrix of ids, one of numbers, the two series."""
    return [
        {"name": "ids", "dtype": "int64", "shape": [len(IDS)], "features": list(IDS)},
        {"name": "dense", "dtype": "float32", "shape": [len(DENSE)], "features": list(DENSE)},
        {"name": "daily_gmv", "dtype": "float32", "shape": [SERIES_DAYS], "features": ["daily_gmv"]},
        {"name": "daily_orders", "dtype": "float32", "shape": [SERIES_DAYS], "features": ["daily_orders"]},
    ]


def _vocabulary(name: str, rows: list[dict]) -> dict:
    values, counts = np.unique([row["features"].get(name, "") for row in rows], return_counts=True)
    frequent = [str(value) for value, count in zip(values, counts) if value and count >= FEWEST_SHOPS]
    return {"name": name, "kind": "category", "default": None, "encoding": {"vocabulary": frequent}}


def _number(name: str, rows: list[dict]) -> dict:
    feature = {"name": name, "kind": "number", "default": None, "range": [0.0, LARGEST[name]]}
    if name in DENSE:
        feature["transform"] = _transform(name, rows)
    return {**feature, "encoding": {"edges": EDGES[name]}}


def _transform(name: str, rows: list[dict]) -> dict:
    values = np.array([row["features"][name] for row in rows if name in row["features"]], np.float64)
    values = np.log1p(values) if name in LOGGED else values
    transform = {"mean": round(float(values.mean()), 4), "std": round(float(values.std()), 4)}
    return {"log1p": True, **transform} if name in LOGGED else transform


def _holidays(dates: list[str]) -> dict:
    return {
        "name": "holidays_in_horizon",
        "kind": "calendar",
        "calendar": {"dates_in_horizon": {"dates": dates, "horizon_days": HORIZON_DAYS}},
        "transform": {"mean": 2.5, "std": HOLIDAY_SPREAD},
    }


def _series(name: str, largest: float, required: bool) -> dict:
    """Raw values: the network needs them relative to each other, and sums of positive numbers lose no digits."""
    presence = {"required": True} if required else {"default": None}
    return {"name": name, "kind": "number_list", **presence, "range": [0.0, largest], "max_len": SERIES_DAYS}
