"""Shared made-up data. No test needs the real data."""

import numpy as np
import pandas as pd
import pytest

from souk_training.layout import DatasetInfo, Layout, write_layout


@pytest.fixture
def gmv_layout(tmp_path):
    """Three shops over 120 days: steady, joined late with a gap, silent for the last 40 days."""
    days = pd.date_range("2016-01-01", periods=120).strftime("%Y-%m-%d")
    recorded = {"1": range(120), "2": [day for day in range(90, 120) if day != 100], "3": range(80)}
    daily = pd.DataFrame(
        [(shop, days[day], 10.0 * (day + 1), float(day + 1)) for shop, span in recorded.items() for day in span],
        columns=["entity_id", "day", "gmv", "orders"],
    )
    attributes = {"city": ["上海", None, "NA"], "rating": [4.0, np.nan, 0.0], "shop_level": [1, 2, 3]}
    entities = pd.DataFrame({"entity_id": ["1", "2", "3"], **attributes})
    info = DatasetInfo("made up", "a test", "free", "CNY", "CN", "UTC", days[0], days[-1])
    write_layout(tmp_path / "layout", info, {"daily": daily, "entities": entities})
    return Layout(tmp_path / "layout")
