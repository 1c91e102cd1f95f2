"""Writes the reference model as a version folder."""

from __future__ import annotations

from pathlib import Path

from souk_training.card import bullets, card, section
from souk_training.manifest import build_manifest
from souk_training.reference import EMBEDDING_DIM, FIELDS, HIDDEN, HORIZON_DAYS, IDS, NUMBERS, OUTPUT
from souk_training.reference.rows import build_features, build_inputs, golden_rows

# As many as the largest batch: requests made of them look up different rows of the table.
GOLDEN_ROWS = 256
MOST_BYTES = 256 << 20


def write_reference(out: Path, form: str, seed: int, ids: int = IDS) -> Path:
    """Writes `<out>/merchant_gmv/1`; `ids` of each field."""
    # Both need torch, which the manifest doesn't.
    from souk_training import export
    from souk_training.reference.network import ReferenceNetwork

    folder = out / "merchant_gmv" / "1"
    export.new_version(folder)
    export.deterministic(seed)
    manifest, rows = reference_manifest(form, ids, export.torch_version()), golden_rows(form, GOLDEN_ROWS, seed)
    export.write_version(folder, ReferenceNetwork(ids), manifest, rows, _card(form, ids), most_bytes=MOST_BYTES)
    return folder


def reference_manifest(form: str, ids: int, torch_version: str) -> dict:
    """The manifest but for its files."""
    return build_manifest(
        model="merchant_gmv",
        version=1,
        task="merchant_gmv",
        description="The reference model of the benchmarks: random weights, no forecast of anything",
        torch_version=torch_version,
        features=build_features(form, ids),
        inputs=build_inputs(form),
        outputs=[{"name": OUTPUT, "dtype": "float32", "shape": [3]}],
        head={
            "kind": "ziln",
            "output": OUTPUT,
            "currency": "CNY",
            "horizon_days": HORIZON_DAYS,
            "quantiles": [0.1, 0.5, 0.9],
        },
        # Sums over 400 numbers differ by more, between batches of different sizes, than those of small models.
        tolerance={"absolute": 1e-5, "relative": 1e-5},
    )


def _card(form: str, ids: int) -> str:
    size = section(
        "What it is",
        bullets(
            f"{FIELDS} categories, hashed to {ids:,} ids each; {NUMBERS} numbers; sent as {form}",
            f"embeddings of {EMBEDDING_DIM}, hidden layers of {'-'.join(map(str, HIDDEN))}",
            "weights drawn at random by a seed, never trained",
        ),
    )
    return card("The reference model", "To measure servers by. Its forecasts mean nothing.", size)
