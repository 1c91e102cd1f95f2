"""Writes the reference model as version folders."""

from __future__ import annotations

from pathlib import Path

from souk_training.card import bullets, card, section
from souk_training.manifest import build_manifest
from souk_training.reference import EMBEDDING_DIM, FIELDS, HIDDEN, HORIZON_DAYS, IDS, NUMBERS, OUTPUT
from souk_training.reference.rows import TENSORS, build_features, build_inputs, golden_inputs, golden_rows

# As many as the largest batch: requests made of them look up different rows of the table.
GOLDEN_ROWS = 256
MOST_BYTES = 256 << 20
# What is written, on the command line -> the engines of versions 1, 2, …, which hold the same weights.
ENGINES = {"torchscript": ("torchscript",), "deepfm": ("deepfm",), "both": ("torchscript", "deepfm")}


def write_reference(
    out: Path,
    form: str,
    seed: int,
    ids: int = IDS,
    engine: str = "torchscript",
    hidden: tuple[int, ...] = HIDDEN,
) -> list[Path]:
    """Writes `<out>/merchant_gmv/1`, of the form `tensors` `<out>/deepfm/1`, and `2` for the second engine.

    `ids` of each field.
    """
    # Both need torch, which the manifest doesn't.
    from souk_training import export
    from souk_training.export_native import write_native_version
    from souk_training.reference.network import ReferenceNetwork, TensorsNetwork

    folders = [out / model_of(form) / str(number) for number, _ in enumerate(ENGINES[engine], 1)]
    for folder in folders:
        export.new_version(folder)
    export.deterministic(seed)
    network = (TensorsNetwork if form == TENSORS else ReferenceNetwork)(ids, hidden)
    rows = golden_inputs(GOLDEN_ROWS, ids, seed) if form == TENSORS else golden_rows(form, GOLDEN_ROWS, seed)
    text = _card(form, ids, hidden)
    for folder, kind in zip(folders, ENGINES[engine], strict=True):
        manifest = reference_manifest(form, ids, export.torch_version(), int(folder.name))
        if kind == "torchscript":
            export.write_version(folder, network, manifest, rows, text, most_bytes=MOST_BYTES)
        else:
            transform = network.transform()
            write_native_version(folder, network, network.deepfm, manifest, rows, text, transform, MOST_BYTES)
    return folders


def model_of(form: str) -> str:
    """The model's name."""
    return "deepfm" if form == TENSORS else "merchant_gmv"


def reference_manifest(form: str, ids: int, torch_version: str, version: int = 1) -> dict:
    """The manifest but for its files."""
    forecast = {
        "kind": "ziln",
        "output": OUTPUT,
        "currency": "CNY",
        "horizon_days": HORIZON_DAYS,
        "quantiles": [0.1, 0.5, 0.9],
    }
    name, width = ("logit", 1) if form == TENSORS else (OUTPUT, 3)
    return build_manifest(
        model=model_of(form),
        version=version,
        task=TENSORS if form == TENSORS else "merchant_gmv",
        description="The reference model of the benchmarks: random weights, no forecast of anything",
        torch_version=torch_version,
        features=build_features(form, ids),
        inputs=build_inputs(form),
        outputs=[{"name": name, "dtype": "float32", "shape": [width]}],
        head={"kind": TENSORS} if form == TENSORS else forecast,
        # Sums over 400 numbers differ by more, between batches of different sizes, than those of small models.
        tolerance={"absolute": 1e-5, "relative": 1e-5},
    )


def _card(form: str, ids: int, hidden: tuple[int, ...]) -> str:
    size = section(
        "What it is",
        bullets(
            f"{FIELDS} categories, hashed to {ids:,} ids each; {NUMBERS} numbers; sent as {form}",
            f"embeddings of {EMBEDDING_DIM}, hidden layers of {'-'.join(map(str, hidden))}",
            "weights drawn at random by a seed, never trained",
        ),
    )
    return card("The reference model", "To measure servers by. Its forecasts mean nothing.", size)
