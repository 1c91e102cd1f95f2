"""The reference network: one member of the DeepFM that the shipped models use, only larger."""

from typing import Final

import torch
from torch import Tensor, nn

from souk_training.deepfm import DeepFM
from souk_training.reference import EMBEDDING_DIM, FIELDS, HIDDEN, NUMBERS

# Mean of log GMV: forecasts look like money.
LOG_LEVEL = 8.0


class TensorsNetwork(nn.Module):
    """The same with one output and nothing behind it: `[n, 26]` ids and `[n, 13]` numbers to a logit `[n, 1]`."""

    def __init__(self, ids: int, hidden: tuple[int, ...] = HIDDEN):
        super().__init__()
        self.deepfm = DeepFM([ids] * FIELDS, NUMBERS, 1, EMBEDDING_DIM, hidden)
        nn.init.normal_(self.deepfm.table.weight, std=0.1)

    def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
        return self.deepfm(ids, dense).squeeze(0)

    def transform(self) -> str:
        """What `forward` does to the outputs of `deepfm`, in the words of a manifest."""
        return "linear"


class ReferenceNetwork(nn.Module):
    """`[n, 26]` ids and `[n, 13]` numbers to `ziln` `[n, 3]`: logit of P(GMV > 0), mu and sigma of log GMV."""

    # TorchScript reads constants of a class, not of a file.
    log_level: Final[float] = LOG_LEVEL

    def __init__(self, ids: int, hidden: tuple[int, ...] = HIDDEN):
        super().__init__()
        self.deepfm = DeepFM([ids] * FIELDS, NUMBERS, 3, EMBEDDING_DIM, hidden)
        # Ten times as wide as before training: every id shows in the outputs, so that golden rows prove something.
        nn.init.normal_(self.deepfm.table.weight, std=0.1)

    def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
        logit, mu, spread = self.deepfm(ids, dense).squeeze(0).unbind(1)
        return torch.stack([logit, mu + self.log_level, nn.functional.softplus(spread)], 1)

    def transform(self) -> dict:
        """What `forward` does to the outputs of `deepfm`, in the words of a manifest."""
        return {"ziln": {"log_level": self.log_level}}
