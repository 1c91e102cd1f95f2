"""The split by time and the encoded tensors of each part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import torch
from tqdm import tqdm

from souk_training.encode import encode_rows
from souk_training.gmv.features import SERIES_DAYS, build_features, build_inputs
from souk_training.gmv.panel import Panel, merchant_rows, mondays

# Weekly origins. The horizon of the last training origin ends before the validation origin, and that of
# the validation origin before the first test origin: no outcome crosses a border.
FIRST_TRAIN, LAST_TRAIN = date(2015, 7, 27), date(2016, 6, 27)
VALIDATION = date(2016, 8, 1)
TESTS = (date(2016, 9, 5), date(2016, 10, 3))


@dataclass(frozen=True)
class Part:
    """Encoded rows: `inputs` in the manifest's order, `gmv` of the horizon `[n]`, float32."""

    inputs: list[torch.Tensor]
    gmv: torch.Tensor

    def __len__(self) -> int:
        return len(self.gmv)

    def take(self, index: torch.Tensor) -> Part:
        """The rows at `index`."""
        return Part([tensor[index] for tensor in self.inputs], self.gmv[index])


@dataclass(frozen=True)
class Split:
    """`encoding` is the part of the manifest that encodes: task, features, inputs."""

    encoding: dict
    train: Part
    # Index of each training row's origin, `[n]`.
    train_origin: torch.Tensor
    validation: Part
    tests: dict[date, Part]


def read_split(panel: Panel, holidays: list[str]) -> Split:
    """Fits the encoding to the shops of the training origins and encodes every part."""
    origins = mondays(FIRST_TRAIN, LAST_TRAIN)
    shops = np.flatnonzero(np.any([panel.active(origin) for origin in origins], axis=0))
    features = build_features(merchant_rows(panel, LAST_TRAIN, shops, SERIES_DAYS), holidays)
    encoding = {"task": "merchant_gmv", "features": features, "inputs": build_inputs()}
    parts = [part_of(panel, encoding, origin) for origin in tqdm(origins, "encoding origins", unit="origin")]
    return Split(
        encoding=encoding,
        train=_concatenate(parts),
        train_origin=torch.cat([torch.full((len(part),), index) for index, part in enumerate(parts)]),
        validation=part_of(panel, encoding, VALIDATION),
        tests={origin: part_of(panel, encoding, origin) for origin in TESTS},
    )


def part_of(panel: Panel, encoding: dict, origin: date) -> Part:
    """All shops active before `origin`."""
    shops = np.flatnonzero(panel.active(origin))
    encoded = encode_rows(encoding, merchant_rows(panel, origin, shops, SERIES_DAYS))
    gmv = torch.tensor(panel.outcome(origin)[shops], dtype=torch.float32)
    return Part([torch.from_numpy(array) for array in encoded.values()], gmv)


def _concatenate(parts: list[Part]) -> Part:
    inputs = [torch.cat(tensors) for tensors in zip(*(part.inputs for part in parts))]
    return Part(inputs, torch.cat([part.gmv for part in parts]))
