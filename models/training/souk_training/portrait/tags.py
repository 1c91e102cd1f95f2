"""The tag groups of a portrait: labels, their order, and which published classes a label takes in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

DEPARTMENTS = "preferred_departments"
EMBEDDING = "embedding"
# A department is a tag if at least this share of all households buys there in a horizon, on the mean of
# the origins: 1 % is 24 households, too few positives below it to learn or to measure anything.
DEPARTMENT_SUPPORT = 0.01


@dataclass(frozen=True)
class TagGroup:
    """Exclusive tags of one group."""

    name: str
    labels: tuple[str, ...]
    # Neighbouring labels are alike. Not so for children: a household with one child is no more like one with
    # none than like one with three.
    ordinal: bool = False
    # Published class -> label, where they differ.
    merged: dict[str, str] = field(default_factory=dict)


# Brackets of income below 50 households are merged with their neighbours: 5 households in 250 lines
# say nothing that holds for others.
DEMOGRAPHICS = (
    TagGroup("age", ("19-24", "25-34", "35-44", "45-54", "55-64", "65+"), ordinal=True),
    TagGroup(
        "income",
        ("Under 15K", "15-24K", "25-34K", "35-49K", "50-74K", "75-99K", "100-149K", "150K+"),
        ordinal=True,
        merged={
            "100-124K": "100-149K",
            "125-149K": "100-149K",
            "150-174K": "150K+",
            "175-199K": "150K+",
            "200-249K": "150K+",
            "250K+": "150K+",
        },
    ),
    TagGroup("household_composition", ("1 Adult No Kids", "1 Adult Kids", "2 Adults No Kids", "2 Adults Kids")),
    TagGroup("children", ("0", "1", "2", "3+")),
    TagGroup("marital_status", ("Married", "Unmarried")),
)
UNKNOWN = -1


def classes(group: TagGroup, column: pd.Series) -> np.ndarray:
    """int64 `[n]`: index of each entity's label; `UNKNOWN` where blank. Refuses a class it does not know."""
    places = {label: index for index, label in enumerate(group.labels)}
    places |= {published: places[label] for published, label in group.merged.items()}
    known = column.dropna()
    strange = sorted(set(known) - places.keys())
    if strange:
        raise ValueError(f"labels.{group.name}: found {strange}, wanted {sorted(places)}")
    return column.map(places).fillna(UNKNOWN).to_numpy(np.int64)
