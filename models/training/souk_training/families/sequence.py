"""A behaviour-sequence model: a small transformer reads what happened, one step at a time.

After Chen et al. (2019), "Behavior Sequence Transformer", arXiv:1905.06874, with a learnt query in place of a
target item (as in Zhou et al. 2018, "Deep Interest Network", arXiv:1706.06978, attention decides what counts).
Steps have no place numbers: each says how long ago it was.
"""

import math

import torch
from torch import Tensor, nn

from souk_training.families.fields import Deep, Fields, FirstOrder, small_weights

WIDTH, HEADS = 32, 2
# Score of a step that is not there: finite, so that a row without any step is no NaN.
ABSENT = -1e4


class Encoder(nn.Module):
    """Steps `[n, length, WIDTH]` and which are there, 0/1 `[n, length]`, to `[n, WIDTH]`.

    One layer of self-attention and one of rectified units, each beside the identity, then attention by a learnt query.
    """

    def __init__(self, dropout: float):
        super().__init__()
        self.heads, self.absent, self.scale = HEADS, ABSENT, math.sqrt(WIDTH // HEADS)
        self.before_attention, self.before_units = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.project = nn.Linear(WIDTH, 3 * WIDTH)
        self.merge = nn.Linear(WIDTH, WIDTH)
        self.units = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.ReLU(), nn.Linear(2 * WIDTH, WIDTH))
        self.query = nn.Parameter(torch.randn(WIDTH) * 0.1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, steps: Tensor, there: Tensor) -> Tensor:
        mask = (1.0 - there) * self.absent
        x = steps + self.dropout(self.attend(self.before_attention(steps), mask))
        x = x + self.dropout(self.units(self.before_units(x)))
        weights = torch.softmax(x @ self.query + mask, 1)
        return (weights.unsqueeze(2) * x).sum(1)

    def attend(self, x: Tensor, mask: Tensor) -> Tensor:
        """Self-attention among the steps of each row."""
        n, length = x.shape[0], x.shape[1]
        parts = self.project(x).view(n, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = parts[0] @ parts[1].transpose(2, 3) / self.scale + mask.view(n, 1, 1, length)
        mixed = torch.softmax(scores, 3) @ parts[2]
        return self.merge(mixed.transpose(1, 2).reshape(n, length, -1))


class Weeks(nn.Module):
    """Daily series relative to the level, `[n, days]`, as steps of a week: `[n, days / 7, WIDTH]`."""

    def __init__(self, days: int, largest_log_ratio: float):
        super().__init__()
        self.largest_log_ratio = largest_log_ratio
        self.project = nn.Linear(14, WIDTH)
        self.place = nn.Parameter(torch.randn(days // 7, WIDTH) * 0.1)

    def forward(self, relative: Tensor) -> tuple[Tensor, Tensor]:
        recorded = (relative > 0).to(relative.dtype)
        logs = torch.log(torch.where(relative > 0, relative, torch.ones_like(relative)))
        logs = logs.clamp(-self.largest_log_ratio, self.largest_log_ratio)
        weeks = torch.cat([logs.view(logs.shape[0], -1, 7), recorded.view(logs.shape[0], -1, 7)], 2)
        there = (recorded.view(logs.shape[0], -1, 7).sum(2) > 0).to(relative.dtype)
        return self.project(weeks) + self.place, there


class Events(nn.Module):
    """Columns of events, each `[n, length]`, as steps `[n, length, WIDTH]`."""

    def __init__(self, categories: int, departments: int, stores: int, brands: int):
        """Sizes of the vocabularies, id 0 included."""
        super().__init__()
        self.category, self.department = nn.Embedding(categories, WIDTH), nn.Embedding(departments, WIDTH)
        self.store, self.brand = nn.Embedding(stores, WIDTH), nn.Embedding(brands, WIDTH)
        for table in (self.category, self.department, self.store, self.brand):
            nn.init.normal_(table.weight, std=0.1)
        self.project = nn.Linear(5, WIDTH)

    def forward(
        self, category: Tensor, department: Tensor, store: Tensor, brand: Tensor, time: Tensor, price: Tensor,
        quantity: Tensor, discount: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        there = ((time > 0) | (category > 0) | (store > 0)).to(time.dtype)
        ago = torch.log1p(time)
        numbers = torch.stack([ago / 4.0, torch.exp(-time / 28.0), price, quantity.clamp(max=3.0), discount], 2)
        ids = self.category(category) + self.department(department) + self.store(store) + self.brand(brand)
        return ids + self.project(numbers), there


class Beside(nn.Module):
    """What the sequence says beside the other inputs: first order, and a deep part over both; `[n, outputs]`."""

    def __init__(self, fields: Fields, outputs: int, hidden: tuple[int, ...], dropout: float):
        super().__init__()
        self.first, self.bag_columns = FirstOrder(fields, outputs), sum(fields.bags)
        self.deep = Deep(WIDTH + fields.numbers, hidden, dropout)
        self.last = small_weights(hidden[-1], outputs)

    def forward(self, read: Tensor, ids: Tensor, values: Tensor) -> Tensor:
        hidden = self.deep(torch.cat([read, values[:, self.bag_columns :]], 1))
        return self.first(ids, values) + hidden @ self.last

    def output_weights(self) -> list[Tensor]:
        """Weights `[*, outputs]`, which training keeps small."""
        return [self.first.weights, self.last]
