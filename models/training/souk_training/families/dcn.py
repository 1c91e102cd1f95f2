"""Deep & Cross Network, version 2, with the cross and the deep network side by side.

Source: Wang, Shivanna, Cheng, Jain, Lin, Hong, Chi (2021), "DCN V2", arXiv:2008.13535, eq. 1:
`x' = x0 * (W x + b) + x`, with a full matrix W.
"""

import torch
from torch import Tensor, nn

from souk_training.families.fields import Deep, Fields, Latent, small_weights

CROSS_LAYERS = 2


class DCN(nn.Module):
    """Ids and values to `[n, outputs]`."""

    def __init__(self, fields: Fields, outputs: int, hidden: tuple[int, ...], dropout: float):
        super().__init__()
        width = fields.deep_width
        self.latent = Latent(fields, deviation=0.05)
        self.crosses = nn.ModuleList(nn.Linear(width, width) for _ in range(CROSS_LAYERS))
        for layer in self.crosses:
            # A cross begins as almost the identity.
            nn.init.normal_(layer.weight, std=0.1 * width**-0.5)
            nn.init.zeros_(layer.bias)
        self.deep = Deep(width, hidden, dropout)
        self.last = small_weights(width + hidden[-1], outputs)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        vectors, _ = self.latent(ids, values)
        x0 = self.latent.deep_input(vectors, values)
        x = x0
        for layer in self.crosses:
            x = x0 * layer(x) + x
        return torch.addmm(self.bias, torch.cat([x, self.deep(x0)], 1), self.last)

    def output_weights(self) -> list[Tensor]:
        """Weights `[*, outputs]`, which training keeps small."""
        return [self.last]
