"""Which families there are, and how each is trained for a task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from souk_training import export
from souk_training.families import gmv, portrait_training, portraits
from souk_training.families.boosting import Library, LightGBM, XGBoost
from souk_training.families.dcn import DCN
from souk_training.families.deepfm import DeepFM
from souk_training.families.fm import FM
from souk_training.families.linear import Linear
from souk_training.families.portrait_training import Users
from souk_training.families.wide_deep import WideDeep
from souk_training.gmv.dataset import Split
from souk_training.gmv.network import N_OUTPUTS
from souk_training.gmv.train import fit
from souk_training.portrait.bags import Bags
from souk_training.portrait.fit import TAGS
from souk_training.portrait.network import Scaler


@dataclass(frozen=True)
class Learnt:
    """A trained family for one task."""

    # What is exported and served.
    module: nn.Module
    # What the training library itself says, on the same inputs.
    library: nn.Module
    # Logits of users; for portraits only.
    logits: Callable[[Users], np.ndarray] | None = None


@dataclass(frozen=True)
class Neural:
    """A family that PyTorch trains; `None` is the sequence model, which reads more than ids and values."""

    folder: str
    title: str
    family: type[nn.Module] | None
    # Of `merchant_gmv`.
    head = "ziln"

    def forecast(self, split: Split, seed: int) -> Learnt:
        """Trained as the shipped network is, by its loss and its split."""
        export.deterministic(seed)
        settings, fields = replace(gmv.SETTINGS, seed=seed), gmv.fields_of(split)
        if self.family is None:
            network = gmv.SequenceForecast(fields, settings.hidden, settings.dropout)
        else:
            network = gmv.FieldForecast(self.family(fields, N_OUTPUTS, settings.hidden, settings.dropout))
        network = fit(network, split, settings).eval()
        return Learnt(network, network)

    def portrait(self, bags: Bags, labelled: Users, behaviour: Users, seed: int) -> Learnt:
        """Trained on these users alone."""
        export.deterministic(seed)
        settings, scaler = portrait_training.Settings(), Scaler.fit(labelled.sample.x, bags.fields())
        departments = behaviour.sample.y.shape[1]
        if self.family is None:
            network = portraits.SequencePortrait(bags, scaler, departments, settings.hidden, settings.dropout)
        else:
            fields = portraits.fields_of(scaler)
            family = self.family(fields, TAGS + departments, settings.hidden, settings.dropout)
            network = portraits.FieldPortrait(bags, scaler, departments, family)
        network = portrait_training.fit(network, scaler, labelled, behaviour, settings, seed)
        return Learnt(network, network, lambda users: portrait_training.predict(network, scaler, users))


@dataclass(frozen=True)
class Boosted:
    """A family that a library of boosted trees trains."""

    folder: str
    title: str
    library: Library
    head = "point"

    def forecast(self, split: Split, seed: int) -> Learnt:
        """One booster of the log ratio to the level."""
        return Learnt(*gmv.train_trees(self.library, split, seed))

    def portrait(self, bags: Bags, labelled: Users, behaviour: Users, seed: int) -> Learnt:
        """A booster for each group of tags and each department, on the columns that the networks use."""
        columns, departments = Scaler.fit(labelled.sample.x, bags.fields()).columns, behaviour.sample.y.shape[1]
        boosters = portrait_training.train_trees(self.library, columns, labelled.sample, behaviour.sample, seed)
        return Learnt(
            portraits.TreePortrait(bags, columns, boosters, departments),
            portraits.LibraryPortrait(bags, columns, boosters, departments),
            lambda users: portraits.margins_of(boosters, users.sample.x[:, columns]),
        )


FAMILIES = (
    Neural("logistic_regression", "logistic regression", Linear),
    Neural("fm", "FM", FM),
    Neural("deepfm", "DeepFM", DeepFM),
    Neural("wide_deep", "Wide & Deep", WideDeep),
    Neural("dcn_v2", "DCN-v2", DCN),
    Neural("sequence", "sequence (transformer)", None),
    Boosted("lightgbm", "LightGBM", LightGBM()),
    Boosted("xgboost", "XGBoost", XGBoost()),
)
