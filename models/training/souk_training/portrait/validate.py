"""Cross-validation by household: every figure is of households that the model has never seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, softmax
from tqdm import tqdm

from souk_training.portrait import baseline
from souk_training.portrait.cohort import Cohort, bags_of
from souk_training.portrait.fit import TAGS, WIDTHS, Settings, train
from souk_training.portrait.measures import macro_auc, tag_aucs
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


def cross_validate(cohort: Cohort, settings: Settings, seed: int, fold_seed: int = FOLD_SEED) -> list[GroupResult]:
    """Trains `FOLDS` models, each on the households of the other folds, and as many baselines."""
    dealt = draw_folds(cohort, fold_seed)
    folds = np.array([dealt[user] for user in cohort.labelled.users])
    bought_folds = np.array([dealt[user] for user in cohort.behaviour.users])
    ours, bought = np.zeros((len(folds), TAGS)), np.zeros(cohort.behaviour.y.shape)
    base, base_bought = np.zeros(ours.shape), np.zeros(bought.shape)
    fields = bags_of(cohort.features).fields()
    with tqdm(total=FOLDS * (settings.epochs + 2), desc="cross-validation", unit="epoch") as bar:
        for fold in range(FOLDS):
            held, held_bought = folds == fold, bought_folds == fold
            labelled, behaviour = cohort.labelled.of(~held), cohort.behaviour.of(~held_bought)
            trained = train(labelled, behaviour, fields, settings, seed + fold, lambda: bar.update())
            ours[held] = trained.logits(cohort.labelled.x[held])[:, :TAGS]
            bought[held_bought] = trained.logits(cohort.behaviour.x[held_bought])[:, TAGS:]
            x, bought_x = trained.scaler(cohort.labelled.x), trained.scaler(cohort.behaviour.x)
            base[held] = _baseline_tags(x.numpy(), cohort.labelled.y, folds, fold)
            bar.update()
            base_bought[held_bought] = baseline.predict_departments(
                bought_x[~held_bought].numpy(), behaviour.y, bought_folds[~held_bought], bought_x[held_bought].numpy()
            )
            bar.update()
    departments = GroupResult(
        DEPARTMENTS, cohort.departments, False, bought_folds, cohort.behaviour.y, bought, base_bought
    )
    return [*_demographic_results(cohort, folds, ours, base), departments]


def _baseline_tags(x: np.ndarray, y: np.ndarray, folds: np.ndarray, fold: int) -> np.ndarray:
    """The baseline's probabilities of every group for the users of `fold`. Inner folds are the other four."""
    parts = []
    for group, width in enumerate(WIDTHS):
        known = (folds != fold) & (y[:, group] != UNKNOWN)
        parts.append(baseline.predict_group(x[known], y[known, group], folds[known], x[folds == fold], width))
    return np.concatenate(parts, axis=1)


def _demographic_results(cohort: Cohort, folds, ours, base) -> list[GroupResult]:
    """Cuts the columns into groups and drops blanks."""
    results, start = [], 0
    for index, group in enumerate(DEMOGRAPHICS):
        columns = slice(start, start + len(group.labels))
        known = cohort.labelled.y[:, index] != UNKNOWN
        results.append(
            GroupResult(
                group.name, list(group.labels), True, folds[known], cohort.labelled.y[known, index],
                ours[known, columns], base[known, columns],
            )  # fmt: skip
        )
        start = columns.stop
    return results
