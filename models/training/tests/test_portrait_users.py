"""Rows of users at a day, and what they bought after it."""

import pandas as pd
import pytest

from souk_training.layout import CAMPAIGN, PURCHASE, REDEMPTION, DatasetInfo, Layout, write_layout
from souk_training.portrait.tags import DEMOGRAPHICS, UNKNOWN, classes
from souk_training.portrait.users import next_departments, read_history, user_rows

EVENTS = [
    ("a", "2017-01-01T00:00:00Z", PURCHASE, "SOUP", "GROCERY"),
    ("a", "2017-01-05T10:00:00Z", CAMPAIGN, "", ""),
    ("a", "2017-01-10T23:59:59Z", PURCHASE, "", "PASTRY"),
    ("a", "2017-01-11T00:00:00Z", REDEMPTION, "", ""),
    ("a", "2017-01-11T00:00:00Z", PURCHASE, "SOUP", "GROCERY"),
    ("a", "2017-02-07T23:59:59Z", PURCHASE, "BREAD", "PASTRY"),
    ("a", "2017-02-08T00:00:00Z", PURCHASE, "TEA", "DELI"),
    ("b", "2017-01-20T00:00:00Z", PURCHASE, "TEA", "DELI"),
]


@pytest.fixture
def history(tmp_path):
    events = pd.DataFrame(EVENTS, columns=["entity_id", "time", "action", "category", "department"])
    events = events.assign(item="1", brand="", store="s", price=1.5, quantity=1.0, discount=0.0)
    info = DatasetInfo("made up", "a test", "free", "USD", "US", "UTC", "2017-01-01", "2017-02-08")
    write_layout(tmp_path, info, {"events": events})
    return read_history(Layout(tmp_path))


def test_a_row_holds_what_was_known_at_the_end_of_the_day(history):
    (row,) = user_rows(history, "2017-01-10")
    features = row["features"]
    assert [event["time"] for event in features["events"]] == ["2017-01-01T00:00:00Z", "2017-01-10T23:59:59Z"]
    assert (features["tenure_days"], features["campaigns_received"], features["coupons_redeemed"]) == (10.0, 1.0, 0.0)


def test_empty_fields_are_left_out_of_an_event(history):
    (row,) = user_rows(history, "2017-01-10")
    assert "category" not in row["features"]["events"][1] and "discount" not in row["features"]["events"][0]


def test_a_user_without_a_purchase_has_no_row(history):
    assert [row["user_id"] for row in user_rows(history, "2017-01-19")] == ["a"]
    assert [row["user_id"] for row in user_rows(history, "2017-01-20")] == ["a", "b"]


def test_the_horizon_begins_after_the_day_and_lasts_28_days(history):
    bought = next_departments(history, "2017-01-10", ["b", "a"], ["DELI", "GROCERY", "PASTRY"])
    assert bought.tolist() == [[1, 0, 0], [0, 1, 1]]


def test_published_brackets_are_merged_and_blanks_unknown():
    income = next(group for group in DEMOGRAPHICS if group.name == "income")
    found = classes(income, pd.Series(["250K+", None, "Under 15K", "100-124K"]))
    assert found.tolist() == [7, UNKNOWN, 0, 6]


def test_a_class_that_nobody_published_is_refused():
    with pytest.raises(ValueError, match="labels.age: found \\['young'\\]"):
        classes(DEMOGRAPHICS[0], pd.Series(["young"]))
