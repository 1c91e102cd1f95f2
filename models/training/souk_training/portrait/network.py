"""The portrait's network: DeepFM over bags of categories, for many tags and by many members at once.

After Guo et al. (2017), arXiv:1703.04247: a first-order part, a factorisation machine and a deep
network that share their embeddings, here for fields that are bags of values. Two things are added for
some hundred labelled users: the weights of tags that are alike are tied by a kinship matrix, and several
members stand side by side. Training is in `fit.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

# Standardised values are cut here: one user with 60 lines of one rare category is not 60 times as sure.
LARGEST = 5.0
# A value of a bag that fewer users than this have is left out.
MIN_SUPPORT = 15


@dataclass(frozen=True)
class Scaler:
    """Which columns of a bag vector are used, and their mean and deviation."""

    columns: np.ndarray  # [width'] int64
    mean: np.ndarray
    std: np.ndarray
    # Width of each field after the choice of columns.
    sizes: list[int]

    @staticmethod
    def fit(x: np.ndarray, fields: list[tuple[str, int]]) -> Scaler:
        """From the bag vectors of training users `[n, width]`."""
        std = x.std(0)
        kept = ((x != 0).sum(0) >= MIN_SUPPORT) & (std > 1e-6)
        field = np.repeat(np.arange(len(fields)), [width for _, width in fields])
        sizes = [int((field[kept] == index).sum()) for index in range(len(fields))]
        return Scaler(np.flatnonzero(kept), x[:, kept].mean(0), std[kept], sizes)

    def __call__(self, x: np.ndarray) -> Tensor:
        """Standardised `[n, width']` float32."""
        scaled = (x[:, self.columns] - self.mean) / self.std
        return torch.from_numpy(np.clip(scaled, -LARGEST, LARGEST).astype(np.float32))


class Members(nn.Module):
    """Standardised bags `[n, width]` to department logits `[members, n, departments]`, for pre-training.

    The first-order part is given and stays; embeddings, factors and the deep part are learnt.
    """

    def __init__(
        self, sizes: list[int], first: Tensor, bias: Tensor, *, members: int, factors: int, hidden: int,
        dropout: float, input_dropout: float,
    ):  # fmt: skip
        super().__init__()
        self.sizes, self.members, self.factors = sizes, members, factors
        self.dropout, self.input_dropout = dropout, input_dropout
        width, outputs = first.shape
        self.register_buffer("first", first)
        self.bias = nn.Parameter(bias.clone())
        self.embedding = nn.Parameter(torch.randn(members, width, factors) * 0.03)
        self.second = nn.Parameter(torch.randn(members, factors, outputs) * 0.01)
        inner = len(sizes) * factors
        self.deep_in = nn.Parameter(torch.randn(members, inner, hidden) * (2 / inner) ** 0.5)
        self.deep_bias = nn.Parameter(torch.zeros(members, 1, hidden))
        self.deep_out = nn.Parameter(torch.randn(members, hidden, outputs) * 0.05)

    def forward(self, x: Tensor) -> Tensor:
        first = x @ self.first + self.bias
        x = self._drop(x.expand(self.members, *x.shape), self.input_dropout)
        vectors = self._vectors(x)
        second = self._drop(self._second(x, vectors), self.dropout)
        hidden = self._drop(self._hidden(self._drop(torch.cat(vectors, 2), self.dropout)), self.dropout)
        return first + torch.bmm(second, self.second) + torch.bmm(hidden, self.deep_out)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Second-order terms `[n, members * factors]` and last hidden layers `[n, members * hidden]`."""
        x = x.expand(self.members, *x.shape)
        vectors = self._vectors(x)
        second, hidden = self._second(x, vectors), self._hidden(torch.cat(vectors, 2))
        return second.permute(1, 0, 2).flatten(1), hidden.permute(1, 0, 2).flatten(1)

    def _vectors(self, x: Tensor) -> list[Tensor]:
        """One embedding per field, `[members, n, factors]`, shared by the second-order and deep parts."""
        fields = zip(x.split(self.sizes, 2), self.embedding.split(self.sizes, 1))
        return [torch.bmm(values, embedding) for values, embedding in fields]

    def _second(self, x: Tensor, vectors: list[Tensor]) -> Tensor:
        """Sum over pairs of values of the products of their embeddings, `[members, n, factors]`."""
        total = torch.stack(vectors).sum(0)
        return 0.5 * (total.square() - torch.bmm(x.square(), self.embedding.square()))

    def _hidden(self, vectors: Tensor) -> Tensor:
        return torch.relu(torch.baddbmm(self.deep_bias, vectors, self.deep_in))

    def _drop(self, x: Tensor, share: float) -> Tensor:
        return functional.dropout(x, share, self.training)


@dataclass(frozen=True)
class Head:
    """Logits `[n, outputs]`, linear in the bags and in the learnt parts (second-order terms, hidden layers)."""

    first: Tensor  # [width, outputs]
    learnt: Tensor  # [members * (factors + hidden), outputs]
    bias: Tensor  # [outputs]
    # Of the learnt parts: a product of two rare things is standardised and cut like any other value.
    mean: Tensor
    std: Tensor

    def __call__(self, x: Tensor, second: Tensor, hidden: Tensor) -> Tensor:
        return x @ self.first + self.standardised(second, hidden) @ self.learnt + self.bias

    def standardised(self, second: Tensor, hidden: Tensor) -> Tensor:
        """`[n, members * (factors + hidden)]`."""
        return ((torch.cat([second, hidden], 1) - self.mean) / self.std).clamp(-LARGEST, LARGEST)


class Portrait(nn.Module):
    """What is served: encoded inputs to the logits of each group and the embedding.

    The members are fused: what is the same for all of them is one product over all side by side.
    """

    def __init__(
        self, bags: nn.Module, scaler: Scaler, members: Members, head: Head, groups: list[int], projection: Tensor,
        center: Tensor,
    ):  # fmt: skip
        """`groups`: number of outputs of each group. `projection` `[members * hidden, dim]`."""
        super().__init__()
        self.bags, self.sizes, self.groups = bags, list(scaler.sizes), list(groups)
        self.members, self.factors, self.largest = members.members, members.factors, LARGEST
        self.register_buffer("columns", torch.from_numpy(scaler.columns))
        self.register_buffer("mean", torch.from_numpy(scaler.mean.astype(np.float32)))
        self.register_buffer("scale", torch.from_numpy((1.0 / scaler.std).astype(np.float32)))
        # [width, members * factors]
        self.register_buffer("embedding", members.embedding.detach().permute(1, 0, 2).flatten(1).contiguous())
        self.register_buffer("squared", self.embedding.square())
        self.register_buffer("deep_in", members.deep_in.detach().clone())
        self.register_buffer("deep_bias", members.deep_bias.detach().clone())
        self.register_buffer("first", head.first)
        self.register_buffer("learnt", head.learnt)
        self.register_buffer("learnt_mean", head.mean)
        self.register_buffer("learnt_scale", 1.0 / head.std)
        self.register_buffer("bias", head.bias)
        self.register_buffer("projection", projection)
        self.register_buffer("center", center)

    def forward(
        self,
        category: Tensor,
        department: Tensor,
        store: Tensor,
        brand: Tensor,
        time: Tensor,
        price: Tensor,
        quantity: Tensor,
        discount: Tensor,
        scalars: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        pooled = self.bags(category, department, store, brand, time, price, quantity, discount, scalars)
        x = (pooled.index_select(1, self.columns) - self.mean) * self.scale
        x = x.clamp(-self.largest, self.largest)
        logits, hidden = self.score(x)
        group = logits.split(self.groups, 1)
        embedding = torch.mm(hidden - self.center, self.projection)
        return group[0], group[1], group[2], group[3], group[4], group[5], embedding

    def score(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits `[n, outputs]` and all members' hidden layers `[n, members * hidden]`."""
        n = x.shape[0]
        vectors: list[Tensor] = []
        start = 0
        for size in self.sizes:
            stop = start + size
            vectors.append(torch.mm(x[:, start:stop], self.embedding[start:stop]))
            start = stop
        fields = torch.stack(vectors, 1)  # [n, fields, members * factors]
        total = fields.sum(1)
        second = 0.5 * (total.square() - torch.mm(x.square(), self.squared))
        # [members, n, fields * factors]
        deep = fields.view(n, len(self.sizes), self.members, self.factors).permute(2, 0, 1, 3).flatten(2)
        hidden = torch.relu(torch.baddbmm(self.deep_bias, deep, self.deep_in)).permute(1, 0, 2).flatten(1)
        learnt = (torch.cat([second, hidden], 1) - self.learnt_mean) * self.learnt_scale
        learnt = learnt.clamp(-self.largest, self.largest)
        logits = torch.mm(x, self.first) + torch.mm(learnt, self.learnt) + self.bias
        return logits, hidden
