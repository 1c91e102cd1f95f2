"""From a layout to a version folder of `user_portrait`."""

from __future__ import annotations

import sys
from pathlib import Path

from tqdm import tqdm

from souk_training import export
from souk_training.layout import Layout
from souk_training.manifest import build_manifest
from souk_training.portrait import calibrate, spec
from souk_training.portrait.cohort import Cohort, bags_of, read_cohort
from souk_training.portrait.embedding import EMBEDDING_DIM, embedding_axes
from souk_training.portrait.fit import WIDTHS, Settings, train
from souk_training.portrait.golden_users import golden_users
from souk_training.portrait.network import Portrait
from souk_training.portrait.portrait_card import write_card
from souk_training.portrait.tags import EMBEDDING
from souk_training.portrait.validate import GroupResult, Validation, cross_validate

MODEL = "user_portrait"


def train_version(layout: Layout, folder: Path, seed: int) -> Validation:
    """Cross-validates, trains on everything by `seed`, and writes `folder`, whose name is the version's number."""
    version = export.new_version(folder)
    export.deterministic(seed)
    settings, cohort = Settings(), read_cohort(layout)
    validation = cross_validate(cohort, settings, seed)
    network = train_portrait(cohort, settings, seed)
    manifest = version_manifest(cohort, validation.groups, version)
    text = write_card(layout.info, cohort, validation, settings, _command(folder, seed))
    export.write_version(folder, network, manifest, golden_users(manifest, seed), text)
    for result in validation.groups:
        ours, base = result.macro(result.probabilities()).mean(), result.macro(result.baseline).mean()
        print(f"{result.name}: AUC {ours:.3f}, logistic regression {base:.3f}", file=sys.stderr)
    return validation


def train_portrait(cohort: Cohort, settings: Settings, seed: int) -> Portrait:
    """The served network, trained on every household."""
    bags = bags_of(cohort.features)
    with tqdm(total=settings.epochs, desc="final model", unit="epoch") as bar:
        trained = train(cohort.labelled, cohort.behaviour, bags.fields(), settings, seed, lambda: bar.update())
    projection, center = embedding_axes(trained.members, trained.scaler(cohort.everyone.x))
    groups = [*WIDTHS, len(cohort.departments)]
    return Portrait(bags, trained.scaler, trained.members, trained.head, groups, projection, center).eval()


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
