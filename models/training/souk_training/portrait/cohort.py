"""What training and validation work on: bag vectors of users, their tags, and what they bought next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from souk_training.deepfm import cardinality
from souk_training.layout import Layout
from souk_training.portrait import spec
from souk_training.portrait.bags import Bags
from souk_training.portrait.tags import DEMOGRAPHICS, DEPARTMENT_SUPPORT
from souk_training.portrait.users import HORIZON_DAYS, History, demographics, next_departments, read_history, user_rows

# Origins for the departments: this many, HORIZON_DAYS apart, so that no two horizons overlap.
ORIGINS = 5
_CHUNK = 256


@dataclass(frozen=True)
class Sample:
    """Rows for one kind of target."""

    x: np.ndarray  # [n, width] bag vectors
    y: np.ndarray  # [n, groups] int64 classes, or [n, departments] float32
    users: np.ndarray  # [n] ids

    def of(self, rows: np.ndarray) -> Sample:
        """The rows where `rows` (bool) is true."""
        return Sample(self.x[rows], self.y[rows], self.users[rows])


@dataclass(frozen=True)
class Cohort:
    """Everything that is known, as tensors and numbers."""

    features: list[dict]
    departments: list[str]
    last_day: str
    origins: list[str]
    # The labelled users on the last day, with the class of each group.
    labelled: Sample
    # All users at every origin, with the departments of the next HORIZON_DAYS.
    behaviour: Sample
    # All users on the last day; y is empty.
    everyone: Sample


def bags_of(features: list[dict]) -> Bags:
    """The pooling for these vocabularies."""
    by_name = {feature["name"]: feature for feature in features}
    sizes = {name: cardinality(by_name[f"events.{name}"]) for name in ("category", "department", "store", "brand")}
    return Bags(
        categories=sizes["category"],
        departments=sizes["department"],
        stores=sizes["store"],
        brands=sizes["brand"],
        scalars=len(spec.SCALARS),
    )


@dataclass(frozen=True)
class EncodedDays:
    """Every user with a purchase by each day, encoded: first on the last day, then at the origins, newest first."""

    history: History
    features: list[dict]
    days: list[str]
    users: dict[str, np.ndarray]  # day -> ids [n]
    inputs: dict[str, list[np.ndarray]]  # day -> the inputs in the manifest's order, each [n, *shape]


def read_cohort(layout: Layout) -> Cohort:
    """Encodes every user on the last day and at every origin."""
    return cohort_of(layout, encode_days(layout))


def encode_days(layout: Layout) -> EncodedDays:
    """Fits the encoding to the history and encodes every user on every day."""
    history, last_day = read_history(layout), layout.info.last_day
    features, days = spec.features_of(history), [last_day, *origins_before(last_day)]
    encoded = EncodedDays(history, features, days, {}, {})
    for day in tqdm(days, desc="reading", unit="day"):
        rows = user_rows(history, day)
        encoded.users[day] = np.array([row["user_id"] for row in rows])
        encoded.inputs[day] = spec.encode(features, rows)
    return encoded


def cohort_of(layout: Layout, encoded: EncodedDays, dtype: type = np.float32) -> Cohort:
    """Bag vectors, computed in `dtype`, with what is to be learnt from them."""
    bags, (last_day, *origins) = bags_of(encoded.features), encoded.days
    vectors = {day: pool(bags, inputs, dtype) for day, inputs in encoded.inputs.items()}
    users = encoded.users
    everyone = Sample(vectors[last_day], np.zeros((len(users[last_day]), 0)), users[last_day])
    departments, bought = _bought(encoded.history, encoded.features, origins, users)
    behaviour = Sample(
        np.concatenate([vectors[day] for day in origins]),
        np.concatenate([bought[day] for day in origins]),
        np.concatenate([users[day] for day in origins]),
    )
    labelled = _labelled(layout, everyone)
    return Cohort(encoded.features, departments, last_day, origins, labelled, behaviour, everyone)


def origins_before(last_day: str) -> list[str]:
    """Newest first; the newest has its horizon end on `last_day`."""
    back = [HORIZON_DAYS * (step + 1) for step in range(ORIGINS)]
    return [str((pd.Timestamp(last_day) - pd.Timedelta(days=days)).date()) for days in back]


def pool(bags: Bags, inputs: list[np.ndarray], dtype: type = np.float32) -> np.ndarray:
    """Bag vectors `[n, width]` float32 of encoded inputs, computed in `dtype`."""
    numbers = [array.astype(dtype) if array.dtype == np.float32 else array for array in inputs]
    with torch.inference_mode():
        parts = [
            bags(*(torch.from_numpy(array[start : start + _CHUNK]) for array in numbers)).float().numpy()
            for start in range(0, len(inputs[0]), _CHUNK)
        ]
    return np.concatenate(parts)


def _bought(history, features: list[dict], origins: list[str], users: dict):
    """The departments with enough support, and who bought there after each origin."""
    named = next(f for f in features if f["name"] == "events.department")["encoding"]["vocabulary"]
    bought = {day: next_departments(history, day, users[day].tolist(), named) for day in origins}
    share = np.mean([table.mean(0) for table in bought.values()], axis=0)
    # Most common first: that is how the tags are listed.
    kept = [place for place in np.argsort(-share, kind="stable") if share[place] >= DEPARTMENT_SUPPORT]
    return [named[place] for place in kept], {day: table[:, kept] for day, table in bought.items()}


def _labelled(layout: Layout, everyone: Sample) -> Sample:
    ids, by_group = demographics(layout)
    place = {user: index for index, user in enumerate(everyone.users)}
    rows = [place[user] for user in ids]
    classes = np.stack([by_group[group.name] for group in DEMOGRAPHICS], axis=1)
    return Sample(everyone.x[rows], classes, np.array(ids))
