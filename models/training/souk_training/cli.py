"""Command line of the package. Output on stdout is data; progress and remarks go to stderr."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from souk_training.reference.rows import FORMS, TENSORS

# Task on the command line -> module with add_train_arguments(parser), train(args),
# add_rows_arguments(parser), rows(args). Imported when chosen: only training needs torch.
TASKS = {"merchant-gmv": "souk_training.gmv.commands", "user-portrait": "souk_training.portrait.commands"}
# Data set -> module with adapt(data: Path, out: Path).
ADAPTERS = {"koubei": "souk_training.adapters.koubei", "complete-journey": "souk_training.adapters.complete_journey"}
FIXTURES = {
    "deepfm": ("souk_training.fixtures_deepfm", "write_deepfm_version"),
    "encoding": ("souk_training.fixtures", "write_encoding_fixtures"),
    "heads": ("souk_training.fixtures_heads", "write_head_fixtures"),
    "marked": ("souk_training.fixtures_marked", "write_marked_module"),
    "modules": ("souk_training.fixtures_modules", "write_modules"),
}

_EXAMPLES = """examples:
  python -m souk_training adapt koubei --data $SOUK_DATA/koubei --out build/koubei
  python -m souk_training train merchant-gmv --layout build/koubei --out models/merchant_gmv/1
  python -m souk_training rows merchant-gmv --layout build/koubei --manifest models/merchant_gmv/1/manifest.json \\
      --as-of 2016-10-02 --out rows.jsonl --actuals actuals.csv
  python -m souk_training metrics --actuals actuals.csv --scored scored.jsonl
"""


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; 0 on success, 1 with a message on what a user can put right."""
    args = _parser(arguments if arguments is not None else sys.argv[1:]).parse_args(arguments)
    try:
        args.run(args)
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m souk_training",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_adapt(commands.add_parser("adapt", help="bring a data set into the layout"))
    for verb, text in (("train", "train a task and write a version folder"), ("rows", "write rows to score")):
        command = commands.add_parser(verb, help=text)
        _add_task_verb(command.add_subparsers(required=True, metavar="TASK"), verb, arguments)
    _add_metrics(commands.add_parser("metrics", help="WAPE, RMSLE and coverage of scored rows"))
    _add_reference(commands.add_parser("reference", help="write the large model that benchmarks are run on"))
    _add_compare(commands.add_parser("compare", help="train, serve and measure every model family"))
    _add_fixtures(commands.add_parser("fixtures", help="write reference encodings, heads or models for tests"))
    return parser


def _add_adapt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", choices=sorted(ADAPTERS))
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set as published")
    parser.add_argument("--out", type=Path, required=True, help="folder for the layout")
    parser.set_defaults(run=lambda args: importlib.import_module(ADAPTERS[args.dataset]).adapt(args.data, args.out))


def _add_task_verb(tasks, verb: str, arguments: list[str]) -> None:
    for name, module in TASKS.items():
        parser = tasks.add_parser(name)
        if name not in arguments:
            continue
        commands = importlib.import_module(module)
        getattr(commands, f"add_{verb}_arguments")(parser)
        parser.set_defaults(run=getattr(commands, verb))


def _add_metrics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--actuals", type=Path, required=True, help="merchant_id, gmv; from `rows … --actuals`")
    parser.add_argument("--scored", type=Path, required=True, help="JSON lines of `souk score`")
    parser.set_defaults(run=lambda args: importlib.import_module("souk_training.gmv.metrics").report(args))


def _add_reference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, help="folder of models; gets MODEL/1, and 2")
    parser.add_argument(
        "--engine",
        choices=["torchscript", "deepfm", "both"],
        default="torchscript",
        help="for whom; both: versions 1 and 2 with the same weights",
    )
    parser.add_argument(
        "--features",
        choices=[*FORMS, TENSORS],
        default=FORMS[0],
        help="each for itself, as two lists, or none: a model of the task `tensors`, deepfm/1",
    )
    parser.add_argument("--hidden", default="400-400-400", help="sizes of the hidden layers")
    parser.add_argument("--seed", type=int, default=1)
    parser.set_defaults(run=_write_reference)


def _write_reference(args: argparse.Namespace) -> None:
    version = importlib.import_module("souk_training.reference.version")
    hidden = tuple(int(size) for size in args.hidden.split("-"))
    version.write_reference(args.out, args.features, args.seed, engine=args.engine, hidden=hidden)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="folder with koubei and complete_journey as published")
    parser.add_argument("--out", type=Path, required=True, help="folder for layouts, versions and scored rows")
    parser.add_argument("--souk", type=Path, required=True, help="the server's program, e.g. target/release/souk")
    parser.add_argument("--shipped", type=Path, default=Path("models"), help="folder of the shipped models")
    parser.add_argument("--table", type=Path, default=Path("models/FAMILIES.md"), help="page to write")
    parser.add_argument("--seed", type=int, default=1)
    parser.set_defaults(run=lambda args: importlib.import_module("souk_training.families.compare").compare(args))


def _add_fixtures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", choices=sorted(FIXTURES), default="encoding")
    parser.add_argument("--out", type=Path, required=True, help="e.g. tests/fixtures/encoding.json")
    parser.set_defaults(run=_write_fixtures)


def _write_fixtures(args: argparse.Namespace) -> None:
    module, function = FIXTURES[args.what]
    count = getattr(importlib.import_module(module), function)(args.out)
    print(f"{args.out}: {count} cases", file=sys.stderr)
