"""Writes `golden.jsonl` and encoded rows: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from souk_training.encode import encode_rows, flat


def encoded_lines(rows: list[dict], inputs: dict[str, np.ndarray]) -> Iterator[dict]:
    """`{"row", "inputs"}` per row; the inputs without the row dimension, flat."""
    for index, row in enumerate(rows):
        yield {"row": row, "inputs": {name: flat(array[index]) for name, array in inputs.items()}}


def golden_lines(rows: list[dict], inputs: dict, outputs: dict) -> Iterator[dict]:
    """`{"row", "inputs", "outputs"}` per row; `outputs` are arrays `[n, width]` by output name."""
    for index, line in enumerate(encoded_lines(rows, inputs)):
        line["outputs"] = {name: flat(np.asarray(array[index], np.float32)) for name, array in outputs.items()}
        yield line


def inputs_of(manifest: dict, rows: list[dict] | dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The inputs of golden rows, which for the task `tensors` are the inputs themselves."""
    return rows if isinstance(rows, dict) else encode_rows(manifest, rows)


def proving_lines(rows: list[dict] | dict[str, np.ndarray], inputs: dict, outputs: dict) -> Iterator[dict]:
    """The lines of `golden.jsonl`; those of the task `tensors` hold no `row`. Its rows are of one dimension here."""
    if not isinstance(rows, dict):
        yield from golden_lines(rows, inputs, outputs)
        return
    for index in range(len(next(iter(inputs.values())))):
        of_row = [{name: flat(array[index]) for name, array in arrays.items()} for arrays in (inputs, outputs)]
        yield dict(zip(("inputs", "outputs"), of_row, strict=True))


def write_encoded(path: Path, manifest: dict, rows: list[dict], chunk: int = 4096) -> None:
    """Encodes `rows` and writes them in chunks, so that memory does not grow with the number of rows."""

    def lines():
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            yield from encoded_lines(part, encode_rows(manifest, part))

    write_jsonl(path, lines())


def write_jsonl(path: Path, lines) -> None:
    """One compact JSON object a line, UTF-8. NaN and infinity are refused."""
    with open(path, "w", encoding="utf-8") as file:
        for line in lines:
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n")


def read_jsonl(path: Path) -> list[dict]:
    """All lines of a JSON-lines file."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]
