"""How good forecasts are, from arrays or from what `souk score` printed."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from souk_training.golden import read_jsonl

LOW, HIGH = 0.1, 0.9


def wape(forecast: np.ndarray, actual: np.ndarray) -> float:
    """Weighted absolute percentage error: sum of absolute errors over the sum of outcomes."""
    return float(np.abs(forecast - actual).sum() / actual.sum())


def rmsle(forecast: np.ndarray, actual: np.ndarray) -> float:
    """Root mean squared difference of log(1 + x)."""
    return float(np.sqrt(np.mean((np.log1p(forecast) - np.log1p(actual)) ** 2)))


def coverage(low: np.ndarray, high: np.ndarray, actual: np.ndarray) -> float:
    """Share of outcomes within [low, high]."""
    return float(np.mean((low <= actual) & (actual <= high)))


def read_actuals(path: Path) -> dict[str, float]:
    """merchant_id -> GMV."""
    table = pd.read_csv(path, dtype={"merchant_id": str})
    return dict(zip(table["merchant_id"], table["gmv"].astype(float), strict=True))


def read_scored(path: Path) -> dict[str, dict]:
    """merchant_id -> forecast. A row that was not scored is an error: a metric over the rest would flatter."""
    forecasts = {}
    for place, line in enumerate(read_jsonl(path), start=1):
        if "forecast" not in line:
            raise ValueError(f"{path}, line {place}: no forecast but {line.get('error', line)}")
        forecasts[line["merchant_id"]] = line["forecast"]
    return forecasts


def report(args: argparse.Namespace) -> None:
    """Prints shops, WAPE, RMSLE and the coverage of the central 80 % interval."""
    actuals, forecasts = read_actuals(args.actuals), read_scored(args.scored)
    missing = actuals.keys() - forecasts.keys()
    if missing:
        raise ValueError(f"{len(missing)} of {len(actuals)} merchants were not scored, e.g. {sorted(missing)[:3]}")
    merchants = list(actuals)
    actual = np.array([actuals[merchant] for merchant in merchants])
    # Protobuf's JSON leaves out a number that is 0.
    expected = np.array([forecasts[merchant].get("expected_gmv", 0.0) for merchant in merchants])
    print(f"merchants {len(merchants)}")
    print(f"wape {wape(expected, actual):.6f}")
    print(f"rmsle {rmsle(expected, actual):.6f}")
    bounds = [_quantile(forecasts[merchant]) for merchant in merchants]
    if all(bound is not None for bound in bounds):
        low, high = np.array(bounds).T
        print(f"coverage80 {coverage(low, high, actual):.6f}")


def _quantile(forecast: dict) -> tuple[float, float] | None:
    found = {round(q["probability"], 6): q.get("gmv", 0.0) for q in forecast.get("quantiles", [])}
    return (found[LOW], found[HIGH]) if LOW in found and HIGH in found else None
