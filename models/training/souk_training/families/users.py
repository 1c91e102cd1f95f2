"""user_portrait in the comparison: the data, the folds, the held-out rows, and how good tags are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from souk_training.families.catalogue import Learnt
from souk_training.families.portrait_training import Users
from souk_training.families.portraits import SEQUENCES
from souk_training.golden import write_jsonl
from souk_training.layout import Layout
from souk_training.portrait import fit, validate
from souk_training.portrait.bags import Bags
from souk_training.portrait.cohort import Cohort, EncodedDays, bags_of, cohort_of, encode_days
from souk_training.portrait.measures import standard_error
from souk_training.portrait.users import user_rows
from souk_training.portrait.validate import FOLD_SEED, FOLDS, Folds, GroupResult, OutOfFold

QUESTION, MODEL = "user-portrait", "user_portrait"
# Its households are those that the served version has not seen.
SERVED_FOLD = 0
FEWEST_HELD_OUT = 1000


@dataclass(frozen=True)
class Quality:
    """Macro AUC of the demographic tags (mean of the groups, with the standard error over the folds) and of the
    departments, and the accuracy of the most probable tag, mean of the groups."""

    tags: float
    tags_error: float
    departments: float
    accuracy: float


@dataclass(frozen=True)
class UserTask:
    """The shipped model's folds, by household."""

    layout: Layout
    encoded: EncodedDays
    cohort: Cohort
    folds: Folds
    labelled: Users
    behaviour: Users

    @staticmethod
    def read(folder: Path) -> UserTask:
        """From a layout. Bags are computed in float64 and rounded, as trees want them."""
        layout = Layout(folder)
        encoded = encode_days(layout)
        cohort = cohort_of(layout, encoded, np.float64)
        place = {user: index for index, user in enumerate(cohort.everyone.users)}
        rows = [place[user] for user in cohort.labelled.users]
        labelled = [torch.from_numpy(column[rows]) for column in encoded.inputs[cohort.last_day][:SEQUENCES]]
        behaviour = [
            torch.from_numpy(np.concatenate([encoded.inputs[day][index] for day in cohort.origins]))
            for index in range(SEQUENCES)
        ]
        folds = Folds.draw(cohort, FOLD_SEED)
        users = (Users(cohort.labelled, labelled), Users(cohort.behaviour, behaviour))
        return UserTask(layout, encoded, cohort, folds, *users)

    @property
    def bags(self) -> Bags:
        """The pooling."""
        return bags_of(self.cohort.features)

    def cross_validate(self, train: Callable[[Users, Users, int], Learnt], seed: int) -> tuple[Learnt, Quality]:
        """What was learnt without the served fold, and the quality over all folds."""
        found, kept = OutOfFold.empty(self.cohort), []
        for fold in range(FOLDS):
            held, held_bought = self.folds.labelled == fold, self.folds.behaviour == fold
            learnt = train(self.labelled.of(~held), self.behaviour.of(~held_bought), seed + fold)
            found.tags[held] = learnt.logits(self.labelled.of(held))[:, : fit.TAGS]
            found.departments[held_bought] = learnt.logits(self.behaviour.of(held_bought))[:, fit.TAGS :]
            kept.append(learnt)
        return kept[SERVED_FOLD], self._quality(found)

    def shipped(self, seed: int) -> Quality:
        """Of the shipped network, cross-validated on the same folds."""
        found, _ = validate.out_of_fold(self.cohort, self.folds, fit.Settings(), seed, lambda: None)
        return self._quality(found)

    def same_for_all(self) -> Quality:
        """Of the answer that is each tag's share among the known."""
        results = self._results(OutOfFold.empty(self.cohort))[:-1]
        majority = [result.support().max() / len(result.y) for result in results]
        return Quality(0.5, 0.0, 0.5, float(np.mean(majority)))

    def write_held_out(self, path: Path) -> list[dict]:
        """Writes households of the served fold, at as many days as it takes; returns the rows."""
        dealt = validate.draw_folds(self.cohort, FOLD_SEED)
        rows: list[dict] = []
        for day in self.encoded.days:
            if len(rows) < FEWEST_HELD_OUT:
                everyone = user_rows(self.encoded.history, day)
                rows += [row for row in everyone if dealt[row["user_id"]] == SERVED_FOLD]
        write_jsonl(path, rows)
        return rows

    def _quality(self, found: OutOfFold) -> Quality:
        results = self._results(found)
        *tags, departments = np.stack([result.macro(result.probabilities()) for result in results])
        by_fold = np.mean(tags, axis=0)
        right = [(result.logits.argmax(1) == result.y).mean() for result in results[:-1]]
        return Quality(
            float(by_fold.mean()), float(standard_error(by_fold)), float(departments.mean()), float(np.mean(right))
        )

    def _results(self, found: OutOfFold) -> list[GroupResult]:
        return validate.group_results(self.cohort, self.folds, found, found)
