"""Writes a `DeepFM` for the server's own engine: its weights as safetensors, its architecture in the manifest.

The file holds numbers and no code. `src/manifest/architecture.rs` says what is computed from them.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors import numpy as safetensors

from souk_training.deepfm import DeepFM
from souk_training.export import MAX_VERSION_BYTES, forward, write_files
from souk_training.golden import inputs_of, proving_lines

LINEAR = "linear"


def write_native_version(
    folder: Path,
    module: torch.nn.Module,
    network: DeepFM,
    manifest: dict,
    golden_rows: list[dict] | dict[str, np.ndarray],
    card: str,
    output: str | dict = LINEAR,
    most_bytes: int = MAX_VERSION_BYTES,
) -> dict:
    """Writes `model.safetensors` with the weights of `network`, and the rest of a version; returns golden outputs.

    `module` is the whole model, whose outputs the golden rows get; `output` is what it does to those of `network`.
    """
    manifest = {**manifest, "engine": "deepfm", "architecture": architecture(network, output)}
    inputs = inputs_of(manifest, golden_rows)
    outputs = forward(module.eval(), manifest, inputs)
    lines = proving_lines(golden_rows, inputs, outputs)
    write_files(folder, lambda: save(network, folder / "model.safetensors"), manifest, lines, card, most_bytes)
    return outputs


def architecture(network: DeepFM, output: str | dict = LINEAR) -> dict:
    """The manifest's `architecture`."""
    if network.members != 1:
        raise ValueError(f"{network.members} members, wanted 1: the engine has no ensembles")
    bounds = [*network.offsets.tolist(), network.table.num_embeddings]
    return {
        "cardinalities": [end - begin for begin, end in pairwise(bounds)],
        "dense": network.n_dense,
        "embedding_dim": network.embedding_dim,
        "hidden": [layer.weight.shape[2] for layer in network.deep],
        "outputs": network.n_outputs,
        "output": output,
    }


def tensors(network: DeepFM) -> dict[str, np.ndarray]:
    """The weights by the file's names, without the dimension of members."""
    layers = [(f"hidden.{index}", layer) for index, layer in enumerate(network.deep)] + [("last", network.last)]
    weights = {
        "table": network.table.weight,
        "factor_weights": network.factor_weights[0],
        "bias": network.bias[0, 0],
        **{f"{name}.weight": layer.weight[0] for name, layer in layers},
        **{f"{name}.bias": layer.bias[0, 0] for name, layer in layers},
    }
    if network.n_dense:
        weights["dense_factors"] = network.dense_factors[0]
    return {name: np.ascontiguousarray(weight.detach().numpy(), np.float32) for name, weight in weights.items()}


def save(network: DeepFM, path: Path) -> None:
    """The same weights give the same bytes."""
    part = path.with_suffix(".part")
    # Its own way of writing files leaves them to their owner alone.
    part.write_bytes(safetensors.save(tensors(network)))
    os.replace(part, path)
