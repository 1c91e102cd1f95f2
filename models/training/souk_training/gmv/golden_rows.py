"""Golden rows of `merchant_gmv`: made-up merchants, drawn by a seed.

No row copies a shop of the data; only the manifest's vocabularies are used. The first rows are the corners
(missing, unknown, shortest, longest, extreme), the rest are ordinary.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from souk_training.gmv.features import LARGEST_COUNT

ORDINARY = 72
_FIRST_AS_OF = date(2015, 8, 2)
_AS_OF_DAYS = 450


def golden_rows(manifest: dict, seed: int) -> list[dict]:
    """Between 64 and 128 `Merchant` rows."""
    features = {feature["name"]: feature for feature in manifest["features"]}
    random = np.random.default_rng(seed)
    rows = [*_corners(random, features), *(_row(random, _shop(random, features)) for _ in range(ORDINARY))]
    return [{"merchant_id": f"golden-{index}", **row} for index, row in enumerate(rows)]


def _corners(random: np.random.Generator, features: dict) -> list[dict]:
    shop = _shop(random, features)
    bare = {"daily_gmv": shop["daily_gmv"]}
    unknown = {**shop, "city": "Atlantis", "category_l1": "未知", "category_l2": "", "category_l3": "none of these"}
    typed = [name for name, feature in features.items() if name in shop and feature["kind"] != "number_list"]
    series = [
        [0.0], [35.5], [0.0] * 28, [0.0] * 300, [120.0] * 112, [120.0] * 111 + [0.0], [0.0] * 111 + [500.0],
        _series(random, 113), _series(random, 493), _series(random, 27), _series(random, 7),
        [*_series(random, 80), *[0.0] * 27], [*_series(random, 80), *[0.0] * 40], [*_series(random, 20), *[0.0] * 92],
        [0.01] * 60, [1e-6] * 3, [1e9] * 112, [1e12] * 112, [0.01, 1e12] * 56, [float(day) for day in range(1, 113)],
    ]  # fmt: skip
    return [
        _row(random, bare, as_of="2016-09-04"),
        _row(random, {**bare, "daily_orders": shop["daily_orders"]}, as_of="2016-02-29"),
        _row(random, unknown),
        *(_row(random, {key: value for key, value in shop.items() if key != name}) for name in typed),
        *(_row(random, {**shop, name: features[name]["range"][1]}) for name in typed if "range" in features[name]),
        *(_row(random, {**shop, name: 0.0}) for name in typed if "range" in features[name]),
        *(_row(random, _with_series(shop, values)) for values in series),
        _row(random, shop, as_of="2030-01-01"),
    ]


def _with_series(shop: dict, gmv: list[float]) -> dict:
    return {**shop, "daily_gmv": gmv, "daily_orders": _orders(np.array(gmv), shop["average_basket"])}


def _row(random: np.random.Generator, features: dict, as_of: str | None = None) -> dict:
    day = _FIRST_AS_OF + timedelta(days=int(random.integers(_AS_OF_DAYS)))
    return {"features": features, "as_of": as_of or day.isoformat()}


def _shop(random: np.random.Generator, features: dict) -> dict:
    """Attributes drawn independently of each other, and a series of 1 to 200 days."""
    shop = {"country": "CN"}
    for name in ("city", "category_l1", "category_l2", "category_l3"):
        shop[name] = str(random.choice(features[name]["encoding"]["vocabulary"]))
    basket = round(float(random.uniform(1, 20)), 1)
    gmv = _series(random, int(random.integers(1, 200)))
    numbers = {
        "tenure_days": float(len(gmv) - 1),
        "shop_level": float(random.integers(1, 4)),
        "average_basket": basket,
        "rating": float(random.integers(0, 5)),
        "review_count": float(random.integers(0, 21)),
    }
    return {**shop, **numbers, "daily_gmv": gmv, "daily_orders": _orders(np.array(gmv), basket)}


def _series(random: np.random.Generator, days: int) -> list[float]:
    """Lognormal noise about a level, with a weekly swing, a trend and days without a record; ends recorded or not."""
    level, swing = random.lognormal(6.5, 1.0), random.uniform(0, 0.4)
    day = np.arange(days)
    shape = 1 + swing * np.sin(2 * np.pi * (day + random.integers(7)) / 7)
    gmv = level * shape * np.exp(random.normal(0, 0.3, days) + day * random.normal(0, 0.003))
    gmv[random.random(days) < random.choice([0.0, 0.05, 0.3])] = 0.0
    gmv[0] = max(gmv[0], level)
    return np.round(gmv, 2).tolist()


def _orders(gmv: np.ndarray, basket: float) -> list[float]:
    return np.minimum(np.ceil(gmv / basket), LARGEST_COUNT).tolist()
