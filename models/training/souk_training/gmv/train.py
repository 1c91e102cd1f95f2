"""Trains the network and stops by the validation origin."""

from __future__ import annotations

import copy
import sys
from dataclasses import dataclass
from typing import TypeVar

import torch
from tqdm import tqdm

from souk_training.deepfm import field_cardinalities
from souk_training.gmv.dataset import Part, Split
from souk_training.gmv.features import IDS
from souk_training.gmv.metrics import rmsle, wape
from souk_training.gmv.network import GmvNetwork, RelativeForecast
from souk_training.gmv.objective import Shocks, loss, target
from souk_training.heads import expected_gmv

Network = TypeVar("Network", bound=RelativeForecast)

_HOLIDAY_COLUMN = -1
_SHOCK_FIELD = IDS.index("category_l2")


@dataclass(frozen=True)
class Settings:
    """Chosen by `cross_validate`, on origins inside the training span, not on the test."""

    seed: int = 1
    members: int = 4
    hidden: tuple[int, ...] = (64, 32)
    dropout: float = 0.1
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    batch_rows: int = 512
    epochs: int = 4
    # Share of rows all of whose attributes are hidden, of rows each of whose attributes is hidden with
    # probability 1/2, and of rows without orders: a client may leave out any of them, and the network may
    # not lean on those that tell one shop from another.
    bare_rows: float = 0.25
    patchy_rows: float = 0.25
    orderless_rows: float = 0.1
    # The weights that are kept are a moving average over about 1 / (1 - decay) steps.
    average_decay: float = 0.99
    # False: the last epoch is kept, whatever the validation origin says.
    stop_early: bool = True


def train(split: Split, settings: Settings) -> GmvNetwork:
    """The served network, trained."""
    network = GmvNetwork(
        field_cardinalities(split.encoding["features"], list(IDS)),
        split.train.inputs[1].shape[1],
        settings.members,
        settings.hidden,
        settings.dropout,
    )
    return fit(network, split, settings)


def fit(network: Network, split: Split, settings: Settings) -> Network:
    """The averaged network of the epoch with the lowest WAPE on the validation origin."""
    run = _Run(network, split, settings)
    best, best_score = network, float("inf")
    with tqdm(total=settings.epochs * run.steps_per_epoch, desc="training", unit="step") as progress:
        for epoch in range(settings.epochs):
            run.epoch(progress)
            score, text = _validate(run.average, split.validation)
            progress.write(f"epoch {epoch + 1}: {text}", file=sys.stderr)
            if score < best_score or not settings.stop_early:
                best, best_score = copy.deepcopy(run.average), score
    return best


class _Run:
    """Optimiser, schedule and moving average of one training."""

    def __init__(self, network: RelativeForecast, split: Split, settings: Settings):
        self.network, self.split, self.settings = network, split, settings
        self.average = copy.deepcopy(network)
        origins, fields = split.train_origin, split.train.inputs[0]
        self.shocks = Shocks(int(origins.max()) + 1, int(fields[:, _SHOCK_FIELD].max()) + 1)
        self.generator = torch.Generator().manual_seed(settings.seed)
        self.steps_per_epoch = len(split.train) // settings.batch_rows
        rate = settings.learning_rate
        groups = [
            {"params": network.parameters(), "weight_decay": settings.weight_decay},
            # Shocks have a penalty of their own, and few steps in which to be seen.
            {"params": self.shocks.parameters(), "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, [rate, 3 * rate], settings.epochs * self.steps_per_epoch, pct_start=0.1
        )

    def epoch(self, progress: tqdm) -> None:
        """One pass over the training rows in a new order."""
        self.network.train()
        order = torch.randperm(len(self.split.train), generator=self.generator)
        for index in order[: self.steps_per_epoch * self.settings.batch_rows].view(self.steps_per_epoch, -1):
            self._step(index)
            progress.update()

    def _step(self, index: torch.Tensor) -> None:
        batch = self.split.train.take(index)
        shocks = self.shocks(self.split.train_origin[index], batch.inputs[0][:, _SHOCK_FIELD])
        outputs, log_level = self.network.members(*self._hide(batch.inputs))
        value = loss(outputs, shocks, target(batch.gmv, log_level.squeeze(1))) + self.shocks.penalty()
        self.optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.network.parameters()):
                kept.lerp_(new, 1 - self.settings.average_decay)

    def _hide(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """The inputs with some attributes missing. The series of GMV and the holidays always come."""
        ids, dense, gmv, orders = inputs
        hidden = self._hidden_share(len(ids))
        shown = self._mask(dense.shape, hidden)
        shown[:, _HOLIDAY_COLUMN] = True
        orders = orders * self._mask((len(orders), 1), self.settings.orderless_rows)
        return [ids * self._mask(ids.shape, hidden), dense * shown, gmv, orders]

    def _hidden_share(self, rows: int) -> torch.Tensor:
        """Share of the attributes to hide in each row, `[rows, 1]`: 0, 1/2 or 1."""
        bare, patchy = self.settings.bare_rows, self.settings.patchy_rows
        draw = torch.rand(rows, 1, generator=self.generator)
        return 1.0 * (draw < bare) + 0.5 * ((draw >= bare) & (draw < bare + patchy))

    def _mask(self, shape, hidden) -> torch.Tensor:
        return torch.rand(shape, generator=self.generator) >= hidden


def _validate(network: RelativeForecast, part: Part) -> tuple[float, str]:
    """WAPE of the validation origin, and a line for people."""
    forecast, actual = expected_gmv(predict(network, part)), part.gmv.double().numpy()
    error = wape(forecast, actual)
    return error, f"validation WAPE {error:.4f}, RMSLE {rmsle(forecast, actual):.4f}"


def predict(network: RelativeForecast, part: Part):
    """`ziln` outputs of a part, `[n, 3]` float32."""
    network.eval()
    with torch.inference_mode():
        return network(*part.inputs).numpy()
