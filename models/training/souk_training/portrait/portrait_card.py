"""The MODEL_CARD.md of `user_portrait`."""

from __future__ import annotations

import numpy as np

from souk_training import card
from souk_training.layout import DatasetInfo
from souk_training.portrait.calibrate import cross_fitted_error
from souk_training.portrait.cohort import Cohort
from souk_training.portrait.embedding import NEIGHBOURS
from souk_training.portrait.fit import Settings
from souk_training.portrait.measures import standard_error
from souk_training.portrait.spec import MAX_EVENTS
from souk_training.portrait.tags import DEPARTMENT_SUPPORT
from souk_training.portrait.users import HORIZON_DAYS
from souk_training.portrait.validate import FOLDS, GroupResult, Validation

_SUMMARY = (
    "From what a household buys, says how probable each demographic tag is, which departments it will buy from in "
    f"the next {HORIZON_DAYS} days, and where it lies among other households (an embedding). The demographic tags "
    "are weak guesses: AUC 0.6 to 0.7. Read the limits before any use."
)


def write_card(info: DatasetInfo, cohort: Cohort, validation: Validation, settings: Settings, command: str) -> str:
    """The whole page."""
    return card.card(
        "user_portrait",
        _SUMMARY,
        _data(info, cohort),
        _tags(cohort),
        _protocol(cohort),
        _metrics(validation.groups),
        _parts(validation),
        _calibration(validation.groups),
        _model(settings),
        _limits(),
        card.section("How to reproduce", f"```\n{command}\n```\n\nOne thread and the same seed give the same weights."),
    )


def _data(info: DatasetInfo, cohort: Cohort) -> str:
    return card.section(
        "Data and terms",
        card.bullets(
            f"{info.name}: {info.source}; {info.first_day} to {info.last_day}, {len(cohort.everyone.users):,} "
            f"households, {len(cohort.labelled.users)} of them with demographics.",
            f"Terms: {info.terms}. No row of the data is in this folder: the manifest holds names of categories and "
            "departments, and the golden rows are made up.",
            *info.notes,
        ),
    )


def _tags(cohort: Cohort) -> str:
    return card.section(
        "Tags",
        card.bullets(
            "`age`, `income`, `household_composition`, `children`, `marital_status`: the publisher's classes, as "
            "households stated them; blanks are left out of training and of every figure.",
            "Income: the six published brackets from 100K on have 5 to 38 households each and are merged to "
            "`100-149K` and `150K+`. The other brackets are the published ones.",
            f"`preferred_departments`: does the household buy a (sampled) line there in the {HORIZON_DAYS} days after "
            f"`as_of`? Departments where at least {DEPARTMENT_SUPPORT:.0%} of the households do: "
            + ", ".join(cohort.departments)
            + ".",
            "`embedding`: principal axes of the last hidden layers; comparable within this version only.",
        ),
    )


def _protocol(cohort: Cohort) -> str:
    return card.section(
        "Protocol",
        f"{FOLDS}-fold cross-validation by household: no figure is of a household that its model has seen, in either "
        f"task. Demographics: all purchases up to {cohort.last_day}. Departments: origins "
        f"{', '.join(sorted(cohort.origins))}, features up to the origin, target the {HORIZON_DAYS} days after it. The "
        "households are held out, the weeks are not.",
        "AUC is one tag against the rest, its mean over folds; a group's figure is the unweighted mean over its tags, "
        f"with the standard error over the {FOLDS} folds. Logistic regression: multinomial (binary per department), "
        "on the same standardised vector of log counts and means, C chosen for each group and department on the "
        "inner folds by the same AUC. The majority class, being the same answer for everyone, has AUC 0.5; its "
        "accuracy stands beside ours.",
        "The network's settings were chosen by hand on other draws of the folds of the same households. That favours "
        "the network a little; the regression's C was chosen without sight of the held-out fold.",
    )


def _metrics(results: list[GroupResult]) -> str:
    lines, ours_all, base_all = [], [], []
    for result in results:
        ours, base = result.macro(result.probabilities()), result.macro(result.baseline)
        ours_all.append(ours)
        base_all.append(base)
        lines.append([result.name, _with_error(ours), _with_error(base), _with_error(ours - base, signed=True), 0.5])
    ours, base = np.mean(ours_all, axis=0), np.mean(base_all, axis=0)
    lines.append(
        ["mean of the groups", _with_error(ours), _with_error(base), _with_error(ours - base, signed=True), 0.5]
    )
    header = ["group", "this model", "logistic regression", "difference", "majority class"]
    accuracy = [_accuracy(result) for result in results if result.exclusive]
    return card.section(
        "Metrics",
        "Macro AUC ± standard error over the folds:",
        card.table(header, lines),
        "Accuracy of the most probable tag:",
        card.table(["group", "this model", "logistic regression", "majority class"], accuracy),
        "AUC of each tag:",
        card.table(["group", "tag", "rows", "this model", "logistic regression"], _tag_lines(results)),
    )


def _with_error(by_fold: np.ndarray, signed: bool = False) -> str:
    mean = f"{by_fold.mean():+.3f}" if signed else f"{by_fold.mean():.3f}"
    return f"{mean} ± {standard_error(by_fold):.3f}"


def _accuracy(result: GroupResult) -> list:
    ours, base = result.probabilities().argmax(1), result.baseline.argmax(1)
    majority = result.support().max() / len(result.y)
    return [result.name, float((ours == result.y).mean()), float((base == result.y).mean()), float(majority)]


def _tag_lines(results: list[GroupResult]) -> list[list]:
    lines = []
    for result in results:
        figures = zip(
            result.labels, result.support(), result.per_tag(result.probabilities()), result.per_tag(result.baseline)
        )
        lines += [[result.name, tag, int(rows), float(ours), float(base)] for tag, rows, ours, base in figures]
    return lines


def _parts(validation: Validation) -> str:
    whole = np.stack([result.macro(result.probabilities()) for result in validation.groups], axis=1)
    header = ["without", *(result.name for result in validation.groups), "mean"]
    lines = [
        [
            name,
            *(f"{value:+.3f}" for value in (found - whole).mean(0)),
            _with_error((found - whole).mean(1), signed=True),
        ]
        for name, found in validation.without.items()
    ]
    votes = ", ".join(f"{_with_error(by_fold)} by {name}" for name, by_fold in validation.neighbours.items())
    return card.section(
        "What each part brings",
        "Change of the macro AUC when one part is taken out, on the same folds:",
        card.table(header, lines),
        "A difference within its standard error is none. With so few labels the tags would do without the second-order "
        "and deep parts; what those are worth is the embedding:",
        f"what the {NEIGHBOURS} nearest rows of other households bought next, as a "
        f"forecast of `preferred_departments`, has macro AUC {votes}.",
    )


def _calibration(results: list[GroupResult]) -> str:
    lines = []
    for result in results:
        before, after = cross_fitted_error(result.logits, result.y, result.folds, result.exclusive)
        lines.append([result.name, before, after])
    return card.section(
        "Calibration",
        "One temperature per group of exclusive tags, one scale and a bias per department, fitted to the out-of-fold "
        "logits. Expected calibration error (all tags of a group, ten bins of equal count), each fold calibrated by "
        "the others:",
        card.table(["group", "before", "after"], lines),
    )


def _model(settings: Settings) -> str:
    return card.section(
        "Model",
        "DeepFM (Guo et al. 2017, arXiv:1703.04247) over bags: log counts of categories, departments (also weighted "
        "by recency) and stores, means of price, discount and basket, and the hours and weekdays of shopping are "
        f"computed in the graph from the newest {MAX_EVENTS} lines. {settings.members} members with embeddings of their own stand side by side.",
        card.bullets(
            "Embeddings, second-order and deep part are learnt from what all households buy next, which needs no "
            "labels: learnt from 801 labelled households they did worse than a linear model.",
            "The heads are linear in the bags, the second-order terms and the hidden layers, with penalties per kind. "
            "Weights are tied between neighbouring ages and incomes, and weakly between labels of different groups "
            "that occur together.",
            "Each head is the optimum of a convex problem: no early stopping that would look at a held-out fold.",
        ),
    )


def _limits() -> str:
    return card.section(
        "Limits",
        card.bullets(
            "Age, income, marital status and children are sensitive. Not for prices, credit, insurance, housing, "
            "employment, who may see an offer that others may not, or any other decision about a person; not to "
            "complete a person's record as if it were known. Meant for aggregates and for tests of the service.",
            "801 labelled households of one US grocer in 2017, who agreed to state their demographics: not a sample of "
            "any other population, and the labelled buy more than the others.",
            "About 7 % of the lines were sampled. Counts of a shop that sends all lines are some 14 times as large and "
            "lie outside what was learnt: train again on your own data.",
            "Stores are among the features: part of what is learnt is where a household shops, hence lives.",
            "The weekdays and hours are of UTC as published.",
            "A user without events is refused: `events.category` is required. Unknown categories count as one.",
        ),
    )
