"""The adapter on two made-up households in the published format."""

import gzip

from souk_training.adapters.complete_journey import adapt
from souk_training.layout import CAMPAIGN, PURCHASE, REDEMPTION, Layout

TRANSACTIONS = """household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,coupon_disc,coupon_match_disc,week,transaction_timestamp
10,319,1,7,2.0,1.5,0.29,0.5,0.1,1,2017-03-01 12:30:27
9,319,2,8,1.0,4.0,0.0,0.0,0.0,1,2017-01-01 13:47:20
10,319,3,9,1.0,1.0,0.0,0.0,0.0,1,2017-01-02 00:00:00
"""
PRODUCTS = """product_id,manufacturer_id,department,brand,product_category,product_type,package_size
7,2,GROCERY,National,SOUP,SOUP,
8,2,PASTRY,Private,BREAD,BREAD,
"""
FILES = {
    "demographics.csv": "household_id,age,income,home_ownership,marital_status,household_size,household_comp,kids_count\n"
    "9,65+,35-49K,,,2,2 Adults No Kids,0\n",
    "campaigns.csv": "campaign_id,household_id\n1,10\n1,77\n",
    "campaign_descriptions.csv": "campaign_id,campaign_type,start_date,end_date\n1,Type B,2017-02-03,2017-04-09\n",
    "coupon_redemptions.csv": "household_id,coupon_upc,campaign_id,redemption_date\n10,555,1,2017-02-20\n",
}


def layout(tmp_path) -> Layout:
    for name, text in {"transactions": TRANSACTIONS, "products": PRODUCTS}.items():
        (tmp_path / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    adapt(tmp_path, tmp_path / "out")
    return Layout(tmp_path / "out")


def test_events_stand_by_household_and_time(tmp_path):
    events = layout(tmp_path).events
    assert events["entity_id"].tolist() == ["9", "10", "10", "10", "10"]
    assert events["action"].tolist() == [PURCHASE, PURCHASE, CAMPAIGN, REDEMPTION, PURCHASE]


def test_price_is_before_every_discount(tmp_path):
    last = layout(tmp_path).events.iloc[-1]
    assert (last["price"], last["discount"], last["quantity"]) == (1.89, 0.89, 2.0)
    assert str(last["time"]) == "2017-03-01 12:30:27+00:00"


def test_a_product_without_a_description_stays_blank(tmp_path):
    unknown = layout(tmp_path).events.iloc[1]
    assert unknown["item"] == "9" and unknown[["category", "department", "brand"]].isna().all()


def test_households_without_a_line_are_left_out(tmp_path):
    assert layout(tmp_path).entities["entity_id"].tolist() == ["9", "10"]


def test_labels_are_the_published_classes_and_keep_blanks(tmp_path):
    labels = layout(tmp_path).labels
    assert labels.loc[0, ["entity_id", "age", "children"]].tolist() == ["9", "65+", "0"]
    assert labels["marital_status"].isna().all()
