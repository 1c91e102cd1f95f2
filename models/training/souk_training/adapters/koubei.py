"""IJCAI-17 Koubei (Alipay): payments per shop and day, 2015-06-26 to 2016-10-31.

The data have no amount of money per payment. GMV is approximated as payments × `per_pay`, the
publisher's money spent per person, in CNY. A blank cell is no record, never 0, and 2015-12-12 has no
column at all.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from souk_training.layout import DatasetInfo, write_layout

PAYMENTS_FILE, SHOPS_FILE = "daily_payments.csv", "shops.csv"
# Only the empty cell is missing.
_BLANKS = {"keep_default_na": False, "na_values": [""]}
# Published column -> name in the layout. `city_level` was added by the uploader and is left out.
COLUMNS = {
    "city": "city",
    "loc": "area",
    "cate_1": "category_l1",
    "cate_2": "category_l2",
    "cate_3": "category_l3",
    "per_pay": "average_basket",
    "score": "rating",
    "comment": "review_count",
    "shop_level": "shop_level",
}
# Days off by the notices of China's State Council for 2015 and 2016, week-ends within them included.
HOLIDAY_SPANS = (
    ("2015-06-20", "2015-06-22"), ("2015-09-03", "2015-09-05"), ("2015-09-26", "2015-09-27"),
    ("2015-10-01", "2015-10-07"), ("2016-01-01", "2016-01-03"), ("2016-02-07", "2016-02-13"),
    ("2016-04-02", "2016-04-04"), ("2016-04-30", "2016-05-02"), ("2016-06-09", "2016-06-11"),
    ("2016-09-15", "2016-09-17"), ("2016-10-01", "2016-10-07"),
)  # fmt: skip


def adapt(data: Path, out: Path) -> None:
    """Reads the published files in `data`, writes the layout to `out`."""
    shops = read_shops(data / SHOPS_FILE)
    daily = read_daily(data / PAYMENTS_FILE, shops)
    days = daily["day"]
    write_layout(out, dataset_info(str(days.min()), str(days.max())), {"entities": shops, "daily": daily})
    print(f"{out}: {len(shops)} shops, {len(daily)} recorded shop days", file=sys.stderr)


def read_shops(path: Path) -> pd.DataFrame:
    """entity_id and the attributes of COLUMNS; blanks stay blank."""
    text = {"id": str, "city": str, "loc": str, "cate_1": str, "cate_2": str, "cate_3": str}
    shops = pd.read_csv(path, dtype=text, **_BLANKS).rename(columns={"id": "entity_id", **COLUMNS})
    return shops[["entity_id", *COLUMNS.values()]].assign(country="CN")


def read_daily(path: Path, shops: pd.DataFrame) -> pd.DataFrame:
    """entity_id, day (ISO text), gmv, orders; one line per non-blank cell, by shop and day."""
    wide = pd.read_csv(path, dtype={"shop_id": str}, **_BLANKS).rename(columns={"shop_id": "entity_id"})
    daily = wide.melt("entity_id", var_name="day", value_name="orders").dropna(subset=["orders"])
    basket = shops.set_index("entity_id")["average_basket"]
    daily["gmv"] = daily["orders"] * daily["entity_id"].map(basket)
    order = daily["entity_id"].astype(int)
    return daily.assign(order=order).sort_values(["order", "day"])[["entity_id", "day", "gmv", "orders"]]


def dataset_info(first_day: str, last_day: str) -> DatasetInfo:
    """What every reader of a figure must know about the data."""
    holidays = [day for span in HOLIDAY_SPANS for day in pd.date_range(*span).strftime("%Y-%m-%d")]
    return DatasetInfo(
        name="IJCAI-17 Koubei",
        source="IJCAI-17 customer flow forecasts, Alipay Koubei, published on Alibaba Tianchi",
        terms="competition data, research use; name the source, do not redistribute",
        currency="CNY",
        country="CN",
        time_zone="Asia/Shanghai",
        first_day=first_day,
        last_day=last_day,
        holidays=holidays,
        notes=[
            "GMV is approximated as payments × per_pay (money spent per person) in CNY: the data have no amounts.",
            "A day without a line is a day without a record (closed, not yet there, a gap), not a day without sales.",
        ],
    )
