"""Logistic regression: a weight for each id and value, and nothing else.

For portraits multinomial and binary logits; for GMV the head's logit of P(GMV > 0) is one, and delta and sigma are
linear in the same terms.
"""

from torch import Tensor, nn

from souk_training.families.fields import Fields, FirstOrder


class Linear(nn.Module):
    """Ids and values to `[n, outputs]`."""

    def __init__(self, fields: Fields, outputs: int, hidden: tuple[int, ...], dropout: float):
        super().__init__()
        self.first = FirstOrder(fields, outputs)

    def forward(self, ids: Tensor, values: Tensor) -> Tensor:
        return self.first(ids, values)

    def output_weights(self) -> list[Tensor]:
        """Weights `[*, outputs]`, which training keeps small."""
        return [self.first.weights]
