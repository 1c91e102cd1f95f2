"""merchant_gmv in the comparison: the data, the held-out rows, and how good a forecast is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from souk_training.families.answers import wanted
from souk_training.gmv.baselines import BASELINES
from souk_training.gmv.dataset import TESTS, Split, read_split
from souk_training.gmv.features import SERIES_DAYS
from souk_training.gmv.metrics import rmsle, wape
from souk_training.gmv.panel import Panel, merchant_rows, read_panel
from souk_training.golden import write_jsonl
from souk_training.layout import Layout

QUESTION, MODEL = "merchant-gmv", "merchant_gmv"


@dataclass(frozen=True)
class ForecastTask:
    """Held out are all shops of both test origins."""

    layout: Layout
    panel: Panel
    split: Split

    @staticmethod
    def read(folder: Path) -> ForecastTask:
        """From a layout."""
        layout = Layout(folder)
        panel = read_panel(layout)
        return ForecastTask(layout, panel, read_split(panel, layout.info.holidays))

    def held_out(self) -> list[dict]:
        """Rows as a client would send them, the earlier test origin first."""
        return [
            row
            for origin in TESTS
            for row in merchant_rows(self.panel, origin, np.flatnonzero(self.panel.active(origin)), SERIES_DAYS)
        ]

    def write_held_out(self, path: Path) -> list[dict]:
        """Writes the rows and returns them."""
        rows = self.held_out()
        write_jsonl(path, rows)
        return rows

    def quality(self, manifest: dict, library: torch.nn.Module) -> tuple[float, float]:
        """WAPE and RMSLE of the expected GMV, mean of the test origins."""
        name = manifest["outputs"][0]["name"]
        with torch.inference_mode():
            found = [
                wanted(manifest, {name: library(*part.inputs).numpy()})[:, 0] for part in self.split.tests.values()
            ]
        return self._errors(found)

    def baselines(self) -> dict[str, tuple[float, float]]:
        """The same of forecasts that need no model."""
        return {
            name: self._errors([baseline(self.panel, origin)[self.panel.active(origin)] for origin in TESTS])
            for name, baseline in BASELINES.items()
        }

    def _errors(self, forecasts: list[np.ndarray]) -> tuple[float, float]:
        actual = [part.gmv.double().numpy() for part in self.split.tests.values()]
        pairs = [(wape(*both), rmsle(*both)) for both in zip(forecasts, actual, strict=True)]
        first, second = np.mean(pairs, axis=0)
        return float(first), float(second)
