"""Made-up users for the golden rows: drawn from the vocabularies by a seed, nobody's record.

Items, stores and baskets are invented; the cases cover what an encoder can get wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import numpy as np

ORDINARY = 44
_AS_OF = ("2017-12-31", "2017-06-30", "2018-02-28", "2020-02-29", "2017-10-01", "2019-07-04", "2021-01-01")
_STRANGE = "no such name"


class _Draw:
    """Draws events of made-up users."""

    def __init__(self, manifest: dict, seed: int):
        self.random = np.random.default_rng(seed)
        encodings = {feature["name"]: feature.get("encoding", {}) for feature in manifest["features"]}
        self.categories = encodings["events.category"]["vocabulary"]
        self.departments = encodings["events.department"]["vocabulary"]
        self.brands = encodings["events.brand"]["vocabulary"]
        self.max_events = next(f["max_len"] for f in manifest["features"] if f["name"] == "events.category")

    def user(self, as_of: str, lines: int, longest_days: float = 365.0) -> dict:
        """A user with `lines` lines in baskets of a few, oldest first."""
        taste = self.random.dirichlet(np.full(len(self.categories), 0.1))
        stores = [f"store-{number}" for number in self.random.integers(1, 400, 3)]
        starts: list[float] = []
        while len(starts) < lines:
            start = float(self.random.uniform(0.05, longest_days))
            starts += [start] * int(min(self.random.geometric(0.4), lines - len(starts)))
        events = [self.event(as_of, ago, taste, stores) for ago in sorted(starts, reverse=True)]
        return {
            "tenure_days": float(int(max(starts))),
            "coupons_redeemed": float(self.random.poisson(1.0)),
            "campaigns_received": float(self.random.poisson(3.0)),
            "events": events,
        }

    def event(self, as_of: str, days_ago: float, taste: np.ndarray, stores: list[str]) -> dict:
        """One line, `days_ago` days before the end of `as_of`, to the second."""
        price = round(float(self.random.lognormal(1.0, 0.7)), 2)
        return {
            "time": _stamp(as_of, days_ago),
            "action": "purchase",
            "item": f"item-{self.random.integers(1, 100_000)}",
            "category": str(self.random.choice(self.categories, p=taste)),
            "department": str(self.random.choice(self.departments)),
            "brand": str(self.random.choice(self.brands, p=[0.3, 0.7])),
            "price": price,
            "quantity": float(self.random.integers(1, 5)),
            "discount": round(price * float(self.random.choice([0.0, 0.1, 0.35])), 2),
            "store": str(self.random.choice(stores)),
        }


def golden_users(manifest: dict, seed: int) -> list[dict]:
    """`User` rows: ordinary ones of all lengths, then one per special case."""
    draw = _Draw(manifest, seed)
    lengths = np.geomspace(1, draw.max_events - 1, ORDINARY).astype(int)
    rows = []
    for index, lines in enumerate(lengths):
        as_of = _AS_OF[index % len(_AS_OF)]
        rows.append(_row(f"ordinary-{index}", as_of, draw.user(as_of, int(lines))))
    for index, (name, lines, change) in enumerate(_cases(draw)):
        as_of = _AS_OF[index % len(_AS_OF)]
        features = draw.user(as_of, lines)
        change(features, as_of)
        rows.append(_row(name, as_of, features))
    return rows


def _cases(draw: _Draw) -> list[tuple[str, int, Callable[[dict, str], None]]]:
    """Name, lines, and what is done to an ordinary user."""
    full = draw.max_events
    text, numbers = ("category", "department", "brand", "store"), ("price", "quantity", "discount")
    return [
        ("full", full, _nothing),
        ("one-too-many", full + 1, _nothing),
        ("far-too-many", full + 44, _nothing),
        ("events-alone", 12, _without("tenure_days", "coupons_redeemed", "campaigns_received")),
        ("zero-scalars", 7, _with(tenure_days=0.0, coupons_redeemed=0.0, campaigns_received=0.0)),
        ("large-scalars", 7, _with(tenure_days=3660.0, coupons_redeemed=1e6, campaigns_received=1e6)),
        ("other-fields", 9, _with(country="US", city="Springfield", device="store")),
        *((f"unknown-{name}", 15, _each(**{name: _STRANGE})) for name in text),
        *((f"blank-{name}", 15, _each(**{name: ""})) for name in text),
        *((f"zero-{name}", 15, _each(**{name: 0.0})) for name in numbers),
        *((f"large-{name}", 15, _each(**{name: 1e6})) for name in numbers),
        ("cyrillic-store", 15, _each(store="Магазин №1")),
        ("nothing-known", 1, _nothing_known),
        ("all-at-once", 20, _at(1.5)),
        ("last-second", 3, _at(1 / 86_400)),
        ("last-microsecond", 1, _at(1e-6 / 86_400)),
        ("long-ago", 3, _at(3659.5)),
        ("half-blank", 30, _half_blank),
    ]


def _nothing(features: dict, as_of: str) -> None:
    """Leaves the user as drawn."""


def _without(*names: str):
    def change(features: dict, as_of: str) -> None:
        for name in names:
            del features[name]

    return change


def _with(**values):
    return lambda features, as_of: features.update(values)


def _each(**values):
    def change(features: dict, as_of: str) -> None:
        for event in features["events"]:
            event.update(values)

    return change


def _at(days_ago: float):
    return lambda features, as_of: _each(time=_stamp(as_of, days_ago))(features, as_of)


def _nothing_known(features: dict, as_of: str) -> None:
    """An event of which only the time is known, and nothing else of the user."""
    features.clear()
    features["events"] = [{"time": _stamp(as_of, 30.0)}]


def _half_blank(features: dict, as_of: str) -> None:
    """Every second event lacks all but time and category."""
    for event in features["events"][::2]:
        for name in set(event) - {"time", "category"}:
            del event[name]


def _stamp(as_of: str, days_ago: float) -> str:
    """RFC 3339, to the second where that is exact, else to the microsecond."""
    end = datetime.combine(datetime.fromisoformat(as_of).date(), time(), UTC) + timedelta(days=1)
    moment = end - timedelta(days=days_ago)
    if days_ago > 1e-5:
        return moment.replace(microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _row(name: str, as_of: str, features: dict) -> dict:
    return {"user_id": f"made-up-{name}", "features": features, "as_of": as_of}
