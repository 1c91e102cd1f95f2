"""Rows of no to four dimensions, and memory that does not lie as it is read."""

import torch
from torch import Tensor, nn

from souk_training.fixture_modules.case import Case, integers, numbers, plain, tensor


class Discounted(nn.Module):
    """What is paid: rows of single numbers."""

    def forward(self, price: Tensor, discount: Tensor) -> Tensor:
        return price * (1.0 - discount)


class Turned(nn.Module):
    """Shares of each row, with rows and columns changed over: a view that is not contiguous."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x, 2).transpose(1, 2)


class Clip(nn.Module):
    """Mean brightness of a clip's frames, by channel; and the frames with time behind."""

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        return frames.mean(dim=[1, 3, 4]), frames.permute(0, 2, 3, 4, 1)


class Picture(nn.Module):
    """Classes of 8 x 8 pictures of bytes."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(image.to(torch.float32) / 255.0)))
        return self.last(x.mean(dim=[2, 3]))


class Same(nn.Module):
    """What came in, twice, and a part of it: the same memory."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x, x, x[:, 1:3]


class Repeated(nn.Module):
    """Many values from one place in memory."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unsqueeze(2).expand(-1, -1, 3)


class ChangesItsInput(nn.Module):
    """Writes to its argument: whoever runs the rows again must have them as they were."""

    def forward(self, x: Tensor) -> Tensor:
        return x.add_(1.0).mul_(2.0)


def _prices(random, rows, _size):
    return {"price": integers(random, 1, 400, rows) / 4, "discount": integers(random, 0, 8, rows) / 8}


def cases() -> list[Case]:
    """By the number of dimensions."""
    return [
        Case(
            "rows_of_numbers",
            Discounted(),
            [tensor("price", "float32"), tensor("discount", "float32")],
            [tensor("paid", "float32")],
            _prices,
            example=True,
        ),
        Case(
            "rows_of_matrices",
            Turned(),
            [tensor("x", "float32", 3, 4)],
            [tensor("y", "float32", 4, 3)],
            plain("x", 3, 4),
        ),
        Case(
            "pictures",
            Picture(),
            [tensor("image", "uint8", 3, 8, 8)],
            [tensor("logits", "float32", 5)],
            lambda random, rows, _size: {"image": integers(random, 0, 256, rows, 3, 8, 8, dtype=torch.uint8)},
            max_batch_rows=16,
        ),
        Case(
            "clips",
            Clip(),
            [tensor("frames", "float32", 2, 3, 2, 2)],
            [tensor("brightness", "float32", 3), tensor("turned", "float32", 3, 2, 2, 2)],
            plain("frames", 2, 3, 2, 2),
            export="trace",
        ),
        Case(
            "same_memory",
            Same(),
            [tensor("x", "float32", 4)],
            [tensor("one", "float32", 4), tensor("other", "float32", 4), tensor("part", "float32", 2)],
            plain("x", 4),
        ),
        Case("repeated", Repeated(), [tensor("x", "float32", 2)], [tensor("y", "float32", 2, 3)], plain("x", 2)),
        Case(
            "changes_its_input",
            ChangesItsInput(),
            [tensor("x", "float32", 3)],
            [tensor("y", "float32", 3)],
            plain("x", 3),
        ),
        Case(
            "square_tables",
            Totals(),
            # Both sizes are open, and filled up on their own.
            [tensor("table", "float32", -1, -1, padding=0.0)],
            [tensor("total", "float32"), tensor("largest", "float32")],
            lambda random, rows, size: {"table": numbers(random, rows, size, 7 - size)},
            sizes=(2, 5, 3, 1),
        ),
    ]


class Totals(nn.Module):
    """Of tables of any two sizes: zeros beyond change neither."""

    def forward(self, table: Tensor) -> tuple[Tensor, Tensor]:
        return table.sum(dim=[1, 2]), table.abs().amax(dim=[1, 2])
