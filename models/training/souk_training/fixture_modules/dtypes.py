"""Every type of elements: a little arithmetic that is exact in each of them."""

import torch
from torch import Tensor, nn

from souk_training.fixture_modules.case import Case, flags, integers, numbers, plain, tensor


class ExclusiveOr(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x ^ y


class Inverted(nn.Module):
    """The negative of an image."""

    def forward(self, x: Tensor) -> Tensor:
        return 255 - x


class Halved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.div(x, 2, rounding_mode="floor")


class Wrapped(nn.Module):
    """Leaves the type's range, and comes back at its other end."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 3 - 1


class RunningTotal(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cumsum(x, 1, dtype=torch.int32)


class Bucket(nn.Module):
    """64-bit hashes, which no 64-bit float holds: their bucket, and their neighbours."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return (x ^ (x >> 32)) & 1023, x + 1


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0.5 + 1.0


class Thirds(nn.Module):
    """What a 32-bit float would lose."""

    def forward(self, x: Tensor) -> Tensor:
        return x / 3.0 + 1e9


def _integers(dtype: torch.dtype):
    limits = torch.iinfo(dtype)

    def rows(random, rows, _size):
        x = integers(random, limits.min, limits.max, rows, 4, dtype=dtype)
        x[0, 0], x[-1, -1] = limits.min, limits.max
        return {"x": x}

    return rows


def _floats(dtype: torch.dtype):
    return lambda random, rows, _size: {"x": numbers(random, rows, 4, dtype=dtype)}


def _small(random, rows, _size):
    return {"x": integers(random, -1000, 1000, rows, 4, dtype=torch.int32)}


def _of(name: str, module: nn.Module, rows, **more) -> Case:
    return Case(f"dtype_{name}", module, [tensor("x", name, 4)], [tensor("y", name, 4)], rows, **more)


def cases() -> list[Case]:
    """One for each type."""
    pair = [tensor("x", "bool", 4), tensor("y", "bool", 4)]
    return [
        Case(
            "dtype_bool",
            ExclusiveOr(),
            pair,
            [tensor("either", "bool", 4)],
            lambda random, rows, _size: {"x": flags(random, rows, 4), "y": flags(random, rows, 4)},
        ),
        _of("uint8", Inverted(), _integers(torch.uint8)),
        _of("int8", Halved(), _integers(torch.int8)),
        _of("int16", Wrapped(), _integers(torch.int16)),
        _of("int32", RunningTotal(), _small, export="trace"),
        Case(
            "dtype_int64",
            Bucket(),
            [tensor("x", "int64", 4)],
            [tensor("bucket", "int64", 4), tensor("next", "int64", 4)],
            _integers(torch.int64),
        ),
        _of("float16", Scaled(), _floats(torch.float16)),
        _of("bfloat16", Scaled(), _floats(torch.bfloat16)),
        _of("float32", Scaled(), plain("x", 4), export="trace"),
        _of("float64", Thirds(), _floats(torch.float64)),
    ]
