"""84.51° Complete Journey 2.0: a year of grocery baskets, 2017, with household demographics.

The data are a random sample of about 7 % of the lines, so no total is a household's or a store's true
turnover. Campaigns and redemptions become events of their own, so that whoever reads the layout can
count them up to any day.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from souk_training.layout import CAMPAIGN, PURCHASE, REDEMPTION, DatasetInfo, write_layout

EVENT_COLUMNS = [
    "entity_id", "time", "action", "item", "category", "department", "brand",
    "price", "quantity", "discount", "store",
]  # fmt: skip
# Published column -> tag group. Home ownership is left out: 233 of 801 blank and 504 of the rest alike.
LABEL_COLUMNS = {
    "age": "age",
    "income": "income",
    "household_comp": "household_composition",
    "kids_count": "children",
    "marital_status": "marital_status",
}


def adapt(data: Path, out: Path) -> None:
    """Reads the published files in `data`, writes the layout to `out`."""
    purchases = read_purchases(data)
    events = pd.concat([purchases, read_redemptions(data), read_campaigns(data)])
    # Campaigns also name households of which no line was sampled.
    events = events[events["entity_id"].isin(purchases["entity_id"].unique())]
    events = events.sort_values(["entity_id", "time"], kind="stable", key=_order)[EVENT_COLUMNS]
    entities = events[["entity_id"]].drop_duplicates().assign(country="US")
    tables = {"entities": entities, "events": events, "labels": read_labels(data)}
    write_layout(out, dataset_info(), tables)
    print(
        f"{out}: {len(entities)} households, {len(purchases)} lines, {len(tables['labels'])} labelled", file=sys.stderr
    )


def read_purchases(data: Path) -> pd.DataFrame:
    """One event per line of a basket.

    `sales_value` is what the retailer received, the loyalty card's and the matched coupon's discounts
    already taken off; `price` adds both back. Source: data dictionary of the R package completejourney.
    """
    ids = dict.fromkeys(["household_id", "store_id", "product_id"], str)
    lines = pd.read_csv(data / "transactions.csv.gz", dtype=ids)
    columns = ["product_id", "department", "brand", "product_category"]
    products = pd.read_csv(data / "products.csv.gz", dtype={"product_id": str}, usecols=columns)
    lines = lines.merge(products, on="product_id", how="left", validate="many_to_one")
    off_shelf = lines["retail_disc"] + lines["coupon_match_disc"]
    return pd.DataFrame(
        {
            "entity_id": lines["household_id"],
            "time": _utc(lines["transaction_timestamp"]),
            "action": PURCHASE,
            "item": lines["product_id"],
            "category": lines["product_category"],
            "department": lines["department"],
            "brand": lines["brand"],
            "price": (lines["sales_value"] + off_shelf).round(2),
            "quantity": lines["quantity"],
            "discount": (off_shelf + lines["coupon_disc"]).round(2),
            "store": lines["store_id"],
        }
    )


def read_redemptions(data: Path) -> pd.DataFrame:
    """One event per coupon redeemed; the data give the day, not the hour."""
    coupons = pd.read_csv(data / "coupon_redemptions.csv", dtype=str)
    return pd.DataFrame(
        {
            "entity_id": coupons["household_id"],
            "time": _utc(coupons["redemption_date"]),
            "action": REDEMPTION,
            "item": coupons["coupon_upc"],
        }
    )


def read_campaigns(data: Path) -> pd.DataFrame:
    """One event per campaign that a household was sent, on the day it began."""
    campaigns = pd.read_csv(data / "campaigns.csv", dtype=str)
    days = pd.read_csv(data / "campaign_descriptions.csv", dtype=str)[["campaign_id", "start_date"]]
    campaigns = campaigns.merge(days, on="campaign_id", validate="many_to_one")
    return pd.DataFrame(
        {
            "entity_id": campaigns["household_id"],
            "time": _utc(campaigns["start_date"]),
            "action": CAMPAIGN,
            "item": campaigns["campaign_id"],
        }
    )


def read_labels(data: Path) -> pd.DataFrame:
    """entity_id and the published classes of each tag group; blank = not known."""
    labels = pd.read_csv(data / "demographics.csv", dtype=str, keep_default_na=False)
    labels = labels.rename(columns={"household_id": "entity_id", **LABEL_COLUMNS})
    return labels[["entity_id", *LABEL_COLUMNS.values()]]


def dataset_info() -> DatasetInfo:
    """What every reader of a figure must know about the data."""
    return DatasetInfo(
        name="84.51° Complete Journey 2.0",
        source="84.51°, through the R package completejourney (Boehmke and Mangum)",
        terms="CC0",
        currency="USD",
        country="US",
        time_zone="UTC",
        first_day="2017-01-01",
        last_day="2017-12-31",
        notes=[
            "A random sample of about 7 % of the lines: no total is a household's or a store's true turnover.",
            "The published times read as UTC: purchases peak at 22 h, which is late afternoon in the east of the US.",
            "Quantities of fuel are in thousandths of a gallon, up to 32,623.",
        ],
    )


def _order(column: pd.Series) -> pd.Series:
    return column.astype(int) if column.name == "entity_id" else column


def _utc(times: pd.Series) -> pd.Series:
    """RFC 3339 text."""
    return pd.to_datetime(times).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
