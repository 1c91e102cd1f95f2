"""Freezes a trained module and writes its version folder.

Nothing is written before the frozen module has been compared with the eager one that was trained.
"""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from souk_training.golden import inputs_of, proving_lines, write_jsonl
from souk_training.manifest import MANIFEST_FILE, TOLERANCE, write_manifest

# The server's libtorch; an artefact of another release may not load there.
TORCH_VERSION = "2.11.0"
MAX_VERSION_BYTES = 8 << 20


def torch_version() -> str:
    """Release of torch without its local suffix; refused where it is not the server's."""
    version = torch.__version__.split("+")[0]
    if version != TORCH_VERSION:
        raise ValueError(f"torch {version} found, wanted {TORCH_VERSION}: the server links that libtorch")
    return version


def new_version(folder: Path) -> int:
    """The number of a version folder that does not hold one yet: versions never change."""
    if not folder.name.isdecimal() or int(folder.name) < 1:
        raise ValueError(f"{folder}: wanted a folder whose name is the version's number, from 1")
    if (folder / MANIFEST_FILE).exists():
        raise ValueError(f"{folder} holds a version, and versions never change: take the next number")
    return int(folder.name)


def deterministic(seed: int, threads: int = 1) -> None:
    """The same seed gives the same weights: fixed threads, deterministic kernels."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def freeze(module: torch.nn.Module) -> torch.jit.ScriptModule:
    """Scripted and frozen, for inference on the CPU."""
    return torch.jit.freeze(torch.jit.script(module.eval()))


def forward(module, manifest: dict, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Runs `module` on encoded inputs; output name -> `[n, *shape]` float32."""
    with torch.inference_mode():
        result = module(*(torch.from_numpy(inputs[spec["name"]]) for spec in manifest["inputs"]))
    tensors = (result,) if isinstance(result, torch.Tensor) else result
    return {spec["name"]: tensor.numpy() for spec, tensor in zip(manifest["outputs"], tensors, strict=True)}


def write_version(
    folder: Path,
    module: torch.nn.Module,
    manifest: dict,
    golden_rows: list[dict] | dict[str, np.ndarray],
    card: str,
    most_bytes: int = MAX_VERSION_BYTES,
    inference: torch.nn.Module | None = None,
    golden_of: torch.nn.Module | None = None,
) -> dict:
    """Writes `model.pt`, `golden.jsonl`, `MODEL_CARD.md` and, last, `manifest.json`; returns golden outputs.

    `golden_rows` of the task `tensors` are inputs, name -> `[n, *shape]`.
    `inference` is frozen where it is given, a form of `module` that costs less and agrees with it. Golden outputs
    are those of the frozen module, or of `golden_of`, e.g. the library that `module` was converted from.
    """
    module, frozen = module.eval(), freeze(inference or module)
    inputs = inputs_of(manifest, golden_rows)
    outputs = forward(golden_of or frozen, manifest, inputs)
    check_parity(module, frozen, manifest, inputs)
    lines = proving_lines(golden_rows, inputs, outputs)
    write_files(folder, lambda: _save(frozen, folder / "model.pt"), manifest, lines, card, most_bytes)
    return outputs


def write_files(folder: Path, save: Callable[[], None], manifest: dict, golden, card: str, most_bytes: int) -> None:
    """Writes a version's files, the model by `save`, the lines of `golden`, the card and, last, the manifest."""
    # A manifest that describes files about to change must not be seen.
    (folder / MANIFEST_FILE).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    save()
    write_jsonl(folder / "golden.jsonl", golden)
    (folder / "MODEL_CARD.md").write_text(card, "utf-8")
    write_manifest(folder, manifest)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if size > most_bytes:
        raise ValueError(f"{folder} has {size} bytes, at most {most_bytes} are wanted")
    print(f"{folder}: {size / 1024:.0f} KiB", file=sys.stderr)


def check_parity(eager, frozen, manifest: dict, inputs: dict[str, np.ndarray]) -> None:
    """Eager and frozen module, whole batch and single rows, must agree within the manifest's tolerance."""
    tolerance = manifest.get("tolerance", TOLERANCE)
    wanted = forward(eager, manifest, inputs)
    rows = len(next(iter(inputs.values())))
    singles = [forward(frozen, manifest, {k: v[i : i + 1] for k, v in inputs.items()}) for i in range(rows)]
    for name, array in wanted.items():
        for found in (forward(frozen, manifest, inputs)[name], np.concatenate([single[name] for single in singles])):
            if not np.isfinite(array).all():
                raise ValueError(f"output {name}: not finite on a golden row")
            np.testing.assert_allclose(found, array, rtol=tolerance["relative"], atol=tolerance["absolute"])


def _save(frozen: torch.jit.ScriptModule, path: Path) -> None:
    part = path.with_suffix(".part")
    torch.jit.save(frozen, str(part))
    drop_debug_information(part)
    os.replace(part, path)


def drop_debug_information(archive: Path) -> None:
    """Takes out of a TorchScript archive where each operator stood in the source.

    It holds absolute paths of the machine that trained. Nothing needs it but the listing in a trace.
    """
    part = archive.with_suffix(".stripped")
    with zipfile.ZipFile(archive) as full, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as stripped:
        for entry in full.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                # The oldest date that a zip can hold: the same module gives the same bytes.
                stripped.writestr(zipfile.ZipInfo(entry.filename), full.read(entry))
    os.replace(part, archive)
