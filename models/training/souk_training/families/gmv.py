"""The families behind merchant_gmv's inputs: neural ones with the `ziln` head, trees with a `point` head."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from souk_training.deepfm import field_cardinalities
from souk_training.families.boosting import Booster, Library
from souk_training.families.fields import Fields
from souk_training.families.sequence import Beside, Encoder, Weeks
from souk_training.families.trees import Forest
from souk_training.gmv import HORIZON_DAYS
from souk_training.gmv.dataset import Part, Split
from souk_training.gmv.features import DENSE, IDS, SERIES_DAYS
from souk_training.gmv.network import FIRST_OUTPUTS, LARGEST_LOG_RATIO, N_OUTPUTS, RecentLevel, RelativeForecast
from souk_training.gmv.objective import target
from souk_training.gmv.train import Settings

SETTINGS = Settings(members=1)
# Combinations that a merchant would think of: what is sold where, and at which price and fame.
CROSSES = (
    ("city", "category_l2"),
    ("city", "category_l3"),
    ("category_l3", "average_basket"),
    ("category_l2", "review_count"),
)
# Trees learn cities and holidays by heart.
TREE_CATEGORIES = ("category_l1", "category_l2", "category_l3")
TREE_NUMBERS = tuple(name for name in DENSE if name != "holidays_in_horizon")


def fields_of(split: Split) -> Fields:
    """What a family is built from."""
    return Fields(
        cardinalities=tuple(field_cardinalities(split.encoding["features"], list(IDS))),
        numbers=len(DENSE) + RecentLevel().n_features,
        crosses=tuple((IDS.index(left), IDS.index(right)) for left, right in CROSSES),
    )


class FieldForecast(RelativeForecast):
    """A family that reads ids and numbers: `[1, n, 3]` raw outputs."""

    def __init__(self, family: nn.Module):
        super().__init__()
        self.family = family
        self.register_buffer("first_outputs", torch.tensor(FIRST_OUTPUTS))

    def raw(self, ids: Tensor, numbers: Tensor, relative: Tensor) -> Tensor:
        return (self.family(ids, numbers) + self.first_outputs).unsqueeze(0)


class SequenceForecast(RelativeForecast):
    """The sequence model, on 16 weeks of daily GMV."""

    def __init__(self, fields: Fields, hidden: tuple[int, ...], dropout: float):
        super().__init__()
        self.weeks, self.encoder = Weeks(SERIES_DAYS, LARGEST_LOG_RATIO), Encoder(dropout)
        self.beside = Beside(fields, N_OUTPUTS, hidden, dropout)
        self.register_buffer("first_outputs", torch.tensor(FIRST_OUTPUTS))

    def raw(self, ids: Tensor, numbers: Tensor, relative: Tensor) -> Tensor:
        steps, there = self.weeks(relative)
        return (self.beside(self.encoder(steps, there), ids, numbers) + self.first_outputs).unsqueeze(0)


class TreeColumns(nn.Module):
    """The inputs as trees want them: numbers float32 `[n, columns]`, and log level float64 `[n]`.

    Sums are computed in float64 and then rounded: a batch of another size may add in another order, and a value that
    differs in its last digit may fall on the other side of a threshold.
    """

    def __init__(self, cardinalities: list[int]):
        super().__init__()
        self.level = RecentLevel().double()
        places = [IDS.index(name) for name in TREE_CATEGORIES]
        columns = [(place, value) for place in places for value in range(1, cardinalities[place])]
        self.register_buffer("fields", torch.tensor([place for place, _ in columns]))
        self.register_buffer("wanted", torch.tensor([value for _, value in columns]))
        self.register_buffer("numbers", torch.tensor([DENSE.index(name) for name in TREE_NUMBERS]))
        self.log_horizon = math.log(HORIZON_DAYS)

    def forward(self, ids: Tensor, dense: Tensor, gmv: Tensor, orders: Tensor) -> tuple[Tensor, Tensor]:
        level, _, relative = self.level(gmv.to(torch.float64), orders.to(torch.float64))
        categories = (ids.index_select(1, self.fields) == self.wanted).to(torch.float32)
        numbers = dense.index_select(1, self.numbers)
        values = torch.cat([relative.to(torch.float32), numbers, categories], 1)
        return values, level.log().squeeze(1) + self.log_horizon


class TreeForecast(nn.Module):
    """What is served: inputs to the expected GMV, `[n, 1]` float32."""

    def __init__(self, columns: TreeColumns, booster: Booster):
        super().__init__()
        self.columns, self.forest = columns, Forest(booster.nodes())

    def forward(self, ids: Tensor, dense: Tensor, daily_gmv: Tensor, daily_orders: Tensor) -> Tensor:
        values, log_level = self.columns(ids, dense, daily_gmv, daily_orders)
        return torch.exp(self.forest(values).squeeze(1) + log_level).to(torch.float32).unsqueeze(1)


class LibraryForecast(nn.Module):
    """The same by the library itself, float64."""

    def __init__(self, columns: TreeColumns, booster: Booster):
        super().__init__()
        self.columns, self.booster = columns, booster

    def forward(self, ids: Tensor, dense: Tensor, daily_gmv: Tensor, daily_orders: Tensor) -> Tensor:
        values, log_level = self.columns(ids, dense, daily_gmv, daily_orders)
        margins = torch.from_numpy(self.booster.margins(values.numpy()))
        return torch.exp(margins + log_level.unsqueeze(1))


def train_trees(library: Library, split: Split, seed: int) -> tuple[TreeForecast, LibraryForecast]:
    """The booster of log ratios to the level, as tensors and as the library has it."""
    columns = TreeColumns(field_cardinalities(split.encoding["features"], list(IDS)))
    booster = library.forecast(*_learnt_from(columns, split.train), *_learnt_from(columns, split.validation), seed)
    return TreeForecast(columns, booster), LibraryForecast(columns, booster)


def _learnt_from(columns: TreeColumns, part: Part) -> tuple[np.ndarray, np.ndarray]:
    with torch.inference_mode():
        values, log_level = columns(*part.inputs)
    return values.numpy(), target(part.gmv, log_level.float()).log_ratio.numpy()
