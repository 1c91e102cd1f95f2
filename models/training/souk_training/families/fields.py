"""What the families share: which inputs there are, their first order, their latent vectors, and a deep part."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

FACTORS = 8


@dataclass(frozen=True)
class Fields:
    """Ids `[n, len(cardinalities)]`, and values `[n, sum(bags) + numbers]`: bags first, then plain numbers."""

    # Ids of each field that has one value, id 0 (missing or unknown) included.
    cardinalities: tuple[int, ...] = ()
    # Columns of each field that has many weighed values.
    bags: tuple[int, ...] = ()
    numbers: int = 0
    # Pairs of id fields whose every combination gets a weight, by place; for families that want such.
    crosses: tuple[tuple[int, int], ...] = ()

    @property
    def values(self) -> int:
        """Columns of the values."""
        return sum(self.bags) + self.numbers

    @property
    def deep_width(self) -> int:
        """Columns of `Latent.deep_input`: a vector per id field and bag, and the plain numbers."""
        return (len(self.cardinalities) + len(self.bags)) * FACTORS + self.numbers


class IdTable(nn.Module):
    """Rows of `width` for the ids of all fields, in one table: `[n, fields]` to `[n, fields, width]`."""

    def __init__(self, cardinalities: tuple[int, ...], width: int, deviation: float):
        super().__init__()
        self.register_buffer("offsets", torch.tensor([0, *cardinalities]).cumsum(0)[: len(cardinalities)])
        # Of one row where there are no fields: a lookup of nothing is still a lookup.
        self.table = nn.Embedding(max(1, sum(cardinalities)), width)
        nn.init.normal_(self.table.weight, std=deviation)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids + self.offsets)


class FirstOrder(nn.Module):
    """A weight for each id and each value, and a bias: `[n, outputs]`."""

    def __init__(self, fields: Fields, outputs: int):
        super().__init__()
        self.ids = IdTable(fields.cardinalities, outputs, deviation=0.0)
        self.weights = nn.Parameter(torch.zeros(fields.values, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        return self.ids(ids).sum(1) + torch.addmm(self.bias, values, self.weights)


class Latent(nn.Module):
    """Latent vectors of ids and values, for the families that multiply or concatenate them."""

    # TorchScript takes an empty list for one of tensors.
    bags: list[int]

    def __init__(self, fields: Fields, deviation: float = 0.02):
        super().__init__()
        self.bags, self.bag_columns = list(fields.bags), sum(fields.bags)
        self.ids = IdTable(fields.cardinalities, FACTORS, deviation)
        self.factors = nn.Parameter(torch.randn(fields.values, FACTORS) * deviation)

    def forward(self, ids: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors `[n, id fields + bags, FACTORS]`, and the sum over all pairs of their products `[n, FACTORS]`."""
        looked_up = self.ids(ids)
        vectors = [looked_up]
        start = 0
        for width in self.bags:
            stop = start + width
            vectors.append(torch.mm(values[:, start:stop], self.factors[start:stop]).unsqueeze(1))
            start = stop
        fields = torch.cat(vectors, 1)
        total = fields.sum(1) + torch.mm(values[:, start:], self.factors[start:])
        squares = looked_up.square().sum(1) + torch.mm(values.square(), self.factors.square())
        return fields, 0.5 * (total.square() - squares)

    def deep_input(self, vectors: Tensor, values: Tensor) -> Tensor:
        """`[n, Fields.deep_width]`: the vectors side by side, then the plain numbers."""
        return torch.cat([vectors.flatten(1), values[:, self.bag_columns :]], 1)


class Deep(nn.Module):
    """Rectified layers: `[n, width]` to `[n, hidden[-1]]`."""

    def __init__(self, width: int, hidden: tuple[int, ...], dropout: float):
        super().__init__()
        layers: list[nn.Module] = []
        for fan_in, fan_out in zip((width, *hidden), hidden):
            linear = nn.Linear(fan_in, fan_out)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            layers += [linear, nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def small_weights(rows: int, outputs: int) -> nn.Parameter:
    """Weights `[rows, outputs]` of an output layer, near 0: a network begins as its biases say."""
    return nn.Parameter(torch.randn(rows, outputs) * 0.1 * rows**-0.5)
