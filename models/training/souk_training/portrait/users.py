"""Users as the server would be sent them, and what they did afterwards, from the layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from souk_training.layout import CAMPAIGN, PURCHASE, REDEMPTION, Layout
from souk_training.portrait.tags import DEMOGRAPHICS, classes

HORIZON_DAYS = 28
_TEXT = ["item", "category", "department", "brand", "store"]
_NUMBERS = ["price", "quantity", "discount"]


@dataclass(frozen=True)
class History:
    """Everything that happened, by user and in time."""

    purchases: pd.DataFrame
    redemptions: pd.DataFrame
    campaigns: pd.DataFrame

    @property
    def user_ids(self) -> list[str]:
        """All users, in the layout's order."""
        return self.purchases["entity_id"].drop_duplicates().tolist()


def read_history(layout: Layout) -> History:
    """Splits the layout's events by action."""
    events = layout.events.copy()
    events[_TEXT] = events[_TEXT].fillna("")
    of = {action: events[events["action"] == action] for action in (PURCHASE, REDEMPTION, CAMPAIGN)}
    return History(of[PURCHASE], of[REDEMPTION], of[CAMPAIGN])


def end_of(as_of: str) -> pd.Timestamp:
    """Midnight UTC after `as_of`."""
    return pd.Timestamp(as_of, tz="UTC") + pd.Timedelta(days=1)


def user_rows(history: History, as_of: str) -> list[dict]:
    """A `User` as protobuf JSON for every user with a purchase up to `as_of`, from what was known then."""
    end = end_of(as_of)
    known = history.purchases[history.purchases["time"] < end]
    campaigns, redemptions = _count(history.campaigns, end), _count(history.redemptions, end)
    rows = []
    for user, events in known.groupby("entity_id", sort=False):
        features = {
            "country": "US",
            "tenure_days": float((end - events["time"].iloc[0]).days),
            "coupons_redeemed": float(redemptions.get(user, 0)),
            "campaigns_received": float(campaigns.get(user, 0)),
            "events": _behaviours(events),
        }
        rows.append({"user_id": user, "features": features, "as_of": as_of})
    return rows


def next_departments(history: History, as_of: str, users: list[str], departments: list[str]) -> np.ndarray:
    """float32 `[n_users, n_departments]`: 1 where the user buys there in the HORIZON_DAYS after `as_of`."""
    start = end_of(as_of)
    bought = history.purchases[
        (history.purchases["time"] >= start) & (history.purchases["time"] < start + pd.Timedelta(days=HORIZON_DAYS))
    ]
    table = bought.groupby(["entity_id", "department"]).size().unstack(fill_value=0)
    return (table.reindex(index=users, columns=departments, fill_value=0) > 0).to_numpy(np.float32)


def demographics(layout: Layout) -> tuple[list[str], dict[str, np.ndarray]]:
    """The labelled users, and the class of each by group (`UNKNOWN` where blank)."""
    labels = layout.labels
    return labels["entity_id"].tolist(), {group.name: classes(group, labels[group.name]) for group in DEMOGRAPHICS}


def _count(events: pd.DataFrame, end: pd.Timestamp) -> dict[str, int]:
    return events[events["time"] < end].groupby("entity_id").size().to_dict()


def _behaviours(events: pd.DataFrame) -> list[dict]:
    """`Behaviour`s, oldest first; a field that is empty is left out, as a client would."""
    columns = {name: events[name].tolist() for name in [*_TEXT, *_NUMBERS]}
    times = events["time"].dt.strftime("%Y-%m-%dT%H:%M:%SZ").tolist()
    found = []
    for place, time in enumerate(times):
        event = {"time": time, "action": PURCHASE}
        event |= {name: column[place] for name, column in columns.items() if column[place] not in ("", 0.0)}
        found.append(event)
    return found
