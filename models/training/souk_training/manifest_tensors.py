"""Checks what a manifest of the task `tensors` says of its inputs, outputs and batches."""

from __future__ import annotations

from souk_training.manifest_keys import check_keys

DTYPES = (
    "bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64",
)  # fmt: skip
ARGUMENTS = ("tensors", "list", "dict")
OPEN = -1


def check_tensors(manifest: dict):
    """Yields every problem."""
    if manifest["features"]:
        yield "features: none for the task tensors"
    if manifest.get("arguments", "tensors") not in ARGUMENTS:
        yield f"arguments: found {manifest['arguments']!r}, wanted one of {ARGUMENTS}"
    for key, optional in (("inputs", {"padding", "range"}), ("outputs", {"non_finite"})):
        names = [spec.get("name") for spec in manifest[key]]
        if not names or len(set(names)) != len(names):
            yield f"{key}: wanted at least one, and no name twice"
        for index, spec in enumerate(manifest[key]):
            yield from _check_tensor(f"{key}[{index}]", spec, optional)
    open_outputs = any(OPEN in spec["shape"] for spec in manifest["outputs"])
    for index, spec in enumerate(manifest["inputs"]):
        if "padding" in spec and (open_outputs or OPEN not in spec["shape"]):
            yield f"inputs[{index}].padding: only where this shape has a -1, and no output's has"


def _check_tensor(path: str, spec: dict, optional: set):
    yield from check_keys(path, spec, {"name", "dtype", "shape"}, optional)
    if spec.get("dtype") not in DTYPES:
        yield f"{path}.dtype: found {spec.get('dtype')!r}, wanted one of {DTYPES}"
    if any(size < 1 and size != OPEN for size in spec.get("shape", [])):
        yield f"{path}.shape: found {spec['shape']}, wanted sizes from 1, or -1"
