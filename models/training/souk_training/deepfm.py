"""DeepFM: a factorisation machine and a deep network over the same embeddings.

Source: Guo, Tang, Ye, Li, He (2017), "DeepFM: A Factorization-Machine based Neural Network for CTR
Prediction", arXiv:1703.04247. Differences: several outputs instead of one (each weighs the factors of
the second-order term for itself), numbers enter as dense fields beside the categories, and several
members with weights of their own run as one batched product, which is an ensemble at the price of one
network's overhead.
"""

import torch
from torch import Tensor, nn


class DeepFM(nn.Module):
    """`[n, n_fields]` ids and `[n, n_dense]` numbers to `[members, n, n_outputs]`.

    `cardinalities[f]` is the number of ids of field f, id 0 (missing or unknown) included.
    """

    def __init__(
        self,
        cardinalities: list[int],
        n_dense: int,
        n_outputs: int,
        embedding_dim: int = 8,
        hidden: tuple[int, ...] = (64, 32),
        members: int = 1,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.n_fields, self.n_dense, self.n_outputs = len(cardinalities), n_dense, n_outputs
        self.embedding_dim, self.members, self.dropout = embedding_dim, members, dropout
        # All fields in one table: one lookup. A row holds, for each member, the latent vector that both
        # parts share and the first-order weight of each output.
        starts = torch.tensor([0, *cardinalities[:-1]]).cumsum(0)
        self.register_buffer("offsets", starts)
        width = embedding_dim + n_outputs
        self.table = nn.Embedding(sum(cardinalities), members * width)
        nn.init.normal_(self.table.weight, std=0.01)
        # Latent vectors and first-order weights of the dense fields, side by side as in the table.
        self.dense_factors = nn.Parameter(torch.randn(members, n_dense, width) * 0.01)
        self.factor_weights = nn.Parameter(torch.full((members, embedding_dim, n_outputs), 1.0 / embedding_dim))
        self.bias = nn.Parameter(torch.zeros(members, 1, n_outputs))
        self.deep = nn.ModuleList()
        sizes = [self.n_fields * embedding_dim + n_dense, *hidden]
        for fan_in, fan_out in zip(sizes, sizes[1:]):
            self.deep.append(MemberLinear(members, fan_in, fan_out))
        self.last = MemberLinear(members, sizes[-1], n_outputs)

    def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
        n, k = ids.shape[0], self.embedding_dim
        looked_up = self.table(ids + self.offsets).view(n, self.n_fields, self.members, -1)
        looked_up = looked_up.permute(2, 0, 1, 3)
        dense = dense.unsqueeze(0).expand(self.members, n, self.n_dense)
        vectors = looked_up[..., :k]
        # First order of both kinds and the sums of latent vectors, in one go.
        sums = torch.bmm(dense, self.dense_factors) + looked_up.sum(2)
        squares = torch.bmm(dense * dense, self.dense_factors[..., :k].square()) + vectors.square().sum(2)
        second_order = 0.5 * (sums[..., :k].square() - squares)
        hidden = torch.cat([vectors.reshape(self.members, n, self.n_fields * k), dense], 2)
        for layer in self.deep:
            hidden = nn.functional.dropout(torch.relu(layer(hidden)), self.dropout, self.training)
        return torch.baddbmm(self.bias + sums[..., k:], second_order, self.factor_weights) + self.last(hidden)


class MemberLinear(nn.Module):
    """A linear layer per member: `[members, n, fan_in]` to `[members, n, fan_out]`."""

    def __init__(self, members: int, fan_in: int, fan_out: int):
        super().__init__()
        # He et al. (2015), arXiv:1502.01852, for the rectified units that follow.
        self.weight = nn.Parameter(torch.randn(members, fan_in, fan_out) * (2.0 / fan_in) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(members, 1, fan_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


def field_cardinalities(manifest_features: list[dict], names: list[str]) -> list[int]:
    """Number of ids, id 0 included, of the features that fill an `ids` input, in its order."""
    features = {feature["name"]: feature for feature in manifest_features}
    return [cardinality(features[name]) for name in names]


def cardinality(feature: dict) -> int:
    """Number of ids of one feature by its encoding, id 0 included."""
    if feature.get("calendar") in ("day_of_week", "month") and "encoding" not in feature:
        return 8 if feature["calendar"] == "day_of_week" else 13
    encoding = feature["encoding"]
    if "hash" in encoding:
        return encoding["hash"]["buckets"]
    if "vocabulary" in encoding:
        return 1 + len(encoding["vocabulary"])
    return 2 + len(encoding["edges"])
