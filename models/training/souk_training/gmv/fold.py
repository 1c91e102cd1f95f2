"""The constants of `FoldedGmv`, computed in float64 from a trained `GmvNetwork`.

`FoldedLevel` gives *columns*; the *numbers* that the DeepFM was trained on are those, scaled and shifted. Scales
and shifts go into the weights, and as `(a c + b)^2 = a^2 c^2 + 2ab c + b^2` those of the squares do as well.
"""

import math

import torch
from torch import Tensor, nn

from souk_training import deepfm_folded
from souk_training.gmv import HORIZON_DAYS, network
from souk_training.gmv.level_folded import ANY_RECORD, OLDER_DAYS, SPREAD_DAYS
from souk_training.gmv.network import N_OUTPUTS, RECENT_DAYS, GmvNetwork


def constants(trained: GmvNetwork, widths: dict[str, int]) -> dict[str, Tensor]:
    """Buffers of `FoldedGmv` by name, float64; `widths` are those of `FoldedLevel.columns`."""
    fm, members = trained.deepfm, trained.deepfm.members
    columns, numbers = _slices(widths), _numbers(trained)
    linear, squares, constant = _by_columns(trained, columns, numbers)
    linear, constant = _with_level(_merged(linear, members), _merged(constant, members), columns, members)
    table = _merged(deepfm_folded.id_table(fm), members)
    # Every row looks up exactly one id of the first field.
    table[: fm.offsets[1]] += constant
    last = torch.cat([deepfm_folded.last_weights(fm), deepfm_folded.vector_weights(fm), squares])
    return {
        "table": table,
        "weights": linear[OLDER_DAYS:],
        # Column by column in memory: a product with three columns is four times as fast that way.
        "spread_grid": _spread_grid(trained).t().contiguous().t(),
        "spread_weights": _merged(deepfm_folded.number_weights(fm)[numbers["spread"]], members),
        "second_weights": fm.deep[1].weight.detach().double(),
        "second_bias": fm.deep[1].bias.detach().double(),
        "last_weights": _merged(last, members),
        **_head(members),
    }


def head_width(members: int) -> int:
    """Columns of the head: deltas, spreads, logit, log level, and zeros up to whole vector registers.

    A product with 16 columns takes half as long as one with 10.
    """
    return math.ceil((2 * members + 2) / 16) * 16


def _by_columns(trained: GmvNetwork, columns: dict[str, slice], numbers: dict[str, slice]) -> tuple[Tensor, ...]:
    """What columns and their squares add, and what every row adds, with the outputs of each member as last columns."""
    scale, offset = _affine(trained, columns, numbers)
    weights, squares = deepfm_folded.number_weights(trained.deepfm), deepfm_folded.square_weights(trained.deepfm)
    linear, constant = scale @ weights, (deepfm_folded.biases(trained.deepfm) + offset @ weights)[None]
    direct = squares.shape[1]
    linear[:, -direct:] += (2 * scale * offset) @ squares
    constant[:, -direct:] += offset.square() @ squares
    column_squares = scale.square() @ squares
    # The square of a spread is itself a mean of squared columns.
    column_squares[:SPREAD_DAYS] += _spread_grid(trained) @ squares[numbers["spread"]]
    return linear, column_squares, constant


def _affine(trained: GmvNetwork, columns: dict[str, slice], numbers: dict[str, slice]) -> tuple[Tensor, Tensor]:
    """`scale [n_columns, n_numbers]`, with one entry for each number but the spreads, and `offset [n_numbers]`."""
    lengths = trained.recent_level.lengths.double()
    volume = (network.VOLUME_SCALE, network.VOLUME_OFFSET)
    shares = (1 / lengths, network.SHARE_OFFSET - network.PRIOR_DAYS / lengths)
    maps = {"shares": shares, "level": volume, "orders": volume}
    scale = torch.zeros(columns["dense"].stop, trained.deepfm.n_dense, dtype=torch.float64)
    offset = torch.zeros(trained.deepfm.n_dense, dtype=torch.float64)
    for name in numbers.keys() - {"spread"}:
        factor, shift = maps.get(name, (1.0, 0.0))
        scale[columns[name], numbers[name]].diagonal()[:] = torch.as_tensor(factor, dtype=torch.float64)
        offset[numbers[name]] = torch.as_tensor(shift, dtype=torch.float64)
    return scale, offset


def _with_level(linear: Tensor, constant: Tensor, columns: dict[str, slice], members: int) -> tuple[Tensor, Tensor]:
    """With the logit of a series without a record, and with the level that the deltas are relative to."""
    logit = linear.shape[1] - head_width(members) + 2 * members
    # Without a record this column is 1 less.
    linear[columns["any record"], logit] = -network.NO_RECORD_LOGIT
    constant[0, logit] += network.NO_RECORD_LOGIT * ANY_RECORD
    linear[columns["log level"], logit + 1] = 1.0
    constant[0, logit + 1] = math.log(HORIZON_DAYS)
    return linear, constant


def _merged(columns: Tensor, members: int) -> Tensor:
    """The last columns, outputs of each member, become those of the head; that of the log level is 0 as yet."""
    others, direct = columns[:, : -N_OUTPUTS * members], columns[:, -N_OUTPUTS * members :]
    logit, delta, spread = direct.unflatten(1, (members, N_OUTPUTS)).unbind(2)
    head = torch.cat([delta, spread, logit.mean(1, keepdim=True)], 1)
    return torch.cat([others, nn.functional.pad(head, (0, head_width(members) - head.shape[1]))], 1)


def _head(members: int) -> dict[str, Tensor]:
    """Limits of the head's columns, sigmas' before their softplus; `merge [head_width, N_OUTPUTS]`: members' means."""
    sigma = torch.tensor([network.SMALLEST_SIGMA, network.LARGEST_SIGMA], dtype=torch.float64).expm1().log()
    limits = torch.tensor([-math.inf, math.inf], dtype=torch.float64).repeat(head_width(members), 1)
    limits[:members] = torch.tensor([-network.LARGEST_DELTA, network.LARGEST_DELTA])
    limits[members : 2 * members] = sigma
    merge = torch.zeros(len(limits), N_OUTPUTS, dtype=torch.float64)
    merge[:members, 1] = merge[members : 2 * members, 2] = 1 / members
    merge[2 * members, 0] = merge[2 * members + 1, 1] = 1.0
    return {"smallest": limits[:, 0], "largest": limits[:, 1], "merge": merge}


def _numbers(trained: GmvNetwork) -> dict[str, slice]:
    """The numbers that the DeepFM was trained on, in the order of `GmvNetwork` and `RecentLevel`."""
    level = trained.recent_level
    n_dense, n_windows = trained.deepfm.n_dense - level.n_features, level.grid.shape[1]
    widths = {"dense": n_dense, "ratios": n_windows, "shares": n_windows, "days": RECENT_DAYS}
    return _slices({**widths, "spread": level.spread_grid.shape[1], "level": 1, "orders": 1})


def _slices(widths: dict[str, int]) -> dict[str, slice]:
    ends = torch.tensor([*widths.values()]).cumsum(0).tolist()
    return {name: slice(end - width, end) for (name, width), end in zip(widths.items(), ends, strict=True)}


def _spread_grid(trained: GmvNetwork) -> Tensor:
    return trained.recent_level.spread_grid[-SPREAD_DAYS:].double()
