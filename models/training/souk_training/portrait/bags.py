"""Turns a user's encoded sequences into one vector of counts and means, inside the served graph.

The server sends what the user did; what is counted from it belongs to the model, so that a new count
needs no change of the server. Rows never meet: each is pooled over its own events only.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# Days in which the weight of an event falls by e, for counts that favour the recent.
DECAY_DAYS = (14.0, 56.0)
# log1p of 20 units: beyond it are weights of fuel in thousandths of a gallon, not units.
LARGEST_LOG_QUANTITY = 3.0
DAY_HARMONICS = (1.0, 2.0)
WEEK_HARMONICS = (1.0, 2.0, 3.0)
# Two lines bought less than this many days (9 s) apart are of one basket.
SAME_BASKET_DAYS = 1e-4
MEANS = (
    "log lines", "log baskets", "log lines per basket", "log spend", "mean log price", "deviation of log price",
    "discount share", "mean log quantity", "share with discount", "log days since last purchase",
)  # fmt: skip


class Bags(nn.Module):
    """Sequences `[n, L]` and scalars `[n, 4]` -> `[n, width]`, not yet standardised; of the numbers' dtype."""

    def __init__(self, categories: int, departments: int, stores: int, brands: int, scalars: int):
        """Sizes of the vocabularies, id 0 included."""
        super().__init__()
        self.categories, self.departments = categories, departments
        self.stores, self.brands, self.scalars = stores, brands, scalars
        # TorchScript reads no globals.
        self.fast, self.slow = DECAY_DAYS
        self.largest_log_quantity, self.same_basket_days = LARGEST_LOG_QUANTITY, SAME_BASKET_DAYS
        self.day_harmonics, self.week_harmonics = list(DAY_HARMONICS), list(WEEK_HARMONICS)

    def fields(self) -> list[tuple[str, int]]:
        """Name and width of each field, in the vector's order."""
        harmonics = 2 * (len(DAY_HARMONICS) + len(WEEK_HARMONICS))
        return [
            ("category", self.categories),
            ("department", self.departments),
            ("recent_department", len(DECAY_DAYS) * self.departments),
            ("store", self.stores),
            ("habits", self.brands + len(MEANS) + self.scalars - 1),
            ("hours", harmonics),
        ]

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
    ) -> Tensor:
        # Padding has time 0 and ids 0; an event of the last microsecond with nothing known is nobody's loss.
        there = ((time > 0) | (category > 0) | (store > 0)).to(time.dtype)
        lines = there.sum(1, keepdim=True)
        share = there / lines.clamp(min=1.0)
        stores = self.count(store, there, self.stores)
        parts = [
            torch.log1p(self.count(category, there, self.categories)),
            torch.log1p(self.count(department, there, self.departments)),
            torch.log1p(4.0 * self.count(department, there * torch.exp(-time / self.fast), self.departments)),
            torch.log1p(2.0 * self.count(department, there * torch.exp(-time / self.slow), self.departments)),
            torch.log1p(stores),
            self.count(brand, share, self.brands),
            self.means(there, lines, share, time, price, quantity, discount),
            scalars[:, : self.scalars - 1],
            self.hours(share, time, scalars[:, self.scalars - 1 :]),
        ]
        return torch.cat(parts, 1)

    def count(self, ids: Tensor, weight: Tensor, size: int) -> Tensor:
        """Sum of the weights of each id, `[n, size]`."""
        counts = torch.zeros(ids.shape[0], size, dtype=weight.dtype, device=weight.device)
        return counts.scatter_add(1, ids, weight)

    def means(
        self,
        there: Tensor,
        lines: Tensor,
        share: Tensor,
        time: Tensor,
        price: Tensor,
        quantity: Tensor,
        discount: Tensor,
    ) -> Tensor:
        """The numbers of `MEANS`, `[n, 10]`. price, quantity and discount come as log1p."""
        later = there[:, 1:] * there[:, :-1] * (time[:, :-1] - time[:, 1:] > self.same_basket_days).to(time.dtype)
        baskets = later.sum(1, keepdim=True) + (lines > 0).to(time.dtype)
        spend = (there * torch.expm1(price)).sum(1, keepdim=True)
        saved = (there * torch.expm1(discount)).sum(1, keepdim=True)
        price_mean = (share * price).sum(1, keepdim=True)
        spread = (share * (price - price_mean) ** 2).sum(1, keepdim=True)
        # Padding is put far back, so that it is never the last purchase.
        last = (time + (1.0 - there) * 400.0).min(1, keepdim=True)[0]
        numbers = [
            torch.log1p(lines),
            torch.log1p(baskets),
            torch.log1p(lines / baskets.clamp(min=1.0)),
            torch.log1p(spend),
            price_mean,
            torch.sqrt(spread + 1e-6),
            saved / (spend + 1.0),
            (share * quantity.clamp(max=self.largest_log_quantity)).sum(1, keepdim=True),
            (share * (discount > 0).to(time.dtype)).sum(1, keepdim=True),
            torch.log1p(last),
        ]
        return torch.cat(numbers, 1)

    def hours(self, share: Tensor, time: Tensor, day_of_week: Tensor) -> Tensor:
        """Mean cosine and sine of the hour and of the weekday of the events, `[n, 10]`.

        Harmonics and not classes of hours: they have no edge at which a rounded second would jump.
        """
        # Phases in turns, brought to [0, 1) before they grow: float32 has no digits to waste.
        day = time - torch.floor(time)
        week = (day_of_week - time) / 7.0
        week = week - torch.floor(week)
        parts: list[Tensor] = []
        for harmonic in self.day_harmonics:
            parts.append((share * torch.cos(2.0 * math.pi * harmonic * day)).sum(1, keepdim=True))
            parts.append((share * torch.sin(2.0 * math.pi * harmonic * day)).sum(1, keepdim=True))
        for harmonic in self.week_harmonics:
            parts.append((share * torch.cos(2.0 * math.pi * harmonic * week)).sum(1, keepdim=True))
            parts.append((share * torch.sin(2.0 * math.pi * harmonic * week)).sum(1, keepdim=True))
        return torch.cat(parts, 1)
