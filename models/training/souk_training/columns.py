"""Takes one feature out of many rows: typed field, column of events or `extra`.

Fills in defaults and refuses what the server refuses. Knows nothing of encodings.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np

from souk_training import schema

EVENT_PREFIX = "events."
_DAY_MICROSECONDS = 86_400_000_000


class RowRefused(ValueError):
    """A row that the server would refuse."""

    def __init__(self, row: int, field: str, reason: str):
        super().__init__(f"rows[{row}].{field}: {reason}")
        self.row, self.field = row, field


def read(feature: dict, rows: list[dict], task: str):
    """One feature of all rows, defaults filled in.

    number: float64 `[n]`, NaN = missing. category: list of str or None. Lists: list of arrays or of
    lists of str, empty = missing. calendar: None, it is computed from `as_of`.
    """
    name, kind = feature["name"], feature["kind"]
    if kind == schema.CALENDAR:
        return None
    found = _raw(name, kind, rows, task)
    path = f"features.{name}" if name in schema.FIELDS_OF_TASK[task] else f"features.extra[{name!r}]"
    default = feature.get("default")
    for row, value in enumerate(found):
        if value is None:
            if feature.get("required"):
                raise RowRefused(row, path, "required, but absent")
            found[row] = default
    if kind == schema.NUMBER:
        return _numbers(feature, found, path)
    if kind == schema.NUMBER_LIST:
        return _number_lists(feature, found, path)
    if kind == schema.CATEGORY_LIST:
        return [value or [] for value in found]
    return found


def check_extra(manifest: dict, rows: list[dict]) -> None:
    """Refuses typed fields and unknown names in `extra`."""
    typed = schema.FIELDS_OF_TASK[manifest["task"]]
    on_trial = {f["name"] for f in manifest["features"] if f["name"] not in typed and f["kind"] != schema.CALENDAR}
    for index, row in enumerate(rows):
        for name in (row.get("features") or {}).get("extra") or {}:
            if name not in on_trial:
                raise RowRefused(index, f"features.extra[{name!r}]", "the manifest knows no such feature on trial")


def present(column: list, max_len: int) -> np.ndarray:
    """bool `[n, max_len]`: where the newest `max_len` elements of each list go; padding is in front."""
    lengths = np.fromiter((min(len(values), max_len) for values in column), np.int64, len(column))
    return np.arange(max_len) >= max_len - lengths[:, None]


def concatenate(column: list[np.ndarray], max_len: int) -> np.ndarray:
    """The newest `max_len` numbers of each row, one row after the other."""
    return np.concatenate([values[-max_len:] for values in column]) if column else np.zeros(0)


def _raw(name: str, kind: str, rows: list[dict], task: str) -> list:
    """Values as sent; None where absent (unset, empty list, empty category)."""
    features = [row.get("features") or {} for row in rows]
    if name.startswith(EVENT_PREFIX) and task == "user_portrait":
        return [_event_column(name[len(EVENT_PREFIX) :], index, row) for index, row in enumerate(rows)]
    if name in schema.FIELDS_OF_TASK[task]:
        found = [feature.get(name) for feature in features]
    else:
        found = [_extra(index, name, (f.get("extra") or {}).get(name), kind) for index, f in enumerate(features)]
    if kind == schema.NUMBER:
        return found
    return [value if value else None for value in found]


def _extra(row: int, name: str, value: dict | None, kind: str):
    """The content of a `FeatureValue`; None where nothing is set."""
    if not value:
        return None
    wanted = schema.EXTRA_KEY[kind]
    if set(value) != {wanted}:
        raise RowRefused(row, f"features.extra[{name!r}]", f"found {sorted(value)}, wanted {wanted}")
    content = value[wanted]
    return content.get("values") if isinstance(content, dict) else content


def _event_column(column: str, index: int, row: dict) -> list | None:
    """One field of all events of a row. Unset fields have protobuf's defaults: 0 and the empty string."""
    events = (row.get("features") or {}).get("events")
    if not events:
        return None
    if column == "time":
        return _days_before_end(index, events, row["as_of"])
    unset = 0.0 if schema.USER_FIELDS[EVENT_PREFIX + column] == schema.NUMBER_LIST else ""
    return [event.get(column, unset) for event in events]


def _days_before_end(index: int, events: list[dict], as_of: str) -> list[float]:
    """Days from each event to midnight UTC after `as_of`."""
    end = datetime.combine(date.fromisoformat(as_of), datetime.min.time(), UTC) + timedelta(days=1)
    days = []
    for place, event in enumerate(events):
        if "time" not in event:
            raise RowRefused(index, f"features.events[{place}].time", "absent")
        elapsed = end - datetime.fromisoformat(event["time"])
        days.append((elapsed // timedelta(microseconds=1)) / _DAY_MICROSECONDS)
    return days


def _numbers(feature: dict, found: list, path: str) -> np.ndarray:
    missing = np.fromiter((value is None for value in found), bool, len(found))
    numbers = np.array([0.0 if value is None else value for value in found], np.float64)
    _check_range(feature, numbers, path, np.arange(len(found)), ~missing)
    numbers[missing] = np.nan
    return numbers


def _number_lists(feature: dict, found: list, path: str) -> list[np.ndarray]:
    lists = [np.asarray(value if value is not None else [], np.float64) for value in found]
    if lists:
        owner = np.repeat(np.arange(len(lists)), [len(values) for values in lists])
        numbers = np.concatenate(lists)
        _check_range(feature, numbers, path, owner, np.ones(len(owner), bool))
    return lists


def _check_range(feature: dict, numbers: np.ndarray, path: str, owner: np.ndarray, sent: np.ndarray) -> None:
    """Refuses the first number that is not finite or outside `range`; `owner` is each number's row."""
    low, high = feature.get("range", (-np.inf, np.inf))
    bad = sent & ~(np.isfinite(numbers) & (numbers >= low) & (numbers <= high))
    if bad.any():
        place = int(np.argmax(bad))
        raise RowRefused(int(owner[place]), path, f"found {numbers[place]}, wanted a number from {low} to {high}")
