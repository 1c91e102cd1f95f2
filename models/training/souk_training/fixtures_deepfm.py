"""Writes `tests/fixtures/deepfm`: a tiny model of `merchant_gmv` for the server's own engine.

Three fields of few ids and two numbers; the golden outputs are those of the eager module.
"""

from __future__ import annotations

from pathlib import Path

import torch

from souk_training import export
from souk_training.deepfm import DeepFM
from souk_training.export_native import write_native_version
from souk_training.manifest import build_manifest

# Versions never change, and so neither does this one.
_CREATED_AT = "2026-01-31T00:00:00Z"
_CITIES = ["north", "south", "east"]
_FEATURES = [
    {"name": "city", "kind": "category", "default": None, "encoding": {"vocabulary": _CITIES}},
    {"name": "area", "kind": "category", "default": None, "encoding": {"hash": {"buckets": 7}}},
    {"name": "month", "kind": "calendar", "calendar": "month"},
    {"name": "rating", "kind": "number", "default": None, "range": [0, 5], "transform": {"mean": 3.0, "std": 1.0}},
    {"name": "page_views", "kind": "number", "default": None, "range": [0, 1e6], "transform": {"log1p": True}},
]
# City and area have as many ids as their encodings give. Months go to 12, but the table ends with October: a row
# of November or December has an id that its field has not.
CARDINALITIES = [1 + len(_CITIES), 7, 11]
_ROWS = 12


class SmallNetwork(torch.nn.Module):
    """Ids `[n, 3]` and numbers `[n, 2]` to `ziln` `[n, 3]`, as the reference network does it."""

    def __init__(self) -> None:
        super().__init__()
        self.deepfm = DeepFM(CARDINALITIES, n_dense=2, n_outputs=3, embedding_dim=5, hidden=(9, 6))
        with torch.no_grad():
            # Every weight and bias is off its first value, as after training.
            for parameter in self.parameters():
                parameter += 0.3 * torch.randn_like(parameter)

    def forward(self, ids: torch.Tensor, dense: torch.Tensor) -> torch.Tensor:
        """logit, mu and sigma."""
        logit, mu, spread = self.deepfm(ids, dense).squeeze(0).unbind(1)
        return torch.stack([logit, mu + 4.0, torch.nn.functional.softplus(spread)], 1)


def write_deepfm_version(out: Path) -> int:
    """Writes the version folder `out`; returns how many golden rows it has."""
    export.deterministic(seed=1)
    network, rows = SmallNetwork(), [_row(index) for index in range(_ROWS)]
    manifest = _manifest(export.torch_version())
    transform = {"ziln": {"log_level": 4.0}}
    write_native_version(out, network, network.deepfm, manifest, rows, _CARD, transform)
    return len(rows)


_CARD = "# A tiny DeepFM\n\nRandom weights, for tests of the engine.\n"


def _manifest(torch_version: str) -> dict:
    head = {"kind": "ziln", "output": "ziln", "currency": "EUR", "horizon_days": 28, "quantiles": [0.1, 0.5, 0.9]}
    manifest = build_manifest(
        model="merchant_gmv",
        version=1,
        task="merchant_gmv",
        description="A tiny DeepFM with random weights, for tests of the engine",
        torch_version=torch_version,
        features=_FEATURES,
        inputs=[
            {"name": "ids", "dtype": "int64", "shape": [3], "features": ["city", "area", "month"]},
            {"name": "dense", "dtype": "float32", "shape": [2], "features": ["rating", "page_views"]},
        ],
        outputs=[{"name": "ziln", "dtype": "float32", "shape": [3]}],
        head=head,
        tolerance={"absolute": 1e-6, "relative": 1e-6},
    )
    return {**manifest, "created_at": _CREATED_AT}


def _row(index: int) -> dict:
    features = {"city": [*_CITIES, "west"][index % 4], "rating": 0.5 * (index % 11), "page_views": 40 * index**2}
    if index % 5:
        features["area"] = f"area {index}"
    return {"merchant_id": f"golden-{index}", "features": features, "as_of": f"2026-{1 + index % 10:02}-15"}
