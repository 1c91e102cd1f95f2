"""What the network is trained on: a loss per head parameter, and the shocks that all shops share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, huber_loss

# Log ratios to the recent level beyond this (a factor of 2.7) are closures and openings. They count as
# this much, so that a few of them cannot pull the forecasts of all.
LARGEST_TARGET = 1.0
HUBER_DELTA = 0.1
# Quantile of the standard normal at 90 %: the interval that sigma is trained on.
Z_90 = 1.2815515655446004
ACTIVE_WEIGHT, SIGMA_WEIGHT, SHOCK_WEIGHT = 0.3, 0.3, 0.001


class Shocks(nn.Module):
    """What happened to all shops of an origin alike, or to all of a category: a random effect.

    There are few origins and tens of thousands of rows. Without it the network explains a month that was
    good for everybody by whatever shops had in common then, and expects it again. At an origin not trained
    on the shock is unknown, so it is 0.
    """

    def __init__(self, n_origins: int, n_categories: int):
        super().__init__()
        self.of_origin = nn.Parameter(torch.zeros(n_origins))
        self.of_category = nn.Parameter(torch.zeros(n_origins, n_categories))

    def forward(self, origin: Tensor, category: Tensor) -> Tensor:
        return self.of_origin[origin] + self.of_category[origin, category]

    def penalty(self) -> Tensor:
        """Ridge: a shock must be shared by many shops to be believed."""
        return SHOCK_WEIGHT * (self.of_origin.square().sum() + self.of_category.square().sum())


@dataclass(frozen=True)
class Target:
    """`active` 0/1 and the log ratio of GMV to the recent level, `[n]` each; the ratio counts where active."""

    active: Tensor
    log_ratio: Tensor


def target(gmv: Tensor, log_level: Tensor) -> Target:
    """Outcomes `[n]` and log levels `[n]` of the network."""
    log_ratio = torch.log(gmv.clamp(min=1.0)) - log_level
    return Target((gmv > 0).float(), log_ratio.clamp(-LARGEST_TARGET, LARGEST_TARGET))


def loss(outputs: Tensor, shocks: Tensor, wanted: Target) -> Tensor:
    """Mean over members and rows; `outputs` is `[members, n, 3]`: logit, delta, sigma; `shocks` is `[n]`."""
    logit, delta, sigma = outputs.unbind(2)
    error = huber_loss(delta + shocks, wanted.log_ratio.expand_as(delta), reduction="none", delta=HUBER_DELTA)
    inactive = binary_cross_entropy_with_logits(logit, wanted.active.expand_as(logit))
    interval = _interval_loss(wanted.log_ratio - delta.detach(), sigma)
    amounts = (error / HUBER_DELTA + SIGMA_WEIGHT * interval) * wanted.active
    return amounts.mean() + ACTIVE_WEIGHT * inactive


def _interval_loss(residual: Tensor, sigma: Tensor) -> Tensor:
    """Pinball loss of the central 80 % interval (Koenker, Bassett 1978).

    The likelihood would let the few shops that closed widen the interval of all the others.
    """
    return _pinball(residual - Z_90 * sigma, 0.9) + _pinball(residual + Z_90 * sigma, 0.1)


def _pinball(difference: Tensor, probability: float) -> Tensor:
    return torch.maximum(probability * difference, (probability - 1) * difference)
