"""From a layout to a version folder of `user_portrait`."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from tqdm import tqdm

from souk_training import export
from souk_training.layout import Layout
from souk_training.manifest import build_manifest
from souk_training.portrait import calibrate, spec
from souk_training.portrait.cohort import Cohort, bags_of, read_cohort
from souk_training.portrait.fit import WIDTHS, Settings, train
from souk_training.portrait.golden_users import golden_users
from souk_training.portrait.network import Members, Portrait
from souk_training.portrait.portrait_card import write_card
from souk_training.portrait.tags import EMBEDDING
from souk_training.portrait.validate import GroupResult, cross_validate

MODEL = "user_portrait"
EMBEDDING_DIM = 24


def train_version(layout: Layout, folder: Path, seed: int) -> list[GroupResult]:
    """Cross-validates, trains on everything by `seed`, and writes `folder`, whose name is the version's number."""
    export.deterministic(seed)
    settings, cohort = Settings(), read_cohort(layout)
    results = cross_validate(cohort, settings, seed)
    network = train_portrait(cohort, settings, seed)
    manifest = version_manifest(cohort, results, int(folder.name))
    text = write_card(layout.info, cohort, results, settings, _command(folder, seed))
    export.write_version(folder, network, manifest, golden_users(manifest, seed), text)
    for result in results:
        ours, base = result.macro(result.probabilities()).mean(), result.macro(result.baseline).mean()
        print(f"{result.name}: AUC {ours:.3f}, logistic regression {base:.3f}", file=sys.stderr)
    return results


def train_portrait(cohort: Cohort, settings: Settings, seed: int) -> Portrait:
    """The served network, trained on every household."""
    bags = bags_of(cohort.features)
    with tqdm(total=settings.epochs, desc="final model", unit="epoch") as bar:
        trained = train(cohort.labelled, cohort.behaviour, bags.fields(), settings, seed, lambda: bar.update())
    projection, center = embedding_axes(trained.members, trained.scaler(cohort.everyone.x))
    groups = [*WIDTHS, len(cohort.departments)]
    return Portrait(bags, trained.scaler, trained.members, trained.head, groups, projection, center).eval()


def embedding_axes(members: Members, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Principal axes `[members * hidden, EMBEDDING_DIM]` of the hidden layers of all users, and their mean.

    Scaled so that an embedding's squared length is 1 on the mean.
    """
    with torch.inference_mode():
        hidden = members.parts(x)[1].double()
    center = hidden.mean(0)
    _, _, axes = torch.linalg.svd(hidden - center, full_matrices=False)
    axes = axes[:EMBEDDING_DIM].T
    # The sign of an axis is free: its largest component is made positive.
    axes = axes * torch.sign(axes.gather(0, axes.abs().argmax(0, keepdim=True)))
    length = ((hidden - center) @ axes).square().sum(1).mean().sqrt()
    return (axes / length).float().contiguous(), center.float()


def version_manifest(cohort: Cohort, results: list[GroupResult], version: int) -> dict:
    """The manifest but for its files. Calibration comes from the out-of-fold logits."""
    groups = [_group(result) for result in results]
    outputs = [(result.name, len(result.labels)) for result in results] + [(EMBEDDING, EMBEDDING_DIM)]
    return build_manifest(
        model=MODEL,
        version=version,
        task=MODEL,
        description="Demographic tags of a household from its purchases, the departments it buys from in the next "
        "28 days, and an embedding",
        torch_version=export.torch_version(),
        features=cohort.features,
        inputs=spec.inputs(),
        outputs=[{"name": name, "dtype": "float32", "shape": [width]} for name, width in outputs],
        head={
            "kind": "portrait",
            "groups": [*groups, {"name": EMBEDDING, "kind": "embedding", "output": EMBEDDING}],
        },
    )


def _group(result: GroupResult) -> dict:
    fit = calibrate.fit_softmax if result.exclusive else calibrate.fit_sigmoid
    found = fit(result.logits, result.y)
    rounded = {"scale": round(found["scale"], 4)}
    if "bias" in found:
        rounded["bias"] = [round(value, 4) for value in found["bias"]]
    return {
        "name": result.name,
        "kind": "softmax" if result.exclusive else "sigmoid",
        "output": result.name,
        "labels": result.labels,
        "calibration": rounded,
    }


def _command(folder: Path, seed: int) -> str:
    return (
        "python -m souk_training adapt complete-journey --data $SOUK_DATA/complete_journey --out build/complete_journey\n"
        f"python -m souk_training train user-portrait --layout build/complete_journey "
        f"--out models/{MODEL}/{folder.name} --seed {seed}"
    )
