"""Writes a trained family as an ordinary version: the API and every command take it like a shipped one."""

from __future__ import annotations

from pathlib import Path

from souk_training import card, export
from souk_training.families.catalogue import Boosted, Learnt, Neural
from souk_training.gmv.dataset import Split
from souk_training.gmv.golden_rows import golden_rows
from souk_training.gmv.version import version_manifest as gmv_manifest
from souk_training.layout import DatasetInfo
from souk_training.manifest import build_manifest
from souk_training.portrait import spec
from souk_training.portrait.cohort import Cohort
from souk_training.portrait.golden_users import golden_users
from souk_training.portrait.tags import DEMOGRAPHICS, DEPARTMENTS

SEED = 1
_NOTE = "Trained to be compared: `models/FAMILIES.md` has the figures. Not a shipped model."


def write_forecast(root: Path, family: Neural | Boosted, learnt: Learnt, split: Split, info: DatasetInfo) -> dict:
    """Writes `root/merchant_gmv/1`; returns its manifest but for the files."""
    manifest = gmv_manifest(split, 1, info.currency)
    if family.head == "point":
        manifest["outputs"] = [{"name": "gmv", "dtype": "float32", "shape": [1]}]
        manifest["head"] = {
            "kind": "point", "output": "gmv", "currency": info.currency,
            "horizon_days": manifest["head"]["horizon_days"],
        }  # fmt: skip
    _write(root / "merchant_gmv" / "1", family, learnt, manifest, golden_rows(manifest, SEED), info)
    return manifest


def write_portrait(root: Path, family: Neural | Boosted, learnt: Learnt, cohort: Cohort, info: DatasetInfo) -> dict:
    """Writes `root/user_portrait/1`, without calibration or embedding; returns its manifest but for the files."""
    labels = {group.name: ("softmax", list(group.labels)) for group in DEMOGRAPHICS}
    labels[DEPARTMENTS] = ("sigmoid", cohort.departments)
    manifest = build_manifest(
        model="user_portrait",
        version=1,
        task="user_portrait",
        description=f"{family.title}: demographic tags and the departments of the next 28 days",
        torch_version=export.torch_version(),
        features=cohort.features,
        inputs=spec.inputs(),
        outputs=[{"name": name, "dtype": "float32", "shape": [len(tags)]} for name, (_, tags) in labels.items()],
        head={
            "kind": "portrait",
            "groups": [
                {"name": name, "kind": kind, "output": name, "labels": tags} for name, (kind, tags) in labels.items()
            ],
        },
    )
    _write(root / "user_portrait" / "1", family, learnt, manifest, golden_users(manifest, SEED), info)
    return manifest


def _write(folder: Path, family, learnt: Learnt, manifest: dict, rows: list[dict], info: DatasetInfo) -> None:
    """Golden outputs are the library's, so that the server's check compares with it as well."""
    export.new_version(folder)
    data = card.section("Data and terms", f"{info.name}: {info.source}. Terms: {info.terms}.", " ".join(info.notes))
    text = card.card(f"{manifest['model']}: {family.title}", _NOTE, data)
    export.write_version(
        folder, learnt.library, manifest, rows, text, inference=learnt.module, golden_of=learnt.library
    )
