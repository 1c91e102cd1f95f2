"""Trains in two stages: embeddings on what all users buy next, then the heads on top of them.

Some hundred labelled users are too few to learn embeddings from: trained on them, the second-order and
deep parts did worse than a linear model. What a user buys next needs no labels, so the embeddings, the
factors and the deep part learn that from all users. The heads are linear in the bags, the second-order
terms and the hidden layers, and each is the optimum of a convex problem: nothing to stop early.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from souk_training.portrait.cohort import Sample
from souk_training.portrait.network import Head, Members, Scaler
from souk_training.portrait.tags import DEMOGRAPHICS, UNKNOWN

WIDTHS = [len(group.labels) for group in DEMOGRAPHICS]
TAGS = sum(WIDTHS)
# Of L-BFGS at most.
ITERATIONS = 80


@dataclass(frozen=True)
class Settings:
    """Everything that was chosen, on folds drawn otherwise than those of the reported validation."""

    members: int = 8
    factors: int = 8
    hidden: int = 32
    epochs: int = 8
    batch: int = 256
    learning_rate: float = 3e-3
    dropout: float = 0.3
    input_dropout: float = 0.1
    weight_decay: float = 0.1
    # Of half the squared weights, beside mean losses: a logistic regression with C = 1 / (n * this).
    tag_penalty: float = 2.0
    department_penalty: float = 0.2
    # Times the penalty: of each field in the order of `Bags.fields`, of the second-order terms and of the
    # hidden layers. Departments have rows enough to weigh all alike.
    tag_penalties: tuple[float, ...] = (1.0, 2.0, 2.0, 0.5, 0.5, 1.0, 3.0, 10.0)
    department_penalties: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 20.0)
    # How far the kinship of neighbouring labels reaches, in labels.
    reach: float = 2.0
    # Weight of the correlation between labels of different groups.
    across: float = 0.15


@dataclass(frozen=True)
class Trained:
    """All that scoring needs."""

    scaler: Scaler
    members: Members
    head: Head  # tags first, then departments

    def logits(self, x: np.ndarray) -> np.ndarray:
        """`[n, TAGS + departments]` of bag vectors `[n, width]`."""
        scaled = self.scaler(x)
        with torch.inference_mode():
            return self.head(scaled, *self.members.parts(scaled)).numpy()


def train(
    labelled: Sample, behaviour: Sample, fields: list[tuple[str, int]], settings: Settings, seed: int,
    progress: Callable[[], object] = lambda: None,
) -> Trained:  # fmt: skip
    """Trains on these users alone; `progress` is called after every epoch."""
    scaler = Scaler.fit(labelled.x, fields)
    bought_x, bought = scaler(behaviour.x), torch.from_numpy(behaviour.y)
    members = pretrain(scaler, bought_x, bought, settings, seed, progress)
    x, classes = scaler(labelled.x), torch.from_numpy(labelled.y)
    learnt = (members, *standardisation(members, x))
    tags = fit_head(
        learnt, x, TAGS, settings.tag_penalty * _spread(members, settings.tag_penalties),
        lambda logits: tag_loss(logits, classes), kinship(labelled.y, settings),
    )  # fmt: skip
    departments = fit_head(
        learnt, bought_x, bought.shape[1],
        settings.department_penalty * _spread(members, settings.department_penalties),
        lambda logits: department_loss(logits, bought), torch.eye(bought.shape[1]),
    )  # fmt: skip
    return Trained(scaler, members, _side_by_side(tags, departments))


def _side_by_side(tags: Head, departments: Head) -> Head:
    """One head with the outputs of both."""
    first = torch.cat([tags.first, departments.first], 1)
    learnt = torch.cat([tags.learnt, departments.learnt], 1)
    return Head(first, learnt, torch.cat([tags.bias, departments.bias]), tags.mean, tags.std)


def pretrain(scaler, x: Tensor, bought: Tensor, settings: Settings, seed: int, progress) -> Members:
    """Embeddings, factors and deep part, by what users buy in the horizon."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    first, bias = _linear_optimum(x, bought, settings)
    net = Members(
        scaler.sizes, first, bias, members=settings.members, factors=settings.factors, hidden=settings.hidden,
        dropout=settings.dropout, input_dropout=settings.input_dropout,
    )  # fmt: skip
    batches = len(x) // settings.batch + 1
    optimizer = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * batches + 1, pct_start=0.2
    )
    net.train()
    for _ in range(settings.epochs):
        for rows in torch.randperm(len(x), generator=generator).split(settings.batch):
            loss = department_loss(net(x[rows]), bought[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        progress()
    return net.eval()


def tag_loss(logits: Tensor, classes: Tensor) -> Tensor:
    """Sum over groups of the mean cross-entropy of `[n, TAGS]`; blanks are left out."""
    loss = logits.new_zeros(())
    for group, part in enumerate(logits.split(WIDTHS, 1)):
        loss = loss + functional.cross_entropy(part, classes[:, group], ignore_index=UNKNOWN)
    return loss


def department_loss(logits: Tensor, bought: Tensor) -> Tensor:
    """Sum over departments of the mean binary cross-entropy of `[..., n, departments]`."""
    losses = functional.binary_cross_entropy_with_logits(logits, bought.expand_as(logits), reduction="none")
    return losses.flatten(0, -2).mean(0).sum()


def kinship(classes: np.ndarray, settings: Settings) -> Tensor:
    """`[TAGS, TAGS]`: how far a weight learnt for one label holds for another.

    Within an ordered group it falls off with the distance of the labels, between groups it follows the
    labels' correlation among the training users. Logits are `x W K + b`, which is ridge regression on
    W with a prior covariance of `K' K` between labels.
    """
    known = classes != UNKNOWN
    one_hot = [
        np.where(known[:, [g]], np.eye(width)[np.maximum(classes[:, g], 0)], np.nan) for g, width in enumerate(WIDTHS)
    ]
    correlation = np.ma.corrcoef(np.ma.masked_invalid(np.concatenate(one_hot, 1)), rowvar=False).filled(0.0)
    tied = settings.across * torch.from_numpy(correlation).float()
    start = 0
    for group, width in zip(DEMOGRAPHICS, WIDTHS):
        apart = (torch.arange(width)[:, None] - torch.arange(width)).abs().float()
        block = torch.exp(-apart / settings.reach) if group.ordinal else torch.eye(width)
        tied[start : start + width, start : start + width] = block
        start += width
    return tied


def standardisation(members: Members, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of the learnt parts over `x`; deviations that are almost 0 are not blown up."""
    with torch.inference_mode():
        learnt = torch.cat(members.parts(x), 1)
    return learnt.mean(0).clone(), learnt.std(0).clone() + 1e-3


def fit_head(
    trained: tuple[Members, Tensor, Tensor], x: Tensor, outputs: int, penalties: Tensor,
    loss_of: Callable[[Tensor], Tensor], tied: Tensor,
) -> Head:  # fmt: skip
    """The optimum of `loss_of(logits)` plus the penalties. `tied` is the kinship of the outputs.

    `trained` are the members, and mean and deviation of their learnt parts.
    """
    members, mean, std = trained
    empty = torch.zeros(0)
    with torch.inference_mode():
        learnt = Head(empty, empty, empty, mean, std).standardised(*members.parts(x))
    weights, bias = _optimum(torch.cat([x, learnt], 1).clone(), outputs, loss_of, penalties, tied)
    first, upper = weights.split([x.shape[1], learnt.shape[1]])
    return Head(first.contiguous(), upper.contiguous(), bias, mean, std)


def _spread(members: Members, factors: tuple[float, ...]) -> Tensor:
    """The factor of each column of the bags and the learnt parts."""
    count = members.members
    widths = [*members.sizes, count * members.factors, count * members.deep_out.shape[1]]
    return torch.cat([torch.full((width,), factor) for width, factor in zip(widths, factors, strict=True)])


def _linear_optimum(x: Tensor, bought: Tensor, settings: Settings) -> tuple[Tensor, Tensor]:
    """First-order weights of the departments alone."""
    penalties = torch.full((x.shape[1],), settings.department_penalty)
    return _optimum(x, bought.shape[1], lambda z: department_loss(z, bought), penalties, torch.eye(bought.shape[1]))


def _optimum(x: Tensor, outputs: int, loss_of, penalties: Tensor, tied: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (times kinship) and bias at the minimum of a convex loss, by L-BFGS."""
    # Columns are scaled so that one penalty of 1 holds for all: unequal penalties would slow L-BFGS down.
    scale = penalties.rsqrt()
    x = x * scale
    weights = torch.zeros(x.shape[1], outputs, requires_grad=True)
    bias = torch.zeros(outputs, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = loss_of(x @ weights @ tied + bias) + 0.5 * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (scale[:, None] * (weights @ tied)).detach(), bias.detach()
