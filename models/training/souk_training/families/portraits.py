"""The families behind user_portrait's inputs: a logit per tag and per department, in the shipped model's groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from souk_training.families.boosting import Booster, Library
from souk_training.families.fields import Fields
from souk_training.families.sequence import Beside, Encoder, Events
from souk_training.families.trees import Forest, Nodes
from souk_training.portrait.bags import Bags
from souk_training.portrait.cohort import Sample
from souk_training.portrait.fit import WIDTHS, department_loss, tag_loss
from souk_training.portrait.network import LARGEST, Scaler
from souk_training.portrait.tags import UNKNOWN

# Fields of the bag vector that are bags of values; the rest are plain numbers.
BAG_FIELDS = 4
# Places of the inputs in the manifest's order.
TIME, SEQUENCES = 4, 8
# Events that the sequence model attends to: attention costs their square. Two of three users have no more.
NEWEST = 64


@dataclass(frozen=True)
class Settings:
    """Of all neural families. Penalties and dropout are the shipped network's, nothing was searched."""

    hidden: tuple[int, ...] = (32,)
    dropout: float = 0.3
    epochs: int = 8
    batch: int = 256
    labelled_batch: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    # Of half the squared output weights, beside mean losses.
    tag_penalty: float = 2.0
    department_penalty: float = 0.2
    # Times the penalty, for weights of what a family has learnt to compute.
    learnt: float = 10.0
    # Of the tags' loss and penalty: vectors are learnt from the departments, of which there are far more rows.
    tag_weight: float = 0.1
    input_dropout: float = 0.1


@dataclass(frozen=True)
class Users:
    """Users to learn from: bag vectors, what is known of them, and their encoded sequences."""

    sample: Sample
    # Of the manifest's first `SEQUENCES` inputs, `[n, MAX_EVENTS]` each.
    events: list[Tensor]

    def of(self, rows: np.ndarray) -> Users:
        """The rows where `rows` (bool) is true."""
        index = torch.from_numpy(np.flatnonzero(rows))
        return Users(self.sample.of(rows), [column[index] for column in self.events])


class PortraitFamily(nn.Module):
    """Inputs of the manifest to the logits of each group. A subclass says in `logits` how."""

    def __init__(self, bags: Bags, scaler: Scaler, departments: int):
        super().__init__()
        self.bags, self.groups, self.largest = bags, [*WIDTHS, departments], LARGEST
        # What a user of whom nothing is known gets; see `start`.
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

    def __init__(self, bags: Bags, scaler: Scaler, departments: int, settings: Settings):
        super().__init__(bags, scaler, departments)
        self.newest = NEWEST
        self.steps = Events(bags.categories, bags.departments, bags.stores, bags.brands)
        self.encoder = Encoder(settings.dropout)
        fields = fields_of(scaler)
        self.family = Beside(fields, sum(WIDTHS) + departments, settings.hidden, settings.dropout)

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


def fit(network: PortraitFamily, scaler: Scaler, labelled: Users, behaviour: Users, settings: Settings, seed: int):
    """Trains on both targets at once: each step has some rows of either kind. Returns the network."""
    generator = torch.Generator().manual_seed(seed)
    labels, bought = torch.from_numpy(labelled.sample.y), torch.from_numpy(behaviour.sample.y)
    labelled_x, bought_x = scaler(labelled.sample.x), scaler(behaviour.sample.x)
    steps = settings.epochs * (-(-len(bought) // settings.batch))
    optimizer = torch.optim.AdamW(_groups(network, settings), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, steps + 1, pct_start=0.2)
    network.first_outputs.copy_(first_outputs(labelled.sample.y, behaviour.sample.y))
    network.train()
    for rows in _batches(behaviour, settings, generator):
        known = torch.randint(len(labels), (settings.labelled_batch,), generator=generator)
        x, known_x = (functional.dropout(part, settings.input_dropout) for part in (bought_x[rows], labelled_x[known]))
        next_bought = network.logits(x, _cropped(behaviour, rows))[:, sum(WIDTHS) :]
        tags = network.logits(known_x, _cropped(labelled, known))[:, : sum(WIDTHS)]
        loss = department_loss(next_bought, bought[rows]) + settings.tag_weight * tag_loss(tags, labels[known])
        loss = loss + _penalty(network.family.output_weights(), settings)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    return network.eval()


def first_outputs(classes: np.ndarray, bought: np.ndarray) -> Tensor:
    """Log share of each tag in its group, and log odds of each department."""
    tags = [
        np.log(np.bincount(column[column != UNKNOWN], minlength=width) + 1.0)
        for width, column in zip(WIDTHS, classes.T, strict=True)
    ]
    share = bought.mean(0)
    return torch.from_numpy(np.concatenate([*(group - group.mean() for group in tags), np.log(share / (1 - share))]))


def _penalty(weights: list[Tensor], settings: Settings) -> Tensor:
    """Ridge of the output weights; the first of them are of the inputs themselves."""
    strength = torch.full((weights[0].shape[1],), settings.department_penalty)
    strength[: sum(WIDTHS)] = settings.tag_penalty * settings.tag_weight
    first, *learnt = (0.5 * (part.square().sum(0) * strength).sum() for part in weights)
    return first + settings.learnt * sum(learnt)


def predict(network: PortraitFamily, scaler: Scaler, users: Users) -> np.ndarray:
    """Logits `[n, tags and departments]`."""
    x = scaler(users.sample.x)
    with torch.inference_mode():
        parts = [network.logits(x[rows], _cropped(users, rows)) for rows in torch.arange(len(x)).split(256)]
    return torch.cat(parts).numpy()


def _groups(network: PortraitFamily, settings: Settings) -> list[dict]:
    """Output weights have a penalty of their own, which holds for each output; the others decay."""
    penalised = {id(weights) for weights in network.family.output_weights()}
    others = [parameter for parameter in network.parameters() if id(parameter) not in penalised]
    return [
        {"params": network.family.output_weights(), "weight_decay": 0.0},
        {"params": others, "weight_decay": settings.weight_decay},
    ]


def _batches(users: Users, settings: Settings, generator: torch.Generator) -> Iterator[Tensor]:
    """Batches of every epoch. Sequences of about a length are together, so that they can be cropped."""
    lengths = (users.events[TIME] > 0).sum(1)
    for _ in range(settings.epochs):
        order = torch.randperm(len(lengths), generator=generator)
        stretches = [part[lengths[part].argsort(stable=True)] for part in order.split(8 * settings.batch)]
        batches = torch.cat(stretches).split(settings.batch)
        yield from (batches[place] for place in torch.randperm(len(batches), generator=generator))


def _cropped(users: Users, rows: Tensor) -> list[Tensor]:
    """What is read of some rows' sequences, without the padding that all of them have in front."""
    longest = max(1, min(NEWEST, int((users.events[TIME][rows] > 0).sum(1).max())))
    return [column[rows, -longest:] for column in users.events]


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


def train_trees(library: Library, columns: np.ndarray, labelled: Sample, behaviour: Sample, seed: int) -> list[Booster]:
    """A booster for each group of tags and for each department."""
    known = [labelled.y[:, group] != UNKNOWN for group in range(len(WIDTHS))]
    tags = [
        library.classes(labelled.x[rows][:, columns], labelled.y[rows, group], width, seed)
        for group, (width, rows) in enumerate(zip(WIDTHS, known, strict=True))
    ]
    x = behaviour.x[:, columns]
    return [*tags, *(library.classes(x, bought, 1, seed) for bought in behaviour.y.T)]
