"""DeepFM as published, one member: the shipped models are ensembles of it, see `souk_training.deepfm`.

Source: Guo, Tang, Ye, Li, He (2017), arXiv:1703.04247.
"""

import torch
from torch import Tensor, nn

from souk_training.families.fields import FACTORS, Deep, Fields, FirstOrder, Latent, small_weights


class DeepFM(nn.Module):
    """Ids and values to `[n, outputs]`: first order, products of pairs, and a deep part on the same vectors."""

    def __init__(self, fields: Fields, outputs: int, hidden: tuple[int, ...], dropout: float):
        super().__init__()
        self.first, self.latent = FirstOrder(fields, outputs), Latent(fields)
        self.deep = Deep(fields.deep_width, hidden, dropout)
        self.last = small_weights(FACTORS + hidden[-1], outputs)

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        vectors, pairs = self.latent(ids, values)
        hidden = self.deep(self.latent.deep_input(vectors, values))
        return self.first(ids, values) + torch.cat([pairs, hidden], 1) @ self.last

    def output_weights(self) -> list[Tensor]:
        """Weights `[*, outputs]`, which training keeps small."""
        return [self.first.weights, self.last]
