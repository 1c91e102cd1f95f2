"""Trains the families of user_portrait: networks on both targets at once, a booster for each of many targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from souk_training.families.boosting import Booster, Library
from souk_training.families.portraits import NEWEST, TIME, PortraitFamily
from souk_training.portrait.cohort import Sample
from souk_training.portrait.fit import TAGS, WIDTHS, department_loss, tag_loss
from souk_training.portrait.network import Scaler
from souk_training.portrait.tags import UNKNOWN


@dataclass(frozen=True)
class Settings:
    """Of all neural families alike, tried on another draw of the folds; penalties of inputs are the shipped ones."""

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
        next_bought = network.logits(x, _cropped(behaviour, rows))[:, TAGS:]
        tags = network.logits(known_x, _cropped(labelled, known))[:, :TAGS]
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
    strength[:TAGS] = settings.tag_penalty * settings.tag_weight
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


def train_trees(library: Library, columns: np.ndarray, labelled: Sample, behaviour: Sample, seed: int) -> list[Booster]:
    """A booster for each group of tags and for each department."""
    known = [labelled.y[:, group] != UNKNOWN for group in range(len(WIDTHS))]
    tag_x = labelled.x[:, columns]
    tags = [
        # Row by row in memory: LightGBM copies what is not.
        library.classes(np.ascontiguousarray(tag_x[rows]), labelled.y[rows, group], width, seed)
        for group, (width, rows) in enumerate(zip(WIDTHS, known, strict=True))
    ]
    x = np.ascontiguousarray(behaviour.x[:, columns])
    return [*tags, *(library.classes(x, bought, 1, seed) for bought in np.ascontiguousarray(behaviour.y.T))]
