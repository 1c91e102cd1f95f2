"""Rows, outcomes, baselines and metrics of merchant_gmv; none needs torch."""

import json
from argparse import Namespace
from datetime import date

import numpy as np
import pytest

from souk_training.gmv.baselines import four_times_last_7_days, last_28_days
from souk_training.gmv.metrics import report, rmsle, wape
from souk_training.gmv.panel import merchant_rows, mondays, read_panel

# Day 85 of the made-up data, which begin on 2016-01-01 as day 0.
ORIGIN = date(2016, 3, 26)


def test_the_horizon_begins_on_the_origin(gmv_layout):
    panel = read_panel(gmv_layout)
    outcome = panel.outcome(ORIGIN)
    assert outcome[0] == sum(10.0 * (day + 1) for day in range(85, 113))
    assert outcome[2] == 0.0


def test_active_shops_have_a_record_in_the_28_days_before(gmv_layout):
    assert read_panel(gmv_layout).active(ORIGIN).tolist() == [True, False, True]


def test_rows_end_the_day_before_the_origin_and_begin_with_the_first_record(gmv_layout):
    panel = read_panel(gmv_layout)
    first, late = merchant_rows(panel, date(2016, 4, 11), np.array([0, 1]), max_days=40)
    assert first["as_of"] == "2016-04-10"
    assert len(first["features"]["daily_gmv"]) == 40 and first["features"]["daily_gmv"][-1] == 1010.0
    assert late["features"]["daily_gmv"] == [*(10.0 * day for day in range(91, 101)), 0.0]
    assert late["features"]["tenure_days"] == 10.0
    assert "city" not in late["features"] and "rating" not in late["features"]


def test_a_shop_without_any_record_sends_no_series(gmv_layout):
    (row,) = merchant_rows(read_panel(gmv_layout), ORIGIN, np.array([1]), max_days=40)
    assert "daily_gmv" not in row["features"] and "tenure_days" not in row["features"]


def test_an_outcome_beyond_the_data_is_refused(gmv_layout):
    with pytest.raises(ValueError, match="ends after the data"):
        read_panel(gmv_layout).outcome(date(2016, 4, 20))


def test_baselines_sum_the_days_before_the_origin(gmv_layout):
    panel = read_panel(gmv_layout)
    assert last_28_days(panel, ORIGIN)[0] == sum(10.0 * (day + 1) for day in range(57, 85))
    assert four_times_last_7_days(panel, ORIGIN)[2] == 4 * sum(10.0 * (day + 1) for day in range(78, 80))


def test_mondays_include_both_ends():
    assert mondays(date(2016, 6, 20), date(2016, 7, 4)) == [date(2016, 6, 20), date(2016, 6, 27), date(2016, 7, 4)]


def test_wape_and_rmsle_by_hand():
    forecast, actual = np.array([1.0, 3.0]), np.array([2.0, 2.0])
    assert wape(forecast, actual) == 0.5
    assert rmsle(forecast, actual) == pytest.approx(np.sqrt((np.log(2 / 3) ** 2 + np.log(4 / 3) ** 2) / 2))


def scored(tmp_path, lines) -> Namespace:
    (tmp_path / "actuals.csv").write_text("merchant_id,gmv\n007,2.0\n8,2.0\n")
    (tmp_path / "scored.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return Namespace(actuals=tmp_path / "actuals.csv", scored=tmp_path / "scored.jsonl")


def forecast(merchant: str, low: float, high: float, **fields) -> dict:
    quantiles = [{"probability": 0.1, "gmv": low}, {"probability": 0.9, "gmv": high}]
    return {"merchant_id": merchant, "forecast": {**fields, "quantiles": quantiles}}


def test_report_reads_what_the_server_answered(tmp_path, capsys):
    # The second forecast is 0, which protobuf's JSON leaves out.
    report(scored(tmp_path, [forecast("8", 3.0, 4.0), forecast("007", 1.0, 3.0, expected_gmv=1.0)]))
    assert capsys.readouterr().out.splitlines()[:2] == ["merchants 2", "wape 0.750000"]


def test_report_refuses_rows_without_a_forecast(tmp_path):
    with pytest.raises(ValueError, match="were not scored"):
        report(scored(tmp_path, [forecast("8", 3.0, 4.0)]))
    with pytest.raises(ValueError, match="no forecast but"):
        report(scored(tmp_path, [{"merchant_id": "8", "error": {"code": 3}}]))
