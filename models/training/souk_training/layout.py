"""Reads and writes the layout: the plain tables that training works on.

An adapter writes them from each data set; README.md documents every column. Nothing here knows a
data set, a model or torch.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import pandas as pd

DATASET_FILE = "dataset.json"
# What an event's `action` can be. A campaign's or a coupon's event has only its `item`.
PURCHASE, REDEMPTION, CAMPAIGN = "purchase", "redeem_coupon", "receive_campaign"
TEXT_COLUMNS = {
    "daily": ["entity_id"],
    "entities": ["entity_id", "country", "city", "area", "category_l1", "category_l2", "category_l3", "device"],
    "events": ["entity_id", "action", "item", "category", "department", "brand", "store"],
    "labels": None,  # every column
}


@dataclass(frozen=True)
class DatasetInfo:
    """What a data set is: where it comes from, on what terms, in which currency."""

    name: str
    source: str
    terms: str
    currency: str
    country: str
    time_zone: str
    first_day: str
    last_day: str
    # Public holidays, ISO dates.
    holidays: list[str] = field(default_factory=list)
    # What a reader of any figure must know, e.g. how GMV was approximated.
    notes: list[str] = field(default_factory=list)


class Layout:
    """A folder in the layout. Tables are read when first asked for."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        if not (self.folder / DATASET_FILE).is_file():
            raise FileNotFoundError(
                f"{self.folder} holds no {DATASET_FILE}: write the layout with `python -m souk_training adapt` first"
            )

    @cached_property
    def info(self) -> DatasetInfo:
        """Contents of `dataset.json`; unknown keys are refused."""
        return DatasetInfo(**json.loads((self.folder / DATASET_FILE).read_text("utf-8")))

    @cached_property
    def daily(self) -> pd.DataFrame:
        """entity_id, day (datetime64), gmv, orders; one line per entity and recorded day."""
        return self._table("daily", dates=["day"])

    @cached_property
    def entities(self) -> pd.DataFrame:
        """entity_id (unique), then static attributes; blanks are missing."""
        table = self._table("entities")
        if table["entity_id"].duplicated().any():
            raise ValueError(f"{self.folder}/entities: entity_id must be unique")
        return table

    @cached_property
    def events(self) -> pd.DataFrame:
        """One line per event of a user, `time` in UTC."""
        table = self._table("events")
        table["time"] = pd.to_datetime(table["time"], utc=True, format="ISO8601")
        return table

    @cached_property
    def labels(self) -> pd.DataFrame:
        """entity_id, then one text column per tag group; blank = unknown."""
        return self._table("labels")

    def has(self, name: str) -> bool:
        """Is table `name` there, plain or compressed?"""
        return self._path(name) is not None

    def _path(self, name: str) -> Path | None:
        candidates = (self.folder / f"{name}.csv{suffix}" for suffix in ("", ".gz"))
        return next((path for path in candidates if path.is_file()), None)

    def _table(self, name: str, dates: list[str] | None = None) -> pd.DataFrame:
        path = self._path(name)
        if path is None:
            raise FileNotFoundError(f"{self.folder} holds neither {name}.csv nor {name}.csv.gz")
        text = TEXT_COLUMNS[name]
        types = str if text is None else dict.fromkeys(text, str)
        # Only the empty cell is missing: a category may well be called "NA" or "None".
        return pd.read_csv(path, dtype=types, parse_dates=dates, keep_default_na=False, na_values=[""])


def write_layout(folder: Path | str, info: DatasetInfo, tables: dict[str, pd.DataFrame]) -> None:
    """Writes `tables` (name to frame) and, last, `dataset.json`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        if name not in TEXT_COLUMNS:
            raise ValueError(f"the layout knows no table {name!r}, but {sorted(TEXT_COLUMNS)}")
        # A fixed mtime in the gzip header: the same data gives the same bytes.
        compression = {"method": "gzip", "compresslevel": 6, "mtime": 0}
        table.to_csv(folder / f"{name}.csv.gz", index=False, compression=compression)
    text = json.dumps(asdict(info), ensure_ascii=False, indent=2)
    (folder / DATASET_FILE).write_text(text + "\n", "utf-8")
