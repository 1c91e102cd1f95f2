"""Builds, validates, reads and writes `manifest.json`.

The rules are those of the server: unknown keys are refused, every problem is named with its path.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from datetime import UTC, date, datetime
from pathlib import Path

from souk_training import schema
from souk_training.manifest_head import check_head
from souk_training.manifest_keys import check_keys
from souk_training.manifest_tensors import check_tensors

MANIFEST_FILE = "manifest.json"
# Engine -> the file that holds the model.
MODEL_FILES = {"torchscript": "model.pt", "deepfm": "model.safetensors"}
GOLDEN_FILE = "golden.jsonl"
FORMAT_VERSION = 1
# The server's default and its bound; see `Tolerance` in src/manifest.
TOLERANCE = {"absolute": 2e-6, "relative": 1e-5}
MOST_TOLERANCE = 1e-3
SERVING = {"max_batch_rows": 256, "warmup_rows": [1, 8, 64]}
SERVICE_TASKS = {"merchant_gmv", "user_portrait"}
CALENDAR_NUMBERS = ("day_of_week", "month")

_TOP_KEYS = {
    "format_version", "model", "version", "task", "torch_version", "created_at", "files", "engine",
    "features", "inputs", "outputs", "head", "serving",
}  # fmt: skip
_TOP_OPTIONAL = {"description", "tolerance", "arguments", "architecture"}
_ARCHITECTURE_KEYS = {"cardinalities", "embedding_dim", "hidden", "outputs"}
_ARCHITECTURE_OPTIONAL = {"dense", "output"}
_FEATURE_KEYS = {"name", "kind"}
_FEATURE_OPTIONAL = {"required", "default", "range", "transform", "encoding", "max_len", "calendar"}


class ManifestError(ValueError):
    """A manifest that the server would refuse; the message names every problem."""


def build_manifest(
    *,
    model: str,
    version: int,
    task: str,
    description: str,
    torch_version: str,
    features: list[dict],
    inputs: list[dict],
    outputs: list[dict],
    head: dict,
    arguments: str = "tensors",
    tolerance: dict | None = None,
    serving: dict | None = None,
) -> dict:
    """A manifest without `files`, which `write_manifest` fills in."""
    return {
        "format_version": FORMAT_VERSION,
        "model": model,
        "version": version,
        "task": task,
        "description": description,
        "torch_version": torch_version,
        "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "files": {},
        "engine": "torchscript",
        "features": features,
        "inputs": inputs,
        # The default goes without saying: older versions don't say it.
        **({"arguments": arguments} if arguments != "tensors" else {}),
        "outputs": outputs,
        "head": head,
        "tolerance": tolerance or dict(TOLERANCE),
        "serving": serving or dict(SERVING),
    }


def digest(path: Path) -> str:
    """sha256 of a file, lower-case hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(folder: Path, manifest: dict) -> None:
    """Fills in the digests of the folder's files, validates, and writes the manifest last and at once."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name != MANIFEST_FILE and p.suffix != ".part")
    manifest = {**manifest, "files": {path.name: digest(path) for path in files}}
    validate(manifest)
    part = folder / (MANIFEST_FILE + ".part")
    part.write_text(json.dumps(manifest, ensure_ascii=False, indent=1) + "\n", "utf-8")
    os.replace(part, folder / MANIFEST_FILE)


def read_manifest(path: Path | str) -> dict:
    """Reads and validates a manifest (a path to the file or to its folder)."""
    path = Path(path)
    path = path / MANIFEST_FILE if path.is_dir() else path
    manifest = json.loads(path.read_text("utf-8"))
    validate(manifest)
    return manifest


def validate(manifest: dict) -> None:
    """Raises `ManifestError` that names every problem found."""
    problems = list(_problems(manifest))
    if problems:
        raise ManifestError("manifest refused:\n  " + "\n  ".join(problems))


def _problems(manifest: dict):
    yield from check_keys("manifest", manifest, _TOP_KEYS, _TOP_OPTIONAL)
    if _TOP_KEYS - manifest.keys():
        return
    if manifest["format_version"] != FORMAT_VERSION:
        yield f"format_version: found {manifest['format_version']}, wanted {FORMAT_VERSION}"
    if manifest["task"] not in schema.FIELDS_OF_TASK:
        yield f"task: found {manifest['task']!r}, wanted one of {sorted(schema.FIELDS_OF_TASK)}"
        return
    if manifest["engine"] not in MODEL_FILES:
        yield f"engine: found {manifest['engine']!r}, wanted one of {sorted(MODEL_FILES)}"
        return
    # A service asks for the model of its task's name.
    if manifest["model"] != manifest["task"] and {manifest["model"], manifest["task"]} & SERVICE_TASKS:
        yield f"model: found {manifest['model']!r} for task {manifest['task']!r}, wanted the task's name"
    yield from _check_tolerance(manifest.get("tolerance", TOLERANCE))
    for name in (MODEL_FILES[manifest["engine"]], GOLDEN_FILE):
        if not re.fullmatch(r"[0-9a-f]{64}", manifest["files"].get(name, "")):
            yield f"files.{name}: wanted a sha256"
    fields = schema.FIELDS_OF_TASK[manifest["task"]]
    for index, feature in enumerate(manifest["features"]):
        yield from _check_feature(f"features[{index}]", feature, fields)
    names = [feature.get("name") for feature in manifest["features"]]
    if len(set(names)) != len(names):
        yield "features: a name occurs twice"
    if manifest["task"] == "tensors":
        yield from check_tensors(manifest)
    else:
        yield from _check_inputs(manifest)
    yield from check_head(manifest["head"], manifest["outputs"], manifest["task"])
    yield from _check_architecture(manifest)


def _check_architecture(manifest: dict):
    architecture = manifest.get("architecture")
    if (architecture is not None) != (manifest["engine"] == "deepfm"):
        yield "architecture: the engine deepfm has one, others none"
        return
    if architecture is None:
        return
    yield from check_keys("architecture", architecture, _ARCHITECTURE_KEYS, _ARCHITECTURE_OPTIONAL)
    if _ARCHITECTURE_KEYS - architecture.keys():
        return
    dense = architecture.get("dense", 0)
    inputs = [("int64", [len(architecture["cardinalities"])]), ("float32", [dense])][: 2 if dense else 1]
    if [(spec["dtype"], spec["shape"]) for spec in manifest["inputs"]] != inputs:
        yield f"inputs: wanted {inputs} for the architecture"
    outputs = [("float32", [architecture["outputs"]])]
    if [(spec["dtype"], spec["shape"]) for spec in manifest["outputs"]] != outputs:
        yield f"outputs: wanted {outputs} for the architecture"


def _check_tolerance(tolerance: dict):
    yield from check_keys("tolerance", tolerance, set(), set(TOLERANCE))
    for key in TOLERANCE.keys() & tolerance.keys():
        if not 0 <= tolerance[key] <= MOST_TOLERANCE:
            yield f"tolerance.{key}: found {tolerance[key]}, wanted 0 to {MOST_TOLERANCE}"


def _check_feature(path: str, feature: dict, fields: dict):
    yield from check_keys(path, feature, _FEATURE_KEYS, _FEATURE_OPTIONAL)
    name, kind = feature.get("name"), feature.get("kind")
    if kind not in schema.KINDS:
        yield f"{path}.kind: found {kind!r}, wanted one of {schema.KINDS}"
        return
    if kind == schema.CALENDAR:
        yield from _check_calendar(path, feature)
    else:
        if name in fields and fields[name] != kind:
            yield f"{path}.kind: {name} is a {fields[name]} on the wire, found {kind}"
        if feature.get("required", False) is True and "default" in feature:
            yield f"{path}: required and default exclude each other"
        if feature.get("required") is not True and "default" not in feature:
            yield f"{path}: wanted required: true or a default"
        if "calendar" in feature:
            yield f"{path}.calendar: only for kind calendar"
    numeric = kind in (schema.NUMBER, schema.NUMBER_LIST)
    if "range" in feature and not numeric:
        yield f"{path}.range: only for numbers"
    if feature.get("transform", {}).get("log1p") and kind != schema.CALENDAR:
        if feature.get("range", [-1])[0] <= -1:
            yield f"{path}.transform.log1p: needs a range above -1"
    if kind.endswith("_list") != ("max_len" in feature):
        yield f"{path}.max_len: lists have one, others none"
    yield from _check_transform(path, feature)
    yield from _check_encoding(path, feature)


def _check_calendar(path: str, feature: dict):
    if "required" in feature or "default" in feature:
        yield f"{path}: a calendar feature is computed, it has neither required nor default"
    calendar = feature.get("calendar")
    if calendar in CALENDAR_NUMBERS:
        return
    if not isinstance(calendar, dict) or set(calendar) != {"dates_in_horizon"}:
        yield f"{path}.calendar: wanted dates_in_horizon or one of {CALENDAR_NUMBERS}"
        return
    horizon = calendar["dates_in_horizon"]
    yield from check_keys(f"{path}.calendar.dates_in_horizon", horizon, {"dates", "horizon_days"})
    for day in horizon.get("dates", []):
        date.fromisoformat(day)


def _check_transform(path: str, feature: dict):
    transform = feature.get("transform")
    if transform is None:
        return
    yield from check_keys(f"{path}.transform", transform, set(), {"log1p", "mean", "std"})
    if not transform.get("std", 1.0) > 0 or not math.isfinite(transform.get("mean", 0.0)):
        yield f"{path}.transform: wanted a finite mean and std > 0"
    if "category" in feature["kind"]:
        yield f"{path}.transform: only for numbers"


def _check_encoding(path: str, feature: dict):
    encoding = feature.get("encoding")
    if encoding is None:
        return
    if len(encoding) != 1 or not set(encoding) <= {"vocabulary", "hash", "edges"}:
        yield f"{path}.encoding: wanted exactly one of vocabulary, hash, edges"
        return
    if "edges" in encoding:
        edges = encoding["edges"]
        if feature["kind"] not in (schema.NUMBER, schema.CALENDAR):
            yield f"{path}.encoding.edges: only for numbers"
        if not edges or any(a >= b for a, b in zip(edges, edges[1:])):
            yield f"{path}.encoding.edges: wanted ascending edges"
    elif "category" not in feature["kind"]:
        yield f"{path}.encoding: vocabulary and hash are for categories"
    if "hash" in encoding and not encoding["hash"].get("buckets", 0) >= 2:
        yield f"{path}.encoding.hash.buckets: wanted at least 2"
    if "vocabulary" in encoding and len(set(encoding["vocabulary"])) != len(encoding["vocabulary"]):
        yield f"{path}.encoding.vocabulary: an entry occurs twice"


def _check_inputs(manifest: dict):
    features = {feature["name"]: feature for feature in manifest["features"] if "name" in feature}
    used = set()
    for index, spec in enumerate(manifest["inputs"]):
        path = f"inputs[{index}]"
        yield from check_keys(path, spec, {"name", "dtype", "shape", "features"})
        unknown = [name for name in spec["features"] if name not in features]
        if unknown or not spec["features"]:
            yield f"{path}.features: unknown or none: {unknown}"
            continue
        used.update(spec["features"])
        members = [features[name] for name in spec["features"]]
        lists = [member for member in members if member["kind"].endswith("_list")]
        width = len(members) if not lists else members[0].get("max_len")
        if lists and len(members) != 1:
            yield f"{path}.features: a list fills an input alone"
        if spec["shape"] != [width]:
            yield f"{path}.shape: found {spec['shape']}, wanted [{width}]"
        for member in members:
            yield from _check_member(f"{path}, feature {member['name']}", spec["dtype"], member)
    for name in features.keys() - used:
        yield f"features: {name} fills no input"


def _check_member(path: str, dtype: str, feature: dict):
    if dtype == "int64":
        if "encoding" not in feature and feature.get("calendar") not in CALENDAR_NUMBERS:
            yield f"{path}: an int64 input needs an encoding"
    elif dtype == "float32":
        if "category" in feature["kind"]:
            yield f"{path}: categories cannot fill a float32 input"
    else:
        yield f"{path}: dtype {dtype!r}, wanted int64 or float32"
