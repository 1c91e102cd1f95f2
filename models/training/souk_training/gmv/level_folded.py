"""`RecentLevel` in the form of inference: its numbers but for scales, offsets and spreads, in few operators.

Series are not negative, as the manifest's ranges say: a sign tells whether a day has a record.
"""

import math

import torch
from torch import Tensor, nn

from souk_training.gmv.features import SERIES_DAYS
from souk_training.gmv.network import LARGEST_LOG_RATIO, PRIOR_DAYS, RECENT_DAYS, SMALLEST_LEVEL, RecentLevel

# Days whose log ratios are needed, those of the widest spread; the older ones for spreads only.
SPREAD_DAYS = 56
OLDER_DAYS = SPREAD_DAYS - RECENT_DAYS
# Weights of older days and of no day beside recent ones, in the mean that is the level: so it is that of the recent
# records, else of the older ones, else 1. They are so far apart that the smaller is lost in rounding beside the
# larger, whatever the amounts from SMALLEST_LEVEL to the 1e12 that the manifest allows.
OLDER, NEITHER = 2.0**-80, 2.0**-120
# The count of all records is cut to this and PRIOR_DAYS, with and without a record.
ANY_RECORD = 1.0 + PRIOR_DAYS


class FoldedLevel(nn.Module):
    """Series and dense numbers to `[n, n_columns]`; `columns` gives their names and widths, in order."""

    def __init__(self, trained: RecentLevel, n_dense: int) -> None:
        super().__init__()
        n_windows = trained.grid.shape[1]
        self.columns: dict[str, int] = {
            # Logs of ratios to the level: of single days, of windows, and two that nothing uses.
            "older": OLDER_DAYS, "days": RECENT_DAYS, "ratios": n_windows, "unused ratios": 2,
            # Logs of the level, of 1 + level and of 1 + orders of the recent days.
            "log level": 1, "level": 1, "orders": 1,
            # Records of each window, with the prior; of all days, cut; and one that nothing uses.
            "shares": n_windows, "any record": 1, "unused count": 1, "dense": n_dense,
        }  # fmt: skip
        self.n_logs = SPREAD_DAYS + n_windows + 5
        self.first_day, self.spread_days = SERIES_DAYS - SPREAD_DAYS, SPREAD_DAYS
        self.level_column = n_windows + 1
        self.smallest_level = SMALLEST_LEVEL
        self.smallest_ratio, self.largest_ratio = math.exp(-LARGEST_LOG_RATIO), math.exp(LARGEST_LOG_RATIO)
        recent = (torch.arange(SERIES_DAYS) >= SERIES_DAYS - RECENT_DAYS).float()[:, None]
        level = torch.where(recent > 0, 1.0, OLDER)
        self.register_buffer("recent", recent)
        self.register_buffer("grid", torch.cat([trained.grid, torch.ones_like(recent), level], 1))
        self.register_buffer("prior", torch.tensor([PRIOR_DAYS] * (n_windows + 1) + [0.0]))
        self.register_buffer("sum_offset", torch.tensor([0.0] * (n_windows + 1) + [NEITHER]))
        self.register_buffer("count_offset", self.prior + self.sum_offset)
        self.register_buffer("most_counts", torch.tensor([math.inf] * n_windows + [ANY_RECORD, math.inf]))
        self.register_buffer("one", torch.ones(1))

    def forward(self, gmv: Tensor, orders: Tensor, dense: Tensor) -> Tensor:
        sums = torch.addmm(self.sum_offset, gmv, self.grid)
        counts = torch.addmm(self.count_offset, torch.sign(gmv), self.grid).clamp_max_(self.most_counts)
        level = sums.narrow(1, self.level_column, 1) / counts.narrow(1, self.level_column, 1)
        level.clamp_min_(self.smallest_level)
        ratios = torch.addcdiv(self.prior, sums, level).div_(counts)
        days = gmv.narrow(1, self.first_day, self.spread_days) / level
        # A day without a record is as the level.
        days = torch.threshold_(days, 0.0, 1.0).clamp_(self.smallest_ratio, self.largest_ratio)
        volume = torch.addmm(self.one, orders, self.recent)
        columns = torch.cat([days, ratios, level, level + 1.0, volume, counts, dense], 1)
        columns.narrow(1, 0, self.n_logs).log_()
        return columns
