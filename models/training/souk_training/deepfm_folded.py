"""The weights of a trained `DeepFM` as the few matrices that inference needs, in float64.

Ids reach the outputs only through three sums that are linear in what is looked up: the first deep layer, the
latent vectors, and the first order less the squares of the second. So one row of a table holds what one id adds to
each of them, and one matrix what one number adds. Columns are `[members * hidden | members * embedding_dim |
members * n_outputs]`, a member's side by side.

Only worth it for tables of few ids: a row grows from `members * (embedding_dim + n_outputs)` to those columns.
"""

import torch
from torch import Tensor

from souk_training.deepfm import DeepFM


def biases(fm: DeepFM) -> Tensor:
    """`[columns]`: what every row adds."""
    hidden, direct = fm.deep[0].bias, fm.bias + fm.last.bias
    vectors = torch.zeros(fm.members * fm.embedding_dim)
    return torch.cat([hidden.flatten(), vectors, direct.flatten()]).detach().double()


def id_table(fm: DeepFM) -> Tensor:
    """`[ids, columns]`: what each id adds."""
    k = fm.embedding_dim
    rows = fm.table.weight.detach().double().view(-1, fm.members, k + fm.n_outputs)
    vectors, first_order = rows[..., :k], rows[..., k:]
    field = torch.bucketize(torch.arange(len(rows)), fm.offsets, right=True) - 1
    # [members, ids, k, hidden]: the weights behind each id's field.
    behind = fm.deep[0].weight.detach().double()[:, : fm.n_fields * k].unflatten(1, (fm.n_fields, k))[:, field]
    hidden = torch.einsum("imk,mikh->imh", vectors, behind)
    return _columns(hidden, vectors, first_order - _half_squares(fm, vectors))


def number_weights(fm: DeepFM) -> Tensor:
    """`[n_dense, columns]`: what each number adds, but for its square."""
    factors = fm.dense_factors.detach().double().transpose(0, 1)
    hidden = fm.deep[0].weight.detach().double()[:, fm.n_fields * fm.embedding_dim :].transpose(0, 1)
    return _columns(hidden, factors[..., : fm.embedding_dim], factors[..., fm.embedding_dim :])


def square_weights(fm: DeepFM) -> Tensor:
    """`[n_dense, members * n_outputs]`: what the square of each number adds to the outputs."""
    vectors = fm.dense_factors.detach().double().transpose(0, 1)[..., : fm.embedding_dim]
    return -_half_squares(fm, vectors).flatten(1)


def vector_weights(fm: DeepFM) -> Tensor:
    """`[members * embedding_dim, members * n_outputs]`: what the squares of the summed latent vectors add."""
    return torch.block_diag(*(0.5 * fm.factor_weights.detach().double()))


def last_weights(fm: DeepFM) -> Tensor:
    """`[members * hidden, members * n_outputs]` of the last layer; its bias is in `biases`."""
    return torch.block_diag(*fm.last.weight.detach().double())


def _columns(hidden: Tensor, vectors: Tensor, direct: Tensor) -> Tensor:
    return torch.cat([hidden.flatten(1), vectors.flatten(1), direct.flatten(1)], 1)


def _half_squares(fm: DeepFM, vectors: Tensor) -> Tensor:
    """`[n, members, embedding_dim]` to `[n, members, n_outputs]`: what the second order leaves out, squares."""
    return 0.5 * torch.einsum("imk,mko->imo", vectors.square(), fm.factor_weights.detach().double())
