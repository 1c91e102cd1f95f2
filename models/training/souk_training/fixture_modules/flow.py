"""Control flow that looks at the whole batch, and gives each row what it would get alone."""

from typing import List

import torch
from torch import Tensor, nn

from souk_training.fixture_modules.case import Case, integers, numbers, plain, tensor


class Compound(nn.Module):
    """As many steps as the longest row wants; the others keep what they have."""

    def forward(self, start: Tensor, steps: Tensor) -> Tensor:
        value, step = start, 0
        longest = int(steps.max())
        while step < longest:
            value = torch.where(steps > step, value * 1.25, value)
            step += 1
        return value


class RowByRow(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        rows: List[Tensor] = []
        for index in range(x.size(0)):
            row = x[index]
            if bool(row.sum() > 0):
                rows.append(row.cumsum(0))
            else:
                rows.append(row.flip(0))
        return torch.stack(rows)


class IfAny(nn.Module):
    """Takes a way of its own where any row is negative, which changes those rows alone."""

    def forward(self, x: Tensor) -> Tensor:
        if bool((x < 0).any()):
            x = torch.where(x < 0, x * x, x)
        return x + 1.0


class Roots(nn.Module):
    """Newton's square roots, until the last row of the batch is near enough."""

    def forward(self, x: Tensor) -> Tensor:
        root = torch.ones_like(x)
        far = torch.ones_like(x, dtype=torch.bool)
        while bool(far.any()):
            better = 0.5 * (root + x / root)
            near = (better - root).abs() <= 1e-6 * better
            root = torch.where(far, better, root)
            far = far & ~near
        return root


def cases() -> list[Case]:
    """Loops and branches."""
    return [
        Case(
            "compound",
            Compound(),
            [tensor("start", "float32"), tensor("steps", "int64", range=[0, 12])],
            [tensor("value", "float32")],
            lambda random, rows, _size: {"start": numbers(random, rows), "steps": integers(random, 0, 13, rows)},
        ),
        Case("row_by_row", RowByRow(), [tensor("x", "float32", 3)], [tensor("y", "float32", 3)], plain("x", 3)),
        Case("if_any", IfAny(), [tensor("x", "float32")], [tensor("y", "float32")], plain("x")),
        Case(
            "roots",
            Roots(),
            [tensor("x", "float64")],
            [tensor("root", "float64")],
            lambda random, rows, _size: {"x": numbers(random, rows, dtype=torch.float64).abs() + 0.5},
        ),
    ]
