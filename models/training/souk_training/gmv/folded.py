"""The inference form of `GmvNetwork`: the same function in half as many operators.

At serving time a batch is few rows, so operators cost, not multiplications. What is linear is folded into constants
(`fold.py`). Never trained: `export.check_parity` holds it to the trained form.
"""

import torch
from torch import Tensor, nn

from souk_training.gmv.fold import constants, head_width
from souk_training.gmv.level_folded import OLDER_DAYS, SPREAD_DAYS, FoldedLevel
from souk_training.gmv.network import GmvNetwork


class FoldedGmv(nn.Module):
    """Inputs of the manifest to `ziln` `[n, 3]`, as `GmvNetwork` in eval mode."""

    def __init__(self, trained: GmvNetwork):
        super().__init__()
        fm = trained.deepfm
        if len(fm.deep) != 2:
            raise ValueError(f"{len(fm.deep)} hidden layers found, wanted 2: no other network is folded")
        self.level = FoldedLevel(trained.recent_level, fm.n_dense - trained.recent_level.n_features)
        self.n_fields, self.members = fm.n_fields, fm.members
        # First deep layer, sums of latent vectors, head; of all members.
        self.widths = [fm.deep[0].bias.numel(), fm.members * fm.embedding_dim, head_width(fm.members)]
        self.older_days, self.spread_days = OLDER_DAYS, SPREAD_DAYS
        self.register_buffer("offsets", fm.offsets)
        for name, constant in constants(trained, self.level.columns).items():
            self.register_buffer(name, constant.float())

    def forward(self, ids: Tensor, dense: Tensor, daily_gmv: Tensor, daily_orders: Tensor) -> Tensor:
        columns = self.level(daily_gmv, daily_orders, dense)
        squares = columns * columns
        spread = torch.sqrt(torch.mm(squares.narrow(1, 0, self.spread_days), self.spread_grid))
        first = self.looked_up(ids)
        # Older days only count for spreads.
        first.addmm_(columns.narrow(1, self.older_days, self.weights.shape[0]), self.weights)
        first.addmm_(spread, self.spread_weights)
        hidden, vectors, head = torch.split_with_sizes(first, self.widths, 1)
        hidden = hidden.relu_().view(-1, self.members, self.second_weights.shape[1]).transpose(0, 1)
        hidden = torch.baddbmm(self.second_bias, hidden, self.second_weights).relu_().transpose(0, 1).flatten(1)
        last = torch.cat([hidden, vectors * vectors, squares], 1)
        head = torch.addmm(head, last, self.last_weights).clamp_(self.smallest, self.largest)
        # Softplus; between its limits sigma loses no digits.
        head.narrow(1, self.members, self.members).exp_().log1p_()
        return torch.mm(head, self.merge)

    def looked_up(self, ids: Tensor) -> Tensor:
        """`[n, sum(widths)]`: the sum of one row of the table for each field."""
        flat = (ids + self.offsets).view(-1)
        starts = torch.arange(0, flat.shape[0], self.n_fields)
        return torch.embedding_bag(self.table, flat, starts, False, 0, False, None, False)[0]
