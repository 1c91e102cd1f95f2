"""Writes `tests/fixtures/modules`: version folders of small TorchScript modules, and requests with their answers.

The answers are those that the eager module gave to each request alone. `fixture_modules` holds the modules.
"""

from __future__ import annotations

import io
import itertools
import shutil
import zipfile
from pathlib import Path

import numpy as np
import torch

from souk_training.export import torch_version
from souk_training.fixture_modules import containers, dtypes, families, flow, habits, sequences, shapes
from souk_training.fixture_modules.case import Case, Random, Tensors
from souk_training.golden import write_jsonl
from souk_training.manifest import SERVING, TOLERANCE, build_manifest, write_manifest

# Fewer prove nothing to the server.
GOLDEN_ROWS = 8
MOST_ROWS = 5
MOST_MODULE_BYTES = 15 << 10
MOST_BYTES = 300 << 10


def all_cases() -> list[Case]:
    """Every module, weights filled in."""
    groups = (dtypes, shapes, containers, families, sequences, flow, habits)
    return [case for group in groups for case in group.cases()]


def write_modules(out: Path) -> int:
    """Writes the folder anew; returns how many modules there are."""
    torch_version()
    torch.set_num_threads(1)
    shutil.rmtree(out, ignore_errors=True)
    cases, lines = all_cases(), []
    for case in cases:
        folder = out / case.name / "1"
        _write_version(folder, case)
        lines += _requests(case, torch.jit.load(folder / "model.pt").eval())
        if case.example:
            np.savez(out / f"{case.name}.npz", **{k: v.numpy() for k, v in _rows(case, 8, GOLDEN_ROWS).items()})
    write_jsonl(out / "requests.jsonl", lines)
    written = sum(path.stat().st_size for path in out.glob("*/1/model.pt"))
    if written > MOST_BYTES:
        raise ValueError(f"the modules have {written} bytes, at most {MOST_BYTES} are wanted")
    return len(cases)


def _export(case: Case) -> torch.jit.ScriptModule:
    """The module as TorchScript; `case.module` stays eager."""
    if case.export == "trace":
        tensors = _rows(case, 0, 2)
        given = (tensors,) if case.arguments == "dict" else tuple(tensors.values())
        return torch.jit.trace(case.module, given, strict=False)
    case.module.train(case.training)
    scripted = torch.jit.script(case.module)
    case.module.eval()
    return torch.jit.freeze(scripted) if case.export == "freeze" else scripted


def archive(module: torch.jit.ScriptModule) -> bytes:
    """The module's file: the same bytes in every run, wherever the package lies.

    Left out are where each operator stood in the source, absolute paths, and a hash that covers them.
    """
    whole, kept = io.BytesIO(), io.BytesIO()
    torch.jit.save(module, whole)
    with zipfile.ZipFile(whole) as full, zipfile.ZipFile(kept, "w", zipfile.ZIP_STORED) as stripped:
        for entry in full.infolist():
            if not entry.filename.endswith((".debug_pkl", "serialization_id")):
                stripped.writestr(zipfile.ZipInfo(entry.filename), _ordered(entry.filename, full.read(entry)))
    return kept.getvalue()


def _ordered(name: str, content: bytes) -> bytes:
    """Constants in an order: a class's come out of a set, whose order is another one in each process."""
    if not name.endswith(".py"):
        return content
    groups = itertools.groupby(content.split(b"\n"), key=lambda line: b" : Final[" in line)
    return b"\n".join(line for constant, group in groups for line in (sorted(group) if constant else group))


def _write_version(folder: Path, case: Case) -> None:
    folder.mkdir(parents=True)
    file = archive(_export(case))
    if len(file) > MOST_MODULE_BYTES:
        raise ValueError(f"{case.name} has {len(file)} bytes, at most {MOST_MODULE_BYTES} are wanted")
    (folder / "model.pt").write_bytes(file)
    write_jsonl(folder / "golden.jsonl", _golden(case))
    write_manifest(folder, manifest_of(case))


def manifest_of(case: Case) -> dict:
    """The manifest without digests."""
    most = case.max_batch_rows
    warmup = [rows for rows in SERVING["warmup_rows"] if rows <= max(most, 1)]
    manifest = build_manifest(
        model=case.name,
        version=1,
        task="tensors",
        description=_summary(case.module),
        torch_version=torch_version(),
        features=[],
        inputs=case.inputs,
        outputs=case.outputs,
        head={"kind": "tensors"},
        arguments=case.arguments,
        # Sums of 32-bit floats in other orders, near zero.
        tolerance={**TOLERANCE, "absolute": 5e-6},
        serving={"max_batch_rows": most, "warmup_rows": warmup},
    )
    manifest["created_at"] = "2026-01-01T00:00:00Z"
    return manifest


def _summary(module: torch.nn.Module) -> str:
    own = type(module).__doc__ if type(module).__doc__ != torch.nn.Module.__doc__ else None
    return " ".join(own.split()) if own else type(module).__name__


def _rows(case: Case, salt: int, rows: int) -> Tensors:
    return case.rows(Random((case.seed + salt) % 2**32), rows, case.sizes[salt % len(case.sizes)])


def _golden(case: Case):
    """`{"inputs", "outputs"}` per row, each of which ran alone."""
    for index in range(GOLDEN_ROWS):
        tensors = _rows(case, 100 + index, 1)
        outputs = _run(case, case.module, tensors)
        one = (lambda tensor: tensor[0]) if case.max_batch_rows else (lambda tensor: tensor)
        yield {
            "inputs": {name: _nested(one(tensor)) for name, tensor in tensors.items()},
            "outputs": {name: _nested(one(tensor)) for name, tensor in outputs.items()},
        }


def _requests(case: Case, loaded: torch.jit.ScriptModule):
    """`{"model", "inputs", "outputs"}` of several requests, or with `fails` in place of outputs."""
    for rows in range(1, MOST_ROWS + 1):
        tensors = _rows(case, rows, rows)
        given = {name: _flat(tensor) for name, tensor in tensors.items()}
        outputs = _run(case, case.module, tensors)
        _compare(case, outputs, _run(case, loaded, tensors))
        yield {"model": case.name, "inputs": given, "outputs": {name: _flat(value) for name, value in outputs.items()}}
    for rows in (1, 3) if case.marked else ():
        tensors = _rows(case, 10 + rows, rows)
        case.marked.change(tensors)
        given = {name: _flat(tensor) for name, tensor in tensors.items()}
        yield {"model": case.name, "inputs": given, "fails": case.marked.says}


def _run(case: Case, module, tensors: Tensors) -> Tensors:
    """What the module answers, by the names of the manifest."""
    # A module may write to what it is given.
    tensors = [tensors[spec["name"]].clone() for spec in case.inputs]
    if case.arguments == "dict":
        given = ({spec["name"]: tensor for spec, tensor in zip(case.inputs, tensors)},)
    else:
        given = (tensors,) if case.arguments == "list" else tensors
    with torch.no_grad():
        found = module(*given)
    names = [spec["name"] for spec in case.outputs]
    if isinstance(found, dict):
        return {name: found[name] for name in names}
    found = [found] if isinstance(found, torch.Tensor) else found
    return dict(zip(names, found, strict=True))


def _compare(case: Case, eager: Tensors, loaded: Tensors) -> None:
    for spec in case.outputs:
        one, other = eager[spec["name"]], loaded[spec["name"]]
        wanted = getattr(torch, spec["dtype"])
        if one.dtype != wanted or other.dtype != wanted:
            raise ValueError(f"{case.name}: {spec['name']} is {one.dtype} and {other.dtype}, wanted {wanted}")
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6, equal_nan=True, msg=lambda m: f"{case.name}: {m}")


def _flat(tensor: torch.Tensor) -> dict:
    # numpy has no bfloat16.
    held = tensor.to(torch.float32) if tensor.dtype == torch.bfloat16 else tensor
    return {"shape": list(tensor.shape), "values": [_number(value) for value in held.flatten().numpy()]}


def _nested(tensor: torch.Tensor):
    if tensor.dim() == 0:
        return _flat(tensor)["values"][0]
    return [_nested(part) for part in tensor]


def _number(value: np.generic):
    """The shortest number that is this one in its own type; NaN and infinities as words."""
    if not isinstance(value, np.floating):
        return value.item()
    if np.isnan(value):
        return "NaN"
    if np.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return float(str(value))
