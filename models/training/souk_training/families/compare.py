"""`compare`: trains every family, serves it, holds the answers against the library's, and writes the table."""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from souk_training import export
from souk_training.cli import ADAPTERS
from souk_training.encode import encode_rows
from souk_training.families import answers, cost, forecasts, served, table, users, versions
from souk_training.families.catalogue import FAMILIES, Boosted, Neural
from souk_training.families.forecasts import ForecastTask
from souk_training.families.table import Line
from souk_training.families.users import UserTask
from souk_training.manifest import read_manifest

# Largest relative difference between what is served and what the library says.
LARGEST_DIFFERENCE = 1e-5
LARGEST_DIFFERENCE_OF_TREES = 1e-6
QUESTIONS = {forecasts.MODEL: forecasts.QUESTION, users.MODEL: users.QUESTION}


@dataclass(frozen=True)
class Candidate:
    """A folder of models to be served, and what their libraries say."""

    line: Line
    models: Path
    largest: float
    libraries: dict[str, torch.nn.Module] = field(default_factory=dict)


def compare(args: argparse.Namespace) -> None:
    """The whole command; nothing is written to `--table` unless every family agrees."""
    export.torch_version()
    program, out, shipped = (path.resolve() for path in (args.souk, args.out, args.shipped))
    if not program.is_file():
        raise FileNotFoundError(f"{program}: no server there; `make build` makes it")
    export.deterministic(args.seed)
    layouts = {name: _layout(name, args.data, out) for name in ADAPTERS}
    forecast, user = ForecastTask.read(layouts["koubei"]), UserTask.read(layouts["complete-journey"])
    candidates = [_trained(family, forecast, user, out, args.seed) for family in FAMILIES]
    candidates.append(_shipped(shipped, forecast, user, out, args.seed))
    rows = {
        forecasts.MODEL: forecast.write_held_out(out / "merchants.jsonl"),
        users.MODEL: user.write_held_out(out / "users.jsonl"),
    }
    files = {forecasts.MODEL: out / "merchants.jsonl", users.MODEL: out / "users.jsonl"}
    for candidate in candidates:
        _serve(candidate, program, files, rows)
    lines = [candidate.line for candidate in candidates]
    lines += [Line(name, errors) for name, errors in forecast.baselines().items()]
    lines.append(Line("the same tags for all", portrait=user.same_for_all()))
    counts = {model: len(part) for model, part in rows.items()}
    args.table.write_text(table.page(lines, counts, forecast.layout.info.currency), "utf-8")
    _say(f"{args.table}: {len(candidates)} families")


def _layout(name: str, data: Path, out: Path) -> Path:
    folder = out / "layouts" / name
    importlib.import_module(ADAPTERS[name]).adapt(data / name.replace("-", "_"), folder)
    return folder


def _trained(family: Neural | Boosted, forecast: ForecastTask, user: UserTask, out: Path, seed: int) -> Candidate:
    """Trains a family on both tasks and writes its versions anew."""
    started, models = time.monotonic(), out / "models" / family.folder
    shutil.rmtree(models, ignore_errors=True)
    largest = LARGEST_DIFFERENCE_OF_TREES if isinstance(family, Boosted) else LARGEST_DIFFERENCE
    candidate = Candidate(Line(family.title), models, largest)
    learnt = family.forecast(forecast.split, seed)
    manifest = versions.write_forecast(models, family, learnt, forecast.split, forecast.layout.info)
    candidate.line.forecast = forecast.quality(manifest, learnt.library)
    candidate.libraries[forecasts.MODEL] = learnt.library
    bags = user.bags
    learnt, candidate.line.portrait = user.cross_validate(
        lambda labelled, behaviour, seed: family.portrait(bags, labelled, behaviour, seed), seed
    )
    versions.write_portrait(models, family, learnt, user.cohort, user.layout.info)
    candidate.libraries[users.MODEL] = learnt.library
    _say(f"{family.title}: {time.monotonic() - started:.0f} s, {candidate.line.forecast}, {candidate.line.portrait}")
    return candidate


def _shipped(shipped: Path, forecast: ForecastTask, user: UserTask, out: Path, seed: int) -> Candidate:
    """The newest versions of the shipped models, in a folder of their own."""
    models = out / "models" / "shipped"
    shutil.rmtree(models, ignore_errors=True)
    candidate = Candidate(Line("shipped (DeepFM ensembles)"), models, LARGEST_DIFFERENCE)
    for model in QUESTIONS:
        newest = max((path for path in (shipped / model).iterdir() if path.name.isdecimal()), key=lambda p: int(p.name))
        shutil.copytree(newest, models / model / newest.name)
        candidate.libraries[model] = torch.jit.load(str(newest / "model.pt"))
    manifest = read_manifest(_only_version(models / forecasts.MODEL))
    candidate.line.forecast = forecast.quality(manifest, candidate.libraries[forecasts.MODEL])
    candidate.line.portrait = user.shipped(seed)
    _say(f"shipped: {candidate.line.forecast}, {candidate.line.portrait}")
    return candidate


def _serve(candidate: Candidate, program: Path, files: dict[str, Path], rows: dict[str, list[dict]]) -> None:
    """Checks, serves, scores and measures a candidate; raises where an answer is not the library's."""
    line, models = candidate.line, candidate.models
    served.check(program, models)
    with served.server(program, models) as address:
        results = {
            model: served.score(program, address, question, files[model], models / f"{model}-scored.jsonl")
            for model, question in QUESTIONS.items()
        }
    for model, library in candidate.libraries.items():
        version = _only_version(models / model)
        manifest = read_manifest(version)
        inputs = encode_rows(manifest, rows[model])
        wanted = answers.wanted(manifest, export.forward(library, manifest, inputs))
        worst = answers.worst_difference(answers.served(manifest, results[model]), wanted)
        line.differences[model], line.costs[model] = worst, cost.measure(version, inputs)
        _say(f"{line.title}, {model}: {len(wanted)} rows served, worst difference {worst:.1e}, {line.costs[model]}")
        if not worst <= candidate.largest:
            raise ValueError(
                f"{line.title}, {model}: an answer differs from the library's by {worst:.1e}, at most "
                f"{candidate.largest:.0e} is wanted"
            )


def _only_version(model: Path) -> Path:
    return next(path for path in model.iterdir() if path.name.isdecimal())


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
