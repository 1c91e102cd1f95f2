"""Cross-validation by household: every figure is of households that the model has never seen."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, softmax
from tqdm import tqdm

from souk_training.portrait import baseline
from souk_training.portrait.cohort import Cohort, bags_of
from souk_training.portrait.embedding import embedding_axes, neighbours_vote
from souk_training.portrait.fit import TAGS, WIDTHS, Settings, train
from souk_training.portrait.measures import macro_auc, tag_aucs
from souk_training.portrait.network import Scaler
from souk_training.portrait.tags import DEMOGRAPHICS, DEPARTMENTS, UNKNOWN

FOLDS = 5
# Folds of the reported validation. Settings were chosen on other draws.
FOLD_SEED = 2017


@dataclass(frozen=True)
class GroupResult:
    """Out-of-fold results of one group."""

    name: str
    labels: list[str]
    exclusive: bool
    folds: np.ndarray  # [n]
    y: np.ndarray  # [n] classes, or [n, labels]
    logits: np.ndarray  # [n, labels], ours
    baseline: np.ndarray  # [n, labels], probabilities of the logistic regression

    def probabilities(self) -> np.ndarray:
        """Ours, not calibrated, `[n, labels]`."""
        return softmax(self.logits, axis=1) if self.exclusive else expit(self.logits)

    def macro(self, found: np.ndarray) -> np.ndarray:
        """Macro AUC of each fold."""
        return np.array([macro_auc(self.y[rows], found[rows]) for rows in self._by_fold()])

    def per_tag(self, found: np.ndarray) -> np.ndarray:
        """AUC of each tag, mean over the folds where it occurs."""
        return np.nanmean([tag_aucs(self.y[rows], found[rows]) for rows in self._by_fold()], axis=0)

    def support(self) -> np.ndarray:
        """Rows with each tag."""
        return self.y.sum(0).astype(int) if self.y.ndim == 2 else np.bincount(self.y, minlength=len(self.labels))

    def _by_fold(self) -> list[np.ndarray]:
        return [self.folds == fold for fold in range(FOLDS)]


def draw_folds(cohort: Cohort, seed: int) -> dict[str, int]:
    """Fold of each user; labelled users are dealt out by themselves, so that every fold has as many."""
    random = np.random.default_rng(seed)
    labelled = set(cohort.labelled.users)
    others = [user for user in cohort.everyone.users if user not in labelled]
    dealt = {}
    for users in (list(cohort.labelled.users), others):
        dealt |= {users[place]: rank % FOLDS for rank, place in enumerate(random.permutation(len(users)))}
    return dealt


@dataclass(frozen=True)
class Folds:
    """Fold of each row of the cohort."""

    labelled: np.ndarray
    behaviour: np.ndarray

    @staticmethod
    def draw(cohort: Cohort, seed: int) -> Folds:
        """By household, so that all rows of one are in one fold."""
        dealt = draw_folds(cohort, seed)
        return Folds(*(np.array([dealt[user] for user in part.users]) for part in (cohort.labelled, cohort.behaviour)))


@dataclass
class OutOfFold:
    """What was found for each row by a model that has not seen its household."""

    tags: np.ndarray  # [n, TAGS]
    departments: np.ndarray  # [n, departments]

    @staticmethod
    def empty(cohort: Cohort) -> OutOfFold:
        """Zeros."""
        return OutOfFold(np.zeros((len(cohort.labelled.x), TAGS)), np.zeros(cohort.behaviour.y.shape))


@dataclass(frozen=True)
class Validation:
    """Everything that the card reports."""

    groups: list[GroupResult]
    # Macro AUC of each fold and group, `[FOLDS, groups]`, of the model with a part taken out.
    without: dict[str, np.ndarray]
    # Macro AUC of the departments by fold, from the vote of the nearest households, by kind of coordinates.
    neighbours: dict[str, np.ndarray]


# Parts that are taken out one at a time, to see what each brings.
ABLATIONS = {
    "kinship of labels": {"reach": 1e-3, "across": 0.0},
    "second order and deep part": {
        "tag_penalties": (1.0, 2.0, 2.0, 0.5, 0.5, 1.0, 1e6, 1e6),
        "department_penalties": (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1e6, 1e6),
    },
}


def cross_validate(cohort: Cohort, settings: Settings, seed: int, fold_seed: int = FOLD_SEED) -> Validation:
    """Trains `FOLDS` models, each on the households of the other folds, as many baselines and ablations."""
    folds = Folds.draw(cohort, fold_seed)
    with tqdm(total=FOLDS * (settings.epochs * (1 + len(ABLATIONS)) + 2), desc="cross-validation", unit="epoch") as bar:
        base = _baseline(cohort, folds, bar.update)
        ours, votes = out_of_fold(cohort, folds, settings, seed, bar.update)
        groups = group_results(cohort, folds, ours, base)
        without = {}
        for name, change in ABLATIONS.items():
            found, _ = out_of_fold(cohort, folds, replace(settings, **change), seed, bar.update)
            results = group_results(cohort, folds, found, base)
            without[name] = np.stack([result.macro(result.probabilities()) for result in results], axis=1)
    departments = groups[-1]
    return Validation(groups, without, {name: departments.macro(vote) for name, vote in votes.items()})


def out_of_fold(cohort: Cohort, folds: Folds, settings: Settings, seed: int, progress) -> tuple[OutOfFold, dict]:
    """Logits, and the votes of the nearest households by embedding and by the bags themselves."""
    found, fields = OutOfFold.empty(cohort), bags_of(cohort.features).fields()
    votes = {"embedding": np.zeros(found.departments.shape), "standardised bags": np.zeros(found.departments.shape)}
    for fold in range(FOLDS):
        held, held_bought = folds.labelled == fold, folds.behaviour == fold
        labelled, behaviour = cohort.labelled.of(~held), cohort.behaviour.of(~held_bought)
        trained = train(labelled, behaviour, fields, settings, seed + fold, progress)
        found.tags[held] = trained.logits(cohort.labelled.x[held])[:, :TAGS]
        found.departments[held_bought] = trained.logits(cohort.behaviour.x[held_bought])[:, TAGS:]
        x = trained.scaler(cohort.behaviour.x)
        axes, center = embedding_axes(trained.members, x[~held_bought])
        places = (trained.members.parts(x)[1].detach() - center) @ axes
        for name, at in (("embedding", places), ("standardised bags", x)):
            votes[name][held_bought] = neighbours_vote(at[held_bought], at[~held_bought], behaviour.y)
    return found, votes


def _baseline(cohort: Cohort, folds: Folds, progress) -> OutOfFold:
    """Probabilities of the logistic regressions, on bags standardised by the same training households."""
    found, fields = OutOfFold.empty(cohort), bags_of(cohort.features).fields()
    for fold in range(FOLDS):
        scaler = Scaler.fit(cohort.labelled.x[folds.labelled != fold], fields)
        tag_x, x = scaler(cohort.labelled.x).numpy(), scaler(cohort.behaviour.x).numpy()
        found.tags[folds.labelled == fold] = _baseline_tags(tag_x, cohort.labelled.y, folds.labelled, fold)
        progress()
        held = folds.behaviour == fold
        found.departments[held] = baseline.predict_departments(
            x[~held], cohort.behaviour.y[~held], folds.behaviour[~held], x[held]
        )
        progress()
    return found


def _baseline_tags(x: np.ndarray, y: np.ndarray, folds: np.ndarray, fold: int) -> np.ndarray:
    """The baseline's probabilities of every group for the users of `fold`. Inner folds are the other four."""
    parts = []
    for group, width in enumerate(WIDTHS):
        known = (folds != fold) & (y[:, group] != UNKNOWN)
        parts.append(baseline.predict_group(x[known], y[known, group], folds[known], x[folds == fold], width))
    return np.concatenate(parts, axis=1)


def group_results(cohort: Cohort, folds: Folds, ours: OutOfFold, base: OutOfFold) -> list[GroupResult]:
    """Cuts the columns into groups and drops blanks; the departments come last."""
    results, start = [], 0
    for index, group in enumerate(DEMOGRAPHICS):
        columns = slice(start, start + len(group.labels))
        known = cohort.labelled.y[:, index] != UNKNOWN
        results.append(
            GroupResult(
                group.name,
                list(group.labels),
                True,
                folds.labelled[known],
                cohort.labelled.y[known, index],
                ours.tags[known, columns],
                base.tags[known, columns],
            )
        )
        start = columns.stop
    departments = GroupResult(
        DEPARTMENTS, cohort.departments, False, folds.behaviour, cohort.behaviour.y, ours.departments,
        base.departments,
    )  # fmt: skip
    return [*results, departments]
