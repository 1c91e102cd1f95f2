"""What the reference model reads: 26 hashed categories and 13 numbers, all of them in `extra`.

The counts are those of the Criteo data set, by which rankers are usually compared; nothing else is taken
from it. The features come one by one, as products send what is on trial, or as two lists.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from souk_training.reference import FIELDS, NUMBERS

FORMS = ("extra", "lists")
# No features: requests send the inputs themselves.
TENSORS = "tensors"
_FIRST_AS_OF = date(2026, 1, 1)


def build_features(form: str, ids: int) -> list[dict]:
    """The manifest's features; `ids` of each field, id 0 included."""
    if form == TENSORS:
        return []
    encoding = {"hash": {"buckets": ids}}
    if form == "lists":
        return [
            {"name": "c", "kind": "category_list", "default": None, "encoding": encoding, "max_len": FIELDS},
            {"name": "d", "kind": "number_list", "default": None, "range": [-100, 100], "max_len": NUMBERS},
        ]
    return [
        *({"name": name, "kind": "category", "default": None, "encoding": encoding} for name in _names("c", FIELDS)),
        *({"name": name, "kind": "number", "default": None, "range": [-100, 100]} for name in _names("d", NUMBERS)),
    ]


def build_inputs(form: str) -> list[dict]:
    """The manifest's inputs, the same tensors in every form."""
    if form == TENSORS:
        return [
            {"name": "ids", "dtype": "int64", "shape": [FIELDS]},
            {"name": "dense", "dtype": "float32", "shape": [NUMBERS]},
        ]
    ids, dense = (["c"], ["d"]) if form == "lists" else (_names("c", FIELDS), _names("d", NUMBERS))
    return [
        {"name": "ids", "dtype": "int64", "shape": [FIELDS], "features": ids},
        {"name": "dense", "dtype": "float32", "shape": [NUMBERS], "features": dense},
    ]


def golden_rows(form: str, count: int, seed: int) -> list[dict]:
    """`count` made-up merchants with every feature."""
    random = np.random.default_rng(seed)
    return [_row(random, form, index) for index in range(count)]


def golden_inputs(count: int, ids: int, seed: int) -> dict[str, np.ndarray]:
    """The inputs of `count` made-up rows of the form `tensors`."""
    random = np.random.default_rng(seed)
    dense = np.round(random.normal(size=(count, NUMBERS)), 4).astype(np.float32)
    return {"ids": random.integers(1, ids, size=(count, FIELDS)), "dense": dense}


def _row(random: np.random.Generator, form: str, index: int) -> dict:
    categories = [f"v{value}" for value in random.integers(1_000_000, size=FIELDS)]
    numbers = np.round(random.normal(size=NUMBERS), 4).tolist()
    if form == "lists":
        extra = {"c": {"categories": {"values": categories}}, "d": {"numbers": {"values": numbers}}}
    else:
        extra = {name: {"category": value} for name, value in zip(_names("c", FIELDS), categories, strict=True)}
        extra |= {name: {"number": value} for name, value in zip(_names("d", NUMBERS), numbers, strict=True)}
    as_of = (_FIRST_AS_OF + timedelta(days=index % 365)).isoformat()
    return {"merchant_id": f"golden-{index}", "features": {"extra": extra}, "as_of": as_of}


def _names(letter: str, count: int) -> list[str]:
    return [f"{letter}{index}" for index in range(count)]
