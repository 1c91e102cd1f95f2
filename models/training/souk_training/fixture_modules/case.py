"""One module of the server's tests: what it is, what it reads and answers, and requests for it.

Weights and values are made from numpy's legacy generator, whose streams never change, in steps of
1/32 or 1/8: the same bytes everywhere, and short numbers in JSON.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

Random = np.random.RandomState
Tensors = dict[str, torch.Tensor]
OPEN = -1


@dataclass(frozen=True)
class Marked:
    """Requests that must fail: changes the last row of one, and says what the error's message has in it."""

    change: Callable[[Tensors], None]
    says: str


@dataclass(frozen=True)
class Case:
    """A module, and all that its version folder says of it."""

    name: str
    module: torch.nn.Module
    inputs: list[dict]
    outputs: list[dict]
    # Random, how many rows, the open size -> tensors of a request.
    rows: Callable[[Random, int, int], Tensors]
    # `script`, `trace` or `freeze`, which is scripted and then frozen.
    export: str = "script"
    arguments: str = "tensors"
    # 0: no dimension of rows; `rows` is then asked for one, and leaves the dimension out.
    max_batch_rows: int = 64
    # Open sizes of its requests, in turn.
    sizes: tuple[int, ...] = (1,)
    marked: Marked | None = None
    # Saved in training mode: who serves it must switch it.
    training: bool = False
    # Whether `<name>.npz` is written beside it, an example for `souk import`.
    example: bool = False
    seed: int = field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "seed", zlib.crc32(self.name.encode()))
        fill(self.module, Random(self.seed))
        self.module.eval()


def tensor(name: str, dtype: str, *shape: int, **more) -> dict:
    """An input or output of a manifest."""
    return {"name": name, "dtype": dtype, "shape": list(shape), **more}


def fill(module: torch.nn.Module, random: Random) -> None:
    """Weights that are the same everywhere."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(random.randint(-16, 17, tuple(parameter.shape)) / 32))
            parameter.requires_grad_(True)
        for part in module.modules():
            if isinstance(part, torch.nn.Embedding) and part.padding_idx is not None:
                part.weight[part.padding_idx] = 0.0
        for name, buffer in module.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(torch.from_numpy(random.randint(8, 33, tuple(buffer.shape)) / 32))


def numbers(random: Random, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """From -4 to 4 in steps of 1/8, which every float type holds."""
    return torch.from_numpy(np.asarray(random.randint(-32, 33, shape) / 8)).to(dtype)


def integers(random: Random, least: int, beyond: int, *shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    """From `least` to just below `beyond`."""
    return torch.from_numpy(np.asarray(random.randint(least, beyond, shape, np.int64))).to(dtype)


def flags(random: Random, *shape: int) -> torch.Tensor:
    """True as often as false."""
    return integers(random, 0, 2, *shape, dtype=torch.bool)


def plain(name: str = "x", *shape: int) -> Callable[[Random, int, int], Tensors]:
    """Requests of one tensor of floats."""
    return lambda random, rows, _size: {name: numbers(random, rows, *shape)}
