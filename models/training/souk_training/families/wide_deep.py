"""Wide & Deep.

Source: Cheng et al. (2016), "Wide & Deep Learning for Recommender Systems", arXiv:1606.07792. The wide part is
linear in ids, values and crossed ids (each combination of two fields has a weight of its own); the deep part has
vectors of its own. Both are trained together.
"""

import torch
from torch import Tensor, nn

from souk_training.families.fields import Deep, Fields, FirstOrder, IdTable, Latent, small_weights


class WideDeep(nn.Module):
    """Ids and values to `[n, outputs]`."""

    def __init__(self, fields: Fields, outputs: int, hidden: tuple[int, ...], dropout: float):
        super().__init__()
        self.first, self.latent = FirstOrder(fields, outputs), Latent(fields, deviation=0.05)
        pairs = torch.tensor(fields.crosses, dtype=torch.int64).reshape(-1, 2)
        sizes = torch.tensor(fields.cardinalities, dtype=torch.int64)
        self.register_buffer("left", pairs[:, 0].clone())
        self.register_buffer("right", pairs[:, 1].clone())
        self.register_buffer("right_sizes", sizes[pairs[:, 1]])
        self.crossed = IdTable(tuple((sizes[pairs[:, 0]] * self.right_sizes).tolist()), outputs, deviation=0.0)
        self.deep = Deep(fields.deep_width, hidden, dropout)
        self.last = small_weights(hidden[-1], outputs)

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        crossed = ids.index_select(1, self.left) * self.right_sizes + ids.index_select(1, self.right)
        vectors, _ = self.latent(ids, values)
        hidden = self.deep(self.latent.deep_input(vectors, values))
        return self.first(ids, values) + self.crossed(crossed).sum(1) + hidden @ self.last

    def output_weights(self) -> list[Tensor]:
        """Weights `[*, outputs]`, which training keeps small."""
        return [self.first.weights, self.last]
