"""From a layout to a version folder of `merchant_gmv`."""

from __future__ import annotations

import sys
from pathlib import Path

from souk_training import export
from souk_training.gmv import HORIZON_DAYS
from souk_training.gmv.cross_validate import cross_validate
from souk_training.gmv.dataset import Split, read_split
from souk_training.gmv.evaluate import Scores, evaluate
from souk_training.gmv.folded import FoldedGmv
from souk_training.gmv.gmv_card import write_card
from souk_training.gmv.golden_rows import golden_rows
from souk_training.gmv.panel import read_panel
from souk_training.gmv.train import Settings, train
from souk_training.layout import Layout
from souk_training.manifest import build_manifest

MODEL = "merchant_gmv"
OUTPUT = "ziln"


def train_version(layout: Layout, folder: Path, seed: int) -> Scores:
    """Trains by `seed` and writes `folder`, whose name is the version's number."""
    version = export.new_version(folder)
    export.deterministic(seed)
    settings, panel = Settings(seed=seed), read_panel(layout)
    split = read_split(panel, layout.info.holidays)
    network = train(split, settings)
    scores = evaluate(panel, split, network, seed)
    manifest = version_manifest(split, version, layout.info.currency)
    text = write_card(layout.info, split, scores, settings, _command(folder, seed))
    rows = golden_rows(manifest, seed)
    export.write_version(folder, network, manifest, rows, text, inference=FoldedGmv(network))
    for name in scores.errors:
        print(f"{name}: mean WAPE {scores.mean(name)[0]:.4f}, RMSLE {scores.mean(name)[1]:.4f}", file=sys.stderr)
    return scores


def score_settings(layout: Layout, seed: int) -> None:
    """Prints the cross-validated figures of the settings."""
    export.deterministic(seed)
    figures = cross_validate(read_split(read_panel(layout), layout.info.holidays), Settings(seed=seed))
    print("wape {:.4f} rmsle {:.4f} coverage80 {:.3f}".format(*figures))


def version_manifest(split: Split, version: int, currency: str) -> dict:
    """The manifest but for its files."""
    return build_manifest(
        model=MODEL,
        version=version,
        task=MODEL,
        description=f"GMV of a merchant over the {HORIZON_DAYS} days after as_of, in {currency}",
        torch_version=export.torch_version(),
        features=split.encoding["features"],
        inputs=split.encoding["inputs"],
        outputs=[{"name": OUTPUT, "dtype": "float32", "shape": [3]}],
        head={
            "kind": "ziln",
            "output": OUTPUT,
            "currency": currency,
            "horizon_days": HORIZON_DAYS,
            "quantiles": [0.1, 0.5, 0.9],
        },
    )


def _command(folder: Path, seed: int) -> str:
    out = f"models/{MODEL}/{folder.name}"
    return (
        "python -m souk_training adapt koubei --data $SOUK_DATA/koubei --out build/koubei\n"
        f"python -m souk_training train merchant-gmv --layout build/koubei --out {out} --seed {seed}"
    )
