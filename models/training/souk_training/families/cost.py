"""What a version's forward pass costs: TorchScript in this process, on one thread.

CPU time of the thread and not time on the wall: other work on the machine then counts for little.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

BATCHES = (1, 256)
WARM_UP = 10
# At most so many passes of a batch size, and about so many seconds.
MOST_PASSES, SECONDS = 500, 2.0


@dataclass(frozen=True)
class Cost:
    """Microseconds of CPU time per row by batch size, and bytes of `model.pt`."""

    per_row: dict[int, float]
    bytes: int


def measure(version: Path, inputs: dict[str, np.ndarray]) -> Cost:
    """The median of many passes over the first rows of `inputs`, which are in the manifest's order."""
    torch.set_num_threads(1)
    module = torch.jit.load(str(version / "model.pt"))
    per_row = {}
    with torch.inference_mode():
        for rows in BATCHES:
            batch = [torch.from_numpy(np.ascontiguousarray(array[:rows])) for array in inputs.values()]
            per_row[rows] = _median_pass(module, batch) / rows * 1e6
    return Cost(per_row, (version / "model.pt").stat().st_size)


def _median_pass(module, batch: list[torch.Tensor]) -> float:
    """Seconds."""
    for _ in range(WARM_UP):
        module(*batch)
    passes: list[float] = []
    while len(passes) < MOST_PASSES and sum(passes) < SECONDS:
        started = time.thread_time()
        module(*batch)
        passes.append(time.thread_time() - started)
    return float(np.median(passes))
