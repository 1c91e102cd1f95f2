"""`train user-portrait` and `rows user-portrait`."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path

from souk_training.golden import write_encoded, write_jsonl
from souk_training.layout import Layout
from souk_training.manifest import read_manifest
from souk_training.portrait.users import read_history, user_rows


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `train user-portrait`."""
    parser.add_argument("--layout", type=Path, required=True, help="folder that `adapt` wrote")
    parser.add_argument("--out", type=Path, required=True, help="version folder, e.g. models/user_portrait/1")
    parser.add_argument("--seed", type=int, default=1)


def train(args: argparse.Namespace) -> None:
    """Cross-validates, trains and writes the version folder."""
    # Needs torch and scikit-learn, which writing rows does not.
    from souk_training.portrait.version import train_version

    train_version(Layout(args.layout), args.out, args.seed)


def add_rows_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `rows user-portrait`."""
    parser.add_argument("--layout", type=Path, required=True, help="folder that `adapt` wrote")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.json of the version to score with")
    parser.add_argument("--as-of", type=date.fromisoformat, required=True, help="the last day that is known")
    parser.add_argument("--out", type=Path, required=True, help="rows, one JSON object a line")
    parser.add_argument("--encoded", type=Path, help="also write the rows with their encoding, one object a line")


def rows(args: argparse.Namespace) -> None:
    """Writes a row of every user with a purchase up to the day."""
    manifest = read_manifest(args.manifest)
    users = user_rows(read_history(Layout(args.layout)), args.as_of.isoformat())
    write_jsonl(args.out, users)
    print(f"{args.out}: {len(users)} users", file=sys.stderr)
    if args.encoded:
        write_encoded(args.encoded, manifest, users)
