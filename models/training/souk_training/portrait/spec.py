"""What the model reads: features and inputs of the manifest, and how rows become tensors."""

from __future__ import annotations

import numpy as np

from souk_training.encode import encode_rows
from souk_training.portrait.users import History

# Lines of the newest purchases that the model sees. 99.9 % of the households have no more in the year.
MAX_EVENTS = 256
# 308 stores; 1,024 buckets keep most of them apart.
STORE_BUCKETS = 1024
# In the order in which `forward` takes them, before the scalars.
SEQUENCES = ("category", "department", "store", "brand", "time", "price", "quantity", "discount")
SCALARS = ("tenure_days", "coupons_redeemed", "campaigns_received", "as_of_day_of_week")
BRANDS = ["National", "Private"]
_LARGEST = 1e6
_LONGEST_DAYS = 3660.0


def features_of(history: History) -> list[dict]:
    """The manifest's features, with the vocabularies of the data."""
    purchases = history.purchases
    return [
        _categories("category", {"vocabulary": _vocabulary(purchases["category"])}, {"required": True}),
        _categories("department", {"vocabulary": _vocabulary(purchases["department"])}, {"default": None}),
        _categories("store", {"hash": {"buckets": STORE_BUCKETS}}, {"default": None}),
        _categories("brand", {"vocabulary": BRANDS}, {"default": None}),
        _numbers("time", _LONGEST_DAYS, log1p=False),
        *(_numbers(name, _LARGEST, log1p=True) for name in ("price", "quantity", "discount")),
        _scalar("tenure_days", _LONGEST_DAYS, {"std": 365.0}),
        _scalar("coupons_redeemed", _LARGEST, {"log1p": True}),
        _scalar("campaigns_received", _LARGEST, {"log1p": True}),
        {"name": "as_of_day_of_week", "kind": "calendar", "calendar": "day_of_week"},
    ]


def inputs() -> list[dict]:
    """The manifest's inputs: one per sequence, and the scalars."""
    integers = ("category", "department", "store", "brand")
    sequences = [
        {
            "name": name,
            "dtype": "int64" if name in integers else "float32",
            "shape": [MAX_EVENTS],
            "features": [f"events.{name}"],
        }
        for name in SEQUENCES
    ]
    scalars = {"name": "scalars", "dtype": "float32", "shape": [len(SCALARS)], "features": list(SCALARS)}
    return [*sequences, scalars]


def encode(features: list[dict], rows: list[dict]) -> list[np.ndarray]:
    """The inputs of `rows` in the order of `inputs()`, each `[n, *shape]`."""
    encoded = encode_rows({"task": "user_portrait", "features": features, "inputs": inputs()}, rows)
    return [encoded[spec["name"]] for spec in inputs()]


def _vocabulary(column) -> list[str]:
    return sorted(set(column) - {""})


def _categories(name: str, encoding: dict, absent: dict) -> dict:
    kind = {"name": f"events.{name}", "kind": "category_list", "max_len": MAX_EVENTS}
    return {**kind, **absent, "encoding": encoding}


def _numbers(name: str, largest: float, log1p: bool) -> dict:
    kind = {"name": f"events.{name}", "kind": "number_list", "max_len": MAX_EVENTS}
    return {**kind, "default": None, "range": [0.0, largest], "transform": {"log1p": log1p}}


def _scalar(name: str, largest: float, transform: dict) -> dict:
    return {"name": name, "kind": "number", "default": None, "range": [0.0, largest], "transform": transform}
