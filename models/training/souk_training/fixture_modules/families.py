"""Small models of the kinds that data teams train."""

import torch
from torch import Tensor, nn

from souk_training.fixture_modules.case import Case, integers, numbers, plain, tensor


class Perceptron(nn.Module):
    """Two layers; `forward` calls methods of its own and modules in a list."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 8)])
        self.last = nn.Linear(8, 1)

    def hidden(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.activation(layer(x))
        return x

    def activation(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(x))[:, 0]


class Logistic(nn.Module):
    """Logistic regression as scikit-learn computes it, in 64 bits."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(5, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(self.linear(x), 1)


class Factors(nn.Module):
    """A factorization machine over six fields."""

    def __init__(self):
        super().__init__()
        self.first = nn.Embedding(30, 1)
        self.second = nn.Embedding(30, 4)

    def forward(self, ids: Tensor) -> Tensor:
        v = self.second(ids)
        pairs = v.sum(1).square().sum(1) - v.square().sum(dim=[1, 2])
        return self.first(ids).sum(dim=[1, 2]) + 0.5 * pairs


class TwoTowers(nn.Module):
    """A user and an item to how well they match."""

    def __init__(self):
        super().__init__()
        self.user = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
        self.item = nn.Embedding(12, 3)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return nn.functional.cosine_similarity(self.user(user), self.item(item), dim=1)


class Trained(nn.Module):
    """Dropout and a batch's mean, in training: served right only where evaluation is switched on."""

    def __init__(self):
        super().__init__()
        self.linear, self.norm, self.drop = nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.norm(self.linear(x)))


class Half(nn.Module):
    """Weights of 16 bits inside, 32 bits outside; each product and sum is exact."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, dtype=torch.float16))

    def forward(self, x: Tensor) -> Tensor:
        return (x.to(torch.float16) * self.weight).to(torch.float32).sum(1)


class Tree(nn.Module):
    """A tree of depth two as tensors, as converters of boosted trees write it."""

    def __init__(self):
        super().__init__()
        self.register_buffer("fields", torch.tensor([0, 2, 1]))
        self.register_buffer("thresholds", torch.tensor([0.0, 1.0, -1.0]))
        self.leaves = nn.Parameter(torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        right = (x[:, self.fields] > self.thresholds).to(torch.int64)
        second = torch.where(right[:, 0] == 1, right[:, 2], right[:, 1])
        return self.leaves[2 * right[:, 0] + second]


class Cluster(nn.Module):
    """The nearest of five centres: integers out."""

    def __init__(self):
        super().__init__()
        self.centres = nn.Parameter(torch.zeros(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cdist(x, self.centres).argmin(1).to(torch.int32)


class Ensemble(nn.Module):
    """Members that libtorch may run on threads of its own."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        waits = torch.jit.fork(self.one, x)
        other = self.other(x)
        return 0.5 * (torch.jit.wait(waits) + other)


def _towers(random, rows, _size):
    return {"user": numbers(random, rows, 4), "item": integers(random, 0, 12, rows)}


def cases() -> list[Case]:
    """Scripted, traced and frozen."""
    six, four = [tensor("x", "float32", 6)], [tensor("x", "float32", 4)]
    return [
        Case("perceptron_scripted", Perceptron(), six, [tensor("score", "float32")], plain("x", 6)),
        Case(
            "perceptron_traced",
            Perceptron(),
            six,
            [tensor("score", "float32")],
            plain("x", 6),
            export="trace",
            example=True,
        ),
        Case("perceptron_frozen", Perceptron(), six, [tensor("score", "float32")], plain("x", 6), export="freeze"),
        Case(
            "logistic",
            Logistic(),
            [tensor("x", "float64", 5)],
            [tensor("probabilities", "float64", 3)],
            lambda random, rows, _size: {"x": numbers(random, rows, 5, dtype=torch.float64)},
            example=True,
        ),
        Case(
            "factors",
            Factors(),
            [tensor("ids", "int64", 6, range=[0, 29])],
            [tensor("score", "float32")],
            lambda random, rows, _size: {"ids": integers(random, 0, 30, rows, 6)},
            export="trace",
        ),
        Case(
            "two_towers",
            TwoTowers(),
            [tensor("user", "float32", 4), tensor("item", "int64")],
            [tensor("match", "float32")],
            _towers,
        ),
        Case("saved_in_training", Trained(), four, [tensor("y", "float32", 4)], plain("x", 4), training=True),
        Case("half_inside", Half(), four, [tensor("y", "float32")], plain("x", 4)),
        Case("tree", Tree(), four, [tensor("leaf", "float32")], plain("x", 4), export="trace"),
        Case("cluster", Cluster(), [tensor("x", "float32", 3)], [tensor("cluster", "int32")], plain("x", 3)),
        Case("ensemble", Ensemble(), four, [tensor("y", "float32", 2)], plain("x", 4)),
    ]
