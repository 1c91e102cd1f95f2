"""Encodes rows by a manifest into the tensors that a model reads.

The server does the same in Rust; golden rows and `tests/fixtures/encoding.json` hold the two
together. Works feature by feature over all rows at once. Needs numpy and xxhash only.
"""

from __future__ import annotations

from datetime import date

import numpy as np
import xxhash

from souk_training import columns, schema
from souk_training.columns import RowRefused

__all__ = ["encode_rows", "RowRefused"]


def encode_rows(manifest: dict, rows: list[dict]) -> dict[str, np.ndarray]:
    """Encodes `rows` (`Merchant` or `User` as protobuf JSON with snake_case names).

    Returns input name -> `[n_rows, *shape]`, int64 or float32, in the manifest's order.
    Raises `RowRefused`, which names row and field, where the server would refuse a row.
    """
    columns.check_extra(manifest, rows)
    features = {feature["name"]: feature for feature in manifest["features"]}
    days = [row.get("as_of") for row in rows]
    values = {name: columns.read(feature, rows, manifest["task"]) for name, feature in features.items()}
    return {
        spec["name"]: _fill(spec, [features[name] for name in spec["features"]], values, days)
        for spec in manifest["inputs"]
    }


def flat(array: np.ndarray) -> list:
    """One row of an input as JSON numbers: the shortest decimals that give the same float32."""
    if array.dtype == np.float32:
        return [float(str(value)) for value in array.ravel()]
    return array.ravel().tolist()


def _fill(spec: dict, features: list[dict], values: dict, days: list[str]) -> np.ndarray:
    """One input, `[n_rows, *shape]`."""
    to_column = _ids if spec["dtype"] == "int64" else _dense
    filled = [to_column(feature, values[feature["name"]], days) for feature in features]
    if features[0]["kind"].endswith("_list"):
        return filled[0]
    return np.stack(filled, axis=1) if len(days) else np.zeros((0, len(features)), spec["dtype"])


def _dense(feature: dict, column, days: list[str]) -> np.ndarray:
    """float32: `[n]` of a number or calendar feature, `[n, max_len]` of a number_list."""
    if feature["kind"] == schema.NUMBER_LIST:
        present = columns.present(column, feature["max_len"])
        dense = np.zeros(present.shape, np.float32)
        dense[present] = _transform(feature, columns.concatenate(column, feature["max_len"]))
        return dense
    numbers = _calendar(feature, days) if feature["kind"] == schema.CALENDAR else column
    # Missing is the mean, 0 after the transform.
    return np.where(np.isnan(numbers), 0.0, _transform(feature, numbers)).astype(np.float32)


def _transform(feature: dict, numbers: np.ndarray) -> np.ndarray:
    """`log1p`, then `(x - mean) / std`, all in float64."""
    transform = feature.get("transform", {})
    if transform.get("log1p", False):
        numbers = np.log1p(numbers)
    return (numbers - transform.get("mean", 0.0)) / transform.get("std", 1.0)


def _ids(feature: dict, column, days: list[str]) -> np.ndarray:
    """int64: `[n]` of a scalar feature, `[n, max_len]` of a category_list."""
    kind, encoding = feature["kind"], feature.get("encoding", {})
    if kind == schema.CATEGORY_LIST:
        present = columns.present(column, feature["max_len"])
        ids = np.zeros(present.shape, np.int64)
        kept = [value for values in column for value in values[-feature["max_len"] :]]
        ids[present] = _category_ids(feature["name"], encoding, kept)
        return ids
    if kind == schema.CATEGORY:
        return _category_ids(feature["name"], encoding, column)
    numbers = _calendar(feature, days) if kind == schema.CALENDAR else column
    if "edges" not in encoding:
        return numbers.astype(np.int64)
    ids = np.searchsorted(np.asarray(encoding["edges"], np.float64), numbers, side="right") + 1
    return np.where(np.isnan(numbers), 0, ids).astype(np.int64)


def _category_ids(name: str, encoding: dict, values: list[str | None]) -> np.ndarray:
    """`[n]` ids; missing, empty and unknown values are 0. Each distinct value is looked up once."""
    distinct = set(values) - {None, ""}
    if "vocabulary" in encoding:
        places = {value: index for index, value in enumerate(encoding["vocabulary"], start=1)}
        ids = {value: places.get(value, 0) for value in distinct}
    else:
        buckets = encoding["hash"]["buckets"]
        ids = {value: hash_id(name, value, buckets) for value in distinct}
    return np.fromiter((ids.get(value, 0) for value in values), np.int64, len(values))


def hash_id(name: str, value: str, buckets: int) -> int:
    """`1 + xxh3_64("name=value") % (buckets - 1)`, seed 0: between 1 and `buckets - 1`."""
    return 1 + xxhash.xxh3_64_intdigest(f"{name}={value}".encode(), seed=0) % (buckets - 1)


def _calendar(feature: dict, days: list[str]) -> np.ndarray:
    """float64 `[n]`, computed once per distinct `as_of`."""
    known = {day: _calendar_number(feature["calendar"], day) for day in set(days)}
    return np.array([known[day] for day in days], np.float64)


def _calendar_number(calendar: str | dict, as_of: str) -> int:
    day = date.fromisoformat(as_of)
    if calendar == "day_of_week":
        return day.isoweekday()
    if calendar == "month":
        return day.month
    horizon = calendar["dates_in_horizon"]
    ahead = ((date.fromisoformat(listed) - day).days for listed in horizon["dates"])
    return sum(1 <= days <= horizon["horizon_days"] for days in ahead)
