"""Writes `tests/fixtures/encoding.json`: small manifests and rows with their encoding.

The server's unit tests read the file, so that a rule changed on one side alone fails a test.
The cases' names say what each is for; `fixtures_cases.py` holds them.
"""

from __future__ import annotations

import json
from pathlib import Path

from souk_training.encode import encode_rows, flat
from souk_training.fixtures_cases import CASES, Case
from souk_training.manifest import build_manifest, validate

_HEADS = {
    "merchant_gmv": (
        {"kind": "ziln", "output": "ziln", "currency": "CNY", "horizon_days": 28, "quantiles": [0.1, 0.5, 0.9]},
        [{"name": "ziln", "dtype": "float32", "shape": [3]}],
    ),
    "user_portrait": (
        {
            "kind": "portrait",
            "groups": [{"name": "age", "kind": "softmax", "output": "age", "labels": ["young", "old"]}],
        },
        [{"name": "age", "dtype": "float32", "shape": [2]}],
    ),
}


def write_encoding_fixtures(path: Path) -> int:
    """Writes all cases; returns how many."""
    cases = [_with_expected(case) for case in CASES]
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, allow_nan=False) for case in cases)
    path.write_text('{"cases": [\n' + lines + "\n]}\n", "utf-8")
    return len(cases)


def _with_expected(case: Case) -> dict:
    manifest = manifest_of(case)
    encoded = encode_rows(manifest, [case.row])
    inputs = {name: flat(array[0]) for name, array in encoded.items()}
    return {"name": case.name, "manifest": manifest, "row": case.row, "inputs": inputs}


def manifest_of(case: Case) -> dict:
    """A whole, valid manifest around a case's features; files and outputs are placeholders."""
    head, outputs = _HEADS[case.task]
    manifest = build_manifest(
        model=case.task,
        version=1,
        task=case.task,
        description="for tests of the encoding",
        torch_version="2.11.0",
        features=case.features,
        inputs=case.inputs or _inputs_for(case.features),
        outputs=outputs,
        head=head,
    )
    manifest["created_at"] = "2026-01-01T00:00:00Z"
    manifest["files"] = {"model.pt": "0" * 64, "golden.jsonl": "0" * 64}
    validate(manifest)
    return manifest


def _inputs_for(features: list[dict]) -> list[dict]:
    """Scalars with an encoding into `ids`, other scalars into `dense`, each list into an input alone."""
    lists = [f for f in features if f["kind"].endswith("_list")]
    scalars = [f for f in features if f not in lists]
    coded = [f for f in scalars if "encoding" in f or f.get("calendar") in ("day_of_week", "month")]
    plain = [f for f in scalars if f["kind"] != "category" and (f not in coded or "transform" in f)]
    inputs = [
        {"name": name, "dtype": dtype, "shape": [len(members)], "features": [f["name"] for f in members]}
        for name, dtype, members in (("ids", "int64", coded), ("dense", "float32", plain))
        if members
    ]
    for f in lists:
        dtype = "int64" if f["kind"] == "category_list" else "float32"
        inputs.append({"name": f["name"], "dtype": dtype, "shape": [f["max_len"]], "features": [f["name"]]})
    return inputs
