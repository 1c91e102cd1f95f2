"""Modules with habits: state, errors, no rows, numbers that are none."""

from typing import Dict, List

import torch
from torch import Tensor, nn

from souk_training.fixture_modules.case import Case, Marked, integers, numbers, plain, tensor


class CountsCalls(nn.Module):
    """Writes to a buffer of its own in each pass; the answer does not depend on it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 2.0 + torch.clamp(self.calls, 0, 0)


class RemembersTheLast(nn.Module):
    """Puts other objects into attributes of its own in each pass, which the next pass reads."""

    seen: List[Tensor]

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))
        self.seen = [torch.zeros(1)]
        self.rows = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls = self.calls + 1.0
        self.rows = self.rows + x.size(0)
        self.seen = [self.calls, x.sum(1)]
        return x * 2.0 + 0.0 * self.seen[0] + 0.0 * float(self.rows)


class ScratchBuffer(nn.Module):
    """Works in a buffer of its own, which another pass at the same time would overwrite."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scratch", torch.zeros(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        found = torch.zeros_like(x[:, 0])
        for row in range(x.size(0)):
            self.scratch[0].copy_(x[row])
            torch.mul(self.scratch[0], self.scratch[0], out=self.scratch[1])
            found[row] = self.scratch.sum()
        return found


class RaisesOnMarked(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if bool((x == 99.0).any()):
            raise ValueError("a marked row")
        return x.sum(1)


class TooSmallATable(nn.Module):
    """Raises for the whole batch where one id is beyond its table."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(8, 2)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids).sum(1)


class SquareRoot(nn.Module):
    """No number for negative rows, which is an error of theirs."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sqrt(x)


class Logarithm(nn.Module):
    """NaN and infinities are answers here."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.log(x)


class Covariance(nn.Module):
    """Of all that came: it has no dimension of rows."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cov(x.transpose(0, 1))


class Quotient(nn.Module):
    """Two single numbers to one."""

    def forward(self, whole: Tensor, parts: Tensor) -> Tensor:
        return whole / parts.to(whole.dtype)


class Weights(nn.Module):
    """Strings within: names and a dictionary by them."""

    names: List[str]
    by_name: Dict[str, float]

    def __init__(self):
        super().__init__()
        self.names = ["north", "south", "中部"]
        self.by_name = {"north": 1.5, "south": -0.5, "中部": 0.25}

    def forward(self, shares: Tensor) -> Tensor:
        total = torch.zeros_like(shares[:, 0])
        for index, name in enumerate(self.names):
            total = total + shares[:, index] * self.by_name[name]
        return total


def _mark_float(tensors):
    tensors["x"][-1, 0] = 99.0


def _mark_id(tensors):
    tensors["ids"][-1, 1] = 8


def _mark_negative(tensors):
    tensors["x"][-1] = -1.0


def _logarithms(random, rows, _size):
    x = numbers(random, rows, 3)
    x[0, 0], x[-1, 2] = 0.0, -1.0
    return {"x": x}


def cases() -> list[Case]:
    """One habit each."""
    three = [tensor("x", "float32", 3)]
    return [
        Case("counts_calls", CountsCalls(), three, [tensor("y", "float32", 3)], plain("x", 3)),
        Case("remembers_the_last", RemembersTheLast(), three, [tensor("y", "float32", 3)], plain("x", 3)),
        Case("scratch_buffer", ScratchBuffer(), three, [tensor("y", "float32")], plain("x", 3)),
        Case(
            "raises_on_marked",
            RaisesOnMarked(),
            three,
            [tensor("sum", "float32")],
            plain("x", 3),
            marked=Marked(_mark_float, "a marked row"),
        ),
        Case(
            "too_small_a_table",
            TooSmallATable(),
            [tensor("ids", "int64", 2)],
            [tensor("y", "float32", 2)],
            lambda random, rows, _size: {"ids": integers(random, 0, 8, rows, 2)},
            marked=Marked(_mark_id, "index out of range"),
        ),
        Case(
            "square_root",
            SquareRoot(),
            [tensor("x", "float32")],
            [tensor("root", "float32")],
            lambda random, rows, _size: {"x": numbers(random, rows).abs()},
            marked=Marked(_mark_negative, "not finite"),
        ),
        Case("logarithm", Logarithm(), three, [tensor("log", "float32", 3, non_finite=True)], _logarithms),
        Case(
            "covariance",
            Covariance(),
            [tensor("x", "float32", -1, 3)],
            [tensor("covariance", "float32", 3, 3)],
            lambda random, _rows, size: {"x": numbers(random, size, 3)},
            max_batch_rows=0,
            sizes=(4, 2, 9),
        ),
        Case(
            "quotient",
            Quotient(),
            [tensor("whole", "float64"), tensor("parts", "int32")],
            [tensor("part", "float64")],
            lambda random, _rows, _size: {
                "whole": numbers(random, dtype=torch.float64),
                "parts": integers(random, 1, 9, dtype=torch.int32),
            },
            max_batch_rows=0,
        ),
        Case(
            "strings_within",
            Weights(),
            [tensor("shares", "float32", 3)],
            [tensor("total", "float32")],
            plain("shares", 3),
        ),
    ]
