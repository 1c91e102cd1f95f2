"""Writes `tests/fixtures/marked.pt`: a tiny module that misbehaves on rows with marked ratings.

Inputs are `ids` (`[n, 1]` int64, 0 to 2) and `dense` (`[n, 1]` float32, the rating); the output is the
`[n, 3]` of the GMV head: logit 0.5, mu = rating / 100 + 0.5 * id, sigma 1.
"""

from __future__ import annotations

from pathlib import Path

import torch

from souk_training.export import freeze, torch_version

# The table has a row for each id of the vocabulary; another id would raise.
# What each marked rating does: 99 raises, for the whole batch; 98 gives NaN in its row; 97 makes the
# batch slow, by 500 products of 128 x 128: about 20 ms on one core.
_FORWARD = """
def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
    rating = dense[:, 0]
    if bool((rating == 99.0).any()):
        raise ValueError("a marked row")
    table = torch.tensor([[0.0], [0.5], [1.0]])
    mu = rating / 100.0 + torch.embedding(table, ids[:, 0])[:, 0]
    if bool((rating == 97.0).any()):
        square = rating.max().expand([128, 128])
        for _ in range(500):
            square = torch.mm(square, square).clamp(0.0, 1.0)
        mu = mu + 0.0 * square[0, 0]
    mu = torch.where(rating == 98.0, torch.full_like(mu, float("nan")), mu)
    return torch.stack([torch.full_like(mu, 0.5), mu, torch.ones_like(mu)], 1)
"""


def write_marked_module(path: Path) -> int:
    """Writes the frozen module; returns how many ratings are marked."""
    torch_version()
    # From text: a scripted class would carry the path of this file with it.
    module = torch.jit.ScriptModule()
    module.define(_FORWARD)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.save(freeze(module), str(path))
    return 3
