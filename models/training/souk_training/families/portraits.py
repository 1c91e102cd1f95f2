"""The families behind user_portrait's inputs: a logit per tag and per department, in the shipped model's groups."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from souk_training.families.boosting import Booster
from souk_training.families.fields import Fields
from souk_training.families.sequence import Beside, Encoder, Events
from souk_training.families.trees import Forest, Nodes
from souk_training.portrait.bags import Bags
from souk_training.portrait.fit import TAGS, WIDTHS
from souk_training.portrait.network import LARGEST, Scaler

# Fields of the bag vector that are bags of values; the rest are plain numbers.
BAG_FIELDS = 4
# Places of the inputs in the manifest's order.
TIME, SEQUENCES = 4, 8
# Events that the sequence model attends to: attention costs their square. 86 % of the users at an origin have no more.
NEWEST = 64


class PortraitFamily(nn.Module):
    """Inputs of the manifest to the logits of each group. A subclass says in `logits` how."""

    def __init__(self, bags: Bags, scaler: Scaler, departments: int):
        super().__init__()
        self.bags, self.groups, self.largest = bags, [*WIDTHS, departments], LARGEST
        # What a user of whom nothing is known gets; training sets it.
        self.register_buffer("first_outputs", torch.zeros(sum(self.groups)))
        self.register_buffer("columns", torch.from_numpy(scaler.columns))
        self.register_buffer("mean", torch.from_numpy(scaler.mean.astype(np.float32)))
        self.register_buffer("scale", torch.from_numpy((1.0 / scaler.std).astype(np.float32)))

    def logits(self, values: Tensor, events: list[Tensor]) -> Tensor:
        """Standardised bag vectors `[n, width]` and sequences to `[n, tags and departments]`."""
        raise NotImplementedError

    def forward(
        self, category: Tensor, department: Tensor, store: Tensor, brand: Tensor, time: Tensor, price: Tensor,
        quantity: Tensor, discount: Tensor, scalars: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        pooled = self.bags(category, department, store, brand, time, price, quantity, discount, scalars)
        values = (pooled.index_select(1, self.columns) - self.mean) * self.scale
        events = [category, department, store, brand, time, price, quantity, discount]
        logits = self.logits(values.clamp(-self.largest, self.largest), events)
        group = logits.split(self.groups, 1)
        return group[0], group[1], group[2], group[3], group[4], group[5]


class FieldPortrait(PortraitFamily):
    """A family that reads bags and numbers."""

    def __init__(self, bags: Bags, scaler: Scaler, departments: int, family: nn.Module):
        super().__init__(bags, scaler, departments)
        self.family = family

    def logits(self, values: Tensor, events: list[Tensor]) -> Tensor:
        ids = torch.zeros([values.shape[0], 0], dtype=torch.int64)
        return self.family(ids, values) + self.first_outputs


class SequencePortrait(PortraitFamily):
    """The sequence model, on the `NEWEST` events; the bags beside it are of all."""

    def __init__(self, bags: Bags, scaler: Scaler, departments: int, hidden: tuple[int, ...], dropout: float):
        super().__init__(bags, scaler, departments)
        self.newest = NEWEST
        self.steps = Events(bags.categories, bags.departments, bags.stores, bags.brands)
        self.encoder = Encoder(dropout)
        fields = fields_of(scaler)
        self.family = Beside(fields, TAGS + departments, hidden, dropout)

    def logits(self, values: Tensor, events: list[Tensor]) -> Tensor:
        newest = [column[:, -self.newest :] for column in events]
        steps, there = self.steps(
            newest[0], newest[1], newest[2], newest[3], newest[4], newest[5], newest[6], newest[7]
        )
        ids = torch.zeros([values.shape[0], 0], dtype=torch.int64)
        return self.family(self.encoder(steps, there), ids, values) + self.first_outputs


def fields_of(scaler: Scaler) -> Fields:
    """What a family is built from."""
    return Fields(bags=tuple(scaler.sizes[:BAG_FIELDS]), numbers=sum(scaler.sizes[BAG_FIELDS:]))


class TreePortrait(nn.Module):
    """Inputs of the manifest to the margins of each group, by one forest of all boosters.

    Bags are computed in float64 and rounded, as in `families.gmv.TreeColumns` and for its reason.
    """

    def __init__(self, bags: Bags, columns: np.ndarray, boosters: list[Booster], departments: int):
        super().__init__()
        nodes = Nodes.side_by_side([booster.nodes() for booster in boosters])
        nodes.feature = columns[nodes.feature]
        self.bags, self.forest, self.groups = bags, Forest(nodes), [*WIDTHS, departments]

    def forward(
        self, category: Tensor, department: Tensor, store: Tensor, brand: Tensor, time: Tensor, price: Tensor,
        quantity: Tensor, discount: Tensor, scalars: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        pooled = self.bags(
            category, department, store, brand, time.to(torch.float64), price.to(torch.float64),
            quantity.to(torch.float64), discount.to(torch.float64), scalars.to(torch.float64),
        )  # fmt: skip
        group = self.forest(pooled.to(torch.float32)).to(torch.float32).split(self.groups, 1)
        return group[0], group[1], group[2], group[3], group[4], group[5]


class LibraryPortrait(nn.Module):
    """The same by the library itself, float64."""

    def __init__(self, bags: Bags, columns: np.ndarray, boosters: list[Booster], departments: int):
        super().__init__()
        self.bags, self.columns, self.boosters = bags, columns, boosters
        self.groups = [*WIDTHS, departments]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        doubled = [column.double() if column.is_floating_point() else column for column in inputs]
        pooled = self.bags(*doubled).float().numpy()
        margins = margins_of(self.boosters, pooled[:, self.columns])
        return torch.from_numpy(margins).split(self.groups, 1)


def margins_of(boosters: list[Booster], values: np.ndarray) -> np.ndarray:
    """`[n, tags and departments]`, float64."""
    return np.concatenate([booster.margins(values) for booster in boosters], 1)
