"""Factorisation machine.

Source: Rendle (2010), "Factorization Machines", ICDM. Several outputs share the factors, and each weighs their
products for itself.
"""

from torch import Tensor, nn

from souk_training.families.fields import FACTORS, Fields, FirstOrder, Latent, small_weights


class FM(nn.Module):
    """Ids and values to `[n, outputs]`: first order, and products of pairs."""

    def __init__(self, fields: Fields, outputs: int, hidden: tuple[int, ...], dropout: float):
        super().__init__()
        self.first, self.latent = FirstOrder(fields, outputs), Latent(fields)
        self.second = small_weights(FACTORS, outputs)

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        _, pairs = self.latent(ids, values)
        return self.first(ids, values) + pairs @ self.second

    def output_weights(self) -> list[Tensor]:
        """Weights `[*, outputs]`, which training keeps small."""
        return [self.first.weights, self.second]
