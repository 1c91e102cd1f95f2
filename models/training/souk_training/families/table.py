"""The Markdown page of the comparison."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field

from souk_training import card
from souk_training.export import TORCH_VERSION
from souk_training.families.cost import BATCHES, Cost
from souk_training.families.users import Quality


@dataclass
class Line:
    """One row of the table; what a forecaster does not have stays empty."""

    title: str
    # WAPE, RMSLE.
    forecast: tuple[float, float] | None = None
    portrait: Quality | None = None
    # By model.
    costs: dict[str, Cost] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)


_HEADER = [
    "family", "WAPE", "RMSLE", "AUC tags", "AUC departments", "accuracy", "GMV µs/row at 1", "at 256",
    "portrait µs/row at 1", "at 256", "GMV KiB", "portrait KiB", "GMV served − library", "portrait served − library",
]  # fmt: skip
_MODELS = ("merchant_gmv", "user_portrait")


def page(lines: list[Line], held_out: dict[str, int], currency: str) -> str:
    """The whole of `models/FAMILIES.md`."""
    return card.card(
        "Model families",
        "Written by `make compare`; do not edit. Each family learns both tasks from the same rows as the shipped "
        "models, is exported to a version folder, passes `souk check`, and is served and scored through the socket.",
        card.table(_HEADER, [_cells(line) for line in lines]) + "\n",
        card.section("What the columns are", card.bullets(*_columns(held_out, currency))),
        card.section("What the families are", card.bullets(*_FAMILIES)),
        card.section("How to read it", card.bullets(*_CAVEATS)),
    )


def _cells(line: Line) -> list[str]:
    forecast = [f"{value:.3f}" for value in line.forecast] if line.forecast else ["", ""]
    quality = line.portrait
    portrait = ["", "", ""]
    if quality:
        error = f" ± {quality.tags_error:.3f}" if quality.tags_error else ""
        portrait = [f"{quality.tags:.3f}{error}", f"{quality.departments:.3f}", f"{quality.accuracy:.3f}"]
    times = [_per_row(line.costs.get(model), rows) for model in _MODELS for rows in BATCHES]
    sizes = [f"{line.costs[model].bytes / 1024:.0f}" if model in line.costs else "" for model in _MODELS]
    worst = [f"{line.differences[model]:.0e}" if model in line.differences else "" for model in _MODELS]
    return [line.title, *forecast, *portrait, *times, *sizes, *worst]


def _per_row(cost: Cost | None, rows: int) -> str:
    if cost is None:
        return ""
    value = cost.per_row[rows]
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _columns(held_out: dict[str, int], currency: str) -> tuple[str, ...]:
    shops, households = (f"{held_out[model]:,}" for model in _MODELS)
    return (
        f"WAPE, RMSLE (lower is better): GMV of the next 28 days, payments × `per_pay` in {currency}, mean of the test "
        "origins 2016-09-05 and 2016-10-03; data of IJCAI-17 Koubei.",
        "AUC (higher is better), macro: of the demographic tags, mean of the five groups with the standard error over "
        "the folds, and of the departments of the next 28 days. Accuracy: of the most probable tag, mean of the "
        "groups. 5-fold cross-validation by household, on the folds of the shipped model's card; data of Complete "
        "Journey.",
        "µs/row: CPU time of one forward pass over its rows, the median of many, TorchScript in Python (torch "
        f"{TORCH_VERSION}, one thread, {platform.machine()}), without encoding, batching or the network. For portraits "
        "most of it is the pooling of 256 events, which all families share.",
        "KiB: `model.pt`.",
        "served − library: the largest relative difference between any number that the API answered (expected GMV, "
        "probabilities, quantiles) and the training library's own: PyTorch's module before export (of the shipped "
        "versions only `model.pt` is left), `lightgbm.Booster.predict`, `xgboost.Booster.predict`, with the head in "
        f"float64. Over {shops} rows of the test origins and {households} rows of households that the served version "
        "has not seen (the shipped portrait has been trained on all). More than 1e-5, trees 1e-6, and no page is "
        "written.",
    )


_FAMILIES = (
    "Networks have a `ziln` head for GMV and learn the log ratio to the recent level, by the shipped model's loss; "
    "logistic regression is one for P(GMV > 0), with linear mu and sigma. One network each, no ensemble.",
    "FM: Rendle 2010. DeepFM: Guo et al. 2017. Wide & Deep: Cheng et al. 2016, with crossed ids for GMV (portraits "
    "have no single ids to cross). DCN-v2: Wang et al. 2021, full matrices, two cross layers.",
    "Sequence: one transformer layer, attention by a learnt query (after Chen et al. 2019 and Zhou et al. 2018). It "
    "reads 16 weeks of daily GMV, and the newest 64 `events` of a user; beside it the linear part of the others.",
    "LightGBM and XGBoost: a `point` head for GMV (one booster of the log ratio); for portraits a booster for each "
    "group of tags and each department. Converted by `models/training/souk_training/families/trees.py`: "
    "hummingbird-ml 0.4.12 works with this torch and LightGBM, but cannot read the base score of XGBoost 3.",
)
_CAVEATS = (
    "Nothing was searched for a single family: networks have the shipped GMV model's settings, for portraits one set "
    "of penalties that was tried on another draw of the folds; trees have ordinary ones. A difference of 0.005 in "
    "WAPE, or within the standard error of an AUC, is none: seeds differ by as much.",
    "The shipped rows are ensembles of DeepFM (4 and 8 members), GMV in its folded form; shipped portraits also tie "
    "kin labels, and answer an embedding.",
)
