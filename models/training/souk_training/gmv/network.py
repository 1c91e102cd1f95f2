"""The network of `merchant_gmv`: everything relative to the shop's own recent level.

A shop's level says nearly all about its next four weeks. So the level is computed from the series, the
DeepFM only learns by which factor the coming weeks differ from it, and how sure that is.
"""

import math
from typing import Final

import torch
from torch import Tensor, nn

from souk_training.deepfm import DeepFM
from souk_training.gmv import HORIZON_DAYS
from souk_training.gmv.features import SERIES_DAYS

RECENT_DAYS = 28
# (newest, oldest) age in days of the windows whose means and records are compared with the recent level.
WINDOWS = (
    (0, 1), (1, 2), (2, 3), (0, 3), (0, 7), (7, 14), (14, 21), (21, 28), (0, 14), (0, 28),
    (28, 42), (28, 56), (56, 84), (84, 112), (56, 112),
)  # fmt: skip
# Days added at the recent level to each window: a mean over few records is drawn towards it, and a
# window without a record says "as ever".
PRIOR_DAYS = 0.5
# One hundredth of the currency's unit a day: keeps ratios to the level finite, whatever is sent.
SMALLEST_LEVEL = 0.01
# Log ratios of single days beyond this are cut: they are closures and errors, not sales.
LARGEST_LOG_RATIO = 3.0
# Affine maps that bring numbers to about -1 to 1: the share of recorded days, and log1p of level and orders.
SHARE_OFFSET = -0.9
VOLUME_SCALE, VOLUME_OFFSET = 0.2, -1.2
# The factor by which a forecast may differ from the level, as a log.
LARGEST_DELTA = 4.0
SMALLEST_SIGMA, LARGEST_SIGMA = 0.05, 2.0
# A series without a single record: the data hold none with an outcome worth learning from (nearly all
# shops in them are alive at their end), so the probability of sales is set low by hand.
NO_RECORD_LOGIT = -8.0
N_OUTPUTS = 3
# Raw outputs before training: active, at the level, a log error of about 0.2.
FIRST_OUTPUTS = (4.0, 0.0, -1.5)


def windows() -> Tensor:
    """0/1 `[SERIES_DAYS, n_windows]`: the windows above, then each day of the week over the recent days."""
    age = torch.arange(SERIES_DAYS - 1, -1, -1)
    spans = [(age >= newest) & (age < oldest) for newest, oldest in WINDOWS]
    weekdays = [(age < RECENT_DAYS) & (age % 7 == day) for day in range(7)]
    return torch.stack([*spans, *weekdays], 1).float()


class RecentLevel(nn.Module):
    """Two series to level `[n, 1]` (GMV per recorded day), whether there is any record, and numbers relative to it."""

    # TorchScript reads constants of a class, not of a file.
    prior_days: Final[float] = PRIOR_DAYS
    smallest_level: Final[float] = SMALLEST_LEVEL
    largest_log_ratio: Final[float] = LARGEST_LOG_RATIO
    share_offset: Final[float] = SHARE_OFFSET
    volume_scale: Final[float] = VOLUME_SCALE
    volume_offset: Final[float] = VOLUME_OFFSET
    recent_span: Final[int] = RECENT_DAYS
    recent: Final[int] = WINDOWS.index((0, RECENT_DAYS))

    def __init__(self) -> None:
        super().__init__()
        grid = windows()
        self.register_buffer("grid", grid)
        self.register_buffer("lengths", grid.sum(0))
        spread = torch.stack([torch.arange(SERIES_DAYS) >= SERIES_DAYS - days for days in (7, 28, 56)], 1)
        self.register_buffer("spread_grid", spread.float() / spread.sum(0))
        self.n_features = 2 * grid.shape[1] + RECENT_DAYS + 3 + 2

    def forward(self, gmv: Tensor, orders: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        recorded = (gmv > 0).to(gmv.dtype)
        sums, counts = gmv @ self.grid, recorded @ self.grid
        total, days = gmv.sum(1, keepdim=True), recorded.sum(1, keepdim=True)
        recent_sum, recent_days = sums[:, self.recent, None], counts[:, self.recent, None]
        level = torch.where(recent_days > 0, recent_sum / recent_days.clamp(min=1), total / days.clamp(min=1))
        level = torch.where(days > 0, level.clamp(min=self.smallest_level), torch.ones_like(level))
        # A ratio before the log, not a difference of logs: no digits cancel.
        ratios = torch.log((sums / level + self.prior_days) / (counts + self.prior_days))
        daily = torch.log(torch.where(gmv > 0, gmv / level, 1.0)).clamp(-self.largest_log_ratio, self.largest_log_ratio)
        spread = torch.sqrt(daily.square() @ self.spread_grid)
        volume = torch.cat([level, orders[:, -self.recent_span :].sum(1, keepdim=True)], 1)
        volume = torch.log1p(volume) * self.volume_scale + self.volume_offset
        recorded_share = counts / self.lengths + self.share_offset
        numbers = [ratios, recorded_share, daily[:, -self.recent_span :], spread, volume]
        return level, days, torch.cat(numbers, 1)


class RelativeForecast(nn.Module):
    """Inputs of the manifest to `ziln` `[n, 3]`: logit of P(GMV > 0), mu and sigma of log GMV.

    A subclass says in `raw` how ids and numbers become the raw outputs of its members.
    """

    largest_delta: Final[float] = LARGEST_DELTA
    smallest_sigma: Final[float] = SMALLEST_SIGMA
    largest_sigma: Final[float] = LARGEST_SIGMA
    no_record_logit: Final[float] = NO_RECORD_LOGIT
    log_horizon: Final[float] = math.log(HORIZON_DAYS)

    def __init__(self) -> None:
        super().__init__()
        self.recent_level = RecentLevel()

    def raw(self, ids: Tensor, numbers: Tensor, relative: Tensor) -> Tensor:
        """`[members, n, 3]`; `relative` `[n, SERIES_DAYS]` is each day's GMV over the level, 0 = no record."""
        raise NotImplementedError

    def members(self, ids: Tensor, dense: Tensor, gmv: Tensor, orders: Tensor) -> tuple[Tensor, Tensor]:
        """Each member's own `[members, n, 3]` (logit, delta, sigma), and log level `[n, 1]`."""
        level, days, numbers = self.recent_level(gmv, orders)
        raw = self.raw(ids, torch.cat([dense, numbers], 1), gmv / level)
        logit, delta, spread = raw.unbind(2)
        logit = logit + torch.where(days > 0, 0.0, self.no_record_logit).squeeze(1)
        delta = delta.clamp(-self.largest_delta, self.largest_delta)
        sigma = nn.functional.softplus(spread).clamp(self.smallest_sigma, self.largest_sigma)
        return torch.stack([logit, delta, sigma], 2), torch.log(level) + self.log_horizon

    def forward(self, ids: Tensor, dense: Tensor, daily_gmv: Tensor, daily_orders: Tensor) -> Tensor:
        outputs, log_level = self.members(ids, dense, daily_gmv, daily_orders)
        logit, delta, sigma = outputs.mean(0).unbind(1)
        return torch.stack([logit, log_level.squeeze(1) + delta, sigma], 1)


class GmvNetwork(RelativeForecast):
    """The DeepFM that is served."""

    def __init__(self, cardinalities: list[int], n_dense: int, members: int, hidden: tuple[int, ...], dropout: float):
        super().__init__()
        n_numbers = n_dense + self.recent_level.n_features
        self.deepfm = DeepFM(cardinalities, n_numbers, N_OUTPUTS, 8, hidden, members, dropout)
        with torch.no_grad():
            self.deepfm.last.weight *= 0.1
            self.deepfm.bias += torch.tensor(FIRST_OUTPUTS)

    def raw(self, ids: Tensor, numbers: Tensor, relative: Tensor) -> Tensor:
        return self.deepfm(ids, numbers)
