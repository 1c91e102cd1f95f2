"""`train merchant-gmv` and `rows merchant-gmv`."""

from __future__ import annotations

import argparse
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from souk_training.gmv import HORIZON_DAYS
from souk_training.gmv.panel import merchant_rows, read_panel
from souk_training.golden import write_encoded, write_jsonl
from souk_training.layout import Layout
from souk_training.manifest import read_manifest


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `train merchant-gmv`."""
    parser.add_argument("--layout", type=Path, required=True, help="folder that `adapt` wrote")
    parser.add_argument("--out", type=Path, help="version folder, e.g. models/merchant_gmv/1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cross-validate", action="store_true", help="only score the settings, write nothing")


def train(args: argparse.Namespace) -> None:
    """Trains, evaluates and writes the version folder, or only cross-validates the settings."""
    if not args.out and not args.cross_validate:
        raise ValueError("wanted --out, the version folder to write, or --cross-validate")
    # Needs torch and lightgbm, which writing rows does not.
    from souk_training.gmv.version import score_settings, train_version

    if args.cross_validate:
        score_settings(Layout(args.layout), args.seed)
    else:
        train_version(Layout(args.layout), args.out, args.seed)


def add_rows_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rows merchant-gmv`."""
    parser.add_argument("--layout", type=Path, required=True, help="folder that `adapt` wrote")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.json of the version to score with")
    parser.add_argument("--as-of", type=date.fromisoformat, required=True, help="the day before the horizon begins")
    parser.add_argument("--out", type=Path, required=True, help="rows, one JSON object a line")
    parser.add_argument("--actuals", type=Path, help="also write merchant_id, gmv of the 28 days after as_of")
    parser.add_argument("--encoded", type=Path, help="also write the rows with their encoding, one object a line")
    parser.add_argument("--all-shops", action="store_true", help="also shops without a record in the last 28 days")


def rows(args: argparse.Namespace) -> None:
    """Writes rows of the shops active before the horizon (`--all-shops`: all that have any record)."""
    manifest, panel = read_manifest(args.manifest), read_panel(Layout(args.layout))
    origin = args.as_of + timedelta(days=1)
    shops = np.flatnonzero(_recorded(panel, origin) if args.all_shops else panel.active(origin))
    max_days = next(feature["max_len"] for feature in manifest["features"] if feature["name"] == "daily_gmv")
    merchants = merchant_rows(panel, origin, shops, max_days)
    write_jsonl(args.out, merchants)
    print(f"{args.out}: {len(merchants)} merchants", file=sys.stderr)
    if args.actuals:
        actuals = pd.DataFrame({"merchant_id": [panel.shop_ids[s] for s in shops], "gmv": panel.outcome(origin)[shops]})
        actuals.to_csv(args.actuals, index=False)
        print(f"{args.actuals}: GMV of the {HORIZON_DAYS} days from {origin}", file=sys.stderr)
    if args.encoded:
        write_encoded(args.encoded, manifest, merchants)


def _recorded(panel, origin: date) -> np.ndarray:
    """bool `[n_shops]`: any record before `origin`; a merchant without one has no series to send."""
    return ~np.isnan(panel.gmv[:, : panel.index_of(origin)]).all(axis=1)
