"""The daily series of all shops as one matrix, and the rows and outcomes of an origin.

An origin is the first day of a horizon; `as_of` is the day before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from souk_training.gmv import ACTIVE_DAYS, HORIZON_DAYS
from souk_training.layout import Layout

# Attributes of a shop that travel as they are.
TEXT_ATTRIBUTES = ("country", "city", "area", "category_l1", "category_l2", "category_l3")
NUMBER_ATTRIBUTES = ("shop_level", "average_basket", "rating", "review_count")


@dataclass(frozen=True)
class Panel:
    """`gmv` and `orders` are float64 `[n_shops, n_days]`, NaN = no record; `gmv` in the layout's currency."""

    shop_ids: list[str]
    # Static features of each shop, absent ones left out, as they travel.
    attributes: list[dict]
    first_day: date
    gmv: np.ndarray
    orders: np.ndarray

    def index_of(self, day: date) -> int:
        """Column of `day`."""
        index = (day - self.first_day).days
        if not 0 < index <= self.gmv.shape[1]:
            raise ValueError(f"{day} has no day before it in the data, which begin on {self.first_day}")
        return index

    def active(self, origin: date) -> np.ndarray:
        """bool `[n_shops]`: a record in the `ACTIVE_DAYS` days before `origin`."""
        end = self.index_of(origin)
        return ~np.isnan(self.gmv[:, max(0, end - ACTIVE_DAYS) : end]).all(axis=1)

    def outcome(self, origin: date) -> np.ndarray:
        """GMV of the `HORIZON_DAYS` days from `origin` on, `[n_shops]`; 0 without a record."""
        start = self.index_of(origin)
        if start + HORIZON_DAYS > self.gmv.shape[1]:
            raise ValueError(f"the horizon of {origin} ends after the data do")
        return np.nansum(self.gmv[:, start : start + HORIZON_DAYS], axis=1)


def read_panel(layout: Layout) -> Panel:
    """Pivots `daily` into a matrix without holes between days."""
    entities, daily = layout.entities, layout.daily
    shop_ids = entities["entity_id"].tolist()
    days = pd.date_range(daily["day"].min(), daily["day"].max())
    rows = daily["entity_id"].map({shop: index for index, shop in enumerate(shop_ids)}).to_numpy()
    columns = (daily["day"] - days[0]).dt.days.to_numpy()
    gmv, orders = (np.full((len(shop_ids), len(days)), np.nan) for _ in range(2))
    gmv[rows, columns] = daily["gmv"]
    orders[rows, columns] = daily["orders"]
    return Panel(shop_ids, [_attributes(line) for line in entities.to_dict("records")], days[0].date(), gmv, orders)


def _attributes(entity: dict) -> dict:
    known = {name: str(entity[name]) for name in TEXT_ATTRIBUTES if isinstance(entity.get(name), str)}
    numbers = {name: float(entity[name]) for name in NUMBER_ATTRIBUTES if pd.notna(entity.get(name))}
    return {**known, **numbers}


def merchant_rows(panel: Panel, origin: date, shops: np.ndarray, max_days: int) -> list[dict]:
    """One `Merchant` per index in `shops`, as a client would send it on the day before `origin`.

    The series end on `as_of` and begin with the first record or `max_days` before the origin, whichever is
    later; a day without a record is 0. Without any record they are left out.
    """
    end = panel.index_of(origin)
    as_of = (origin - timedelta(days=1)).isoformat()
    return [_row(panel, int(shop), end, max_days, as_of) for shop in shops]


def _row(panel: Panel, shop: int, end: int, max_days: int, as_of: str) -> dict:
    features = dict(panel.attributes[shop])
    recorded = np.flatnonzero(~np.isnan(panel.gmv[shop, :end]))
    if recorded.size:
        start = max(int(recorded[0]), end - max_days)
        features["tenure_days"] = float(end - 1 - recorded[0])
        features["daily_gmv"] = np.nan_to_num(panel.gmv[shop, start:end]).tolist()
        features["daily_orders"] = np.nan_to_num(panel.orders[shop, start:end]).tolist()
    return {"merchant_id": panel.shop_ids[shop], "features": features, "as_of": as_of}


def mondays(first: date, last: date) -> list[date]:
    """All Mondays from `first` to `last`, both included where they are Mondays."""
    start = first + timedelta(days=-first.weekday() % 7)
    return [start + timedelta(weeks=week) for week in range((last - start).days // 7 + 1)]
