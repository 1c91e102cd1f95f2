"""The MODEL_CARD.md of `merchant_gmv`."""

from __future__ import annotations

from souk_training import card
from souk_training.gmv import ACTIVE_DAYS, HORIZON_DAYS
from souk_training.gmv.baselines import BASELINES
from souk_training.gmv.dataset import FIRST_TRAIN, LAST_TRAIN, VALIDATION, Split
from souk_training.gmv.evaluate import NETWORK, Scores
from souk_training.gmv.train import Settings
from souk_training.layout import DatasetInfo

_APPROXIMATION = "GMV here is payments × `per_pay`, in CNY: the data hold no amounts of money."


def write_card(info: DatasetInfo, split: Split, scores: Scores, settings: Settings, command: str) -> str:
    """The whole page."""
    summary = (
        f"Forecasts the GMV of a merchant over the {HORIZON_DAYS} days after `as_of`, as a zero-inflated lognormal "
        f"distribution. {_APPROXIMATION}"
    )
    return card.card(
        "merchant_gmv",
        summary,
        _data(info),
        _split(split),
        _metrics(scores),
        _model(settings),
        _limits(),
        card.section("How to reproduce", f"```\n{command}\n```\n\nOne thread and the same seed give the same weights."),
    )


def _data(info: DatasetInfo) -> str:
    return card.section(
        "Data and terms",
        card.bullets(
            f"{info.name}: {info.source}; {info.first_day} to {info.last_day}.",
            f"Terms: {info.terms}. No row of the data is in this folder; the manifest holds names of cities and "
            "categories, and the golden rows are made up.",
            *info.notes,
        ),
    )


def _split(split: Split) -> str:
    return card.section(
        "Split",
        f"By time. An origin is the first day of a horizon; shops with a record in the {ACTIVE_DAYS} days before it "
        "take part. No outcome of one part lies in the outcomes of another. Settings were chosen on folds inside the "
        "training span; the test figures were in sight meanwhile, but did not decide.",
        card.table(
            ["part", "origins", "rows"],
            [
                ["train", f"Mondays from {FIRST_TRAIN} to {LAST_TRAIN}", len(split.train)],
                ["validation", str(VALIDATION), len(split.validation)],
                *(["test", str(origin), len(part)] for origin, part in split.tests.items()),
            ],
        ),
    )


def _metrics(scores: Scores) -> str:
    origins = list(scores.shops)
    header = ["forecaster", *(f"{origin}" for origin in origins), "mean"]
    tables = []
    for place, metric in enumerate(("WAPE", "RMSLE")):
        lines = [
            [name, *(errors[origin][place] for origin in origins), scores.mean(name)[place]]
            for name, errors in scores.errors.items()
        ]
        tables.append(f"{metric}, by test origin (lower is better):\n\n" + card.table(header, lines))
    covered = ", ".join(f"{share:.1%} on {origin}" for origin, share in scores.coverage.items())
    return card.section(
        "Metrics",
        f"{_APPROXIMATION} The forecast is the mean, `expected_gmv`.",
        *tables,
        f"The central 80 % interval of {NETWORK} covers {covered}.",
        "RMSLE is ruled by the few shops that stop or start selling within the horizon. LightGBM: Huber loss on the "
        "same target, the same numbers relative to the level, without city, tenure and holidays, early stopping on "
        "the validation origin.",
        _caveat(scores),
    )


def _caveat(scores: Scores) -> str:
    """Names the origins where a forecaster without a model had the lower WAPE."""
    ours = scores.errors[NETWORK]
    better = [
        f"{name} on {origin} ({errors[origin][0]:.3f} against {ours[origin][0]:.3f})"
        for name, errors in scores.errors.items()
        for origin in errors
        if name in BASELINES and errors[origin][0] < ours[origin][0]
    ]
    return f"A baseline has the lower WAPE at: {'; '.join(better) or 'no test origin'}."


def _model(settings: Settings) -> str:
    return card.section(
        "Model",
        "DeepFM (Guo et al. 2017, arXiv:1703.04247) on city, categories, bucketed attributes and numbers that the "
        "network derives from the last 112 days. It forecasts the log ratio to the recent level (mean GMV of a "
        f"recorded day of the last 28), not the amount. {settings.members} members in one batched product, averaged in "
        "log space. Zero-inflated lognormal head: Wang et al. 2019, arXiv:1912.07753.",
        card.bullets(
            "The ratio is trained by a Huber loss, sigma by the pinball loss of the 80 % interval, the "
            "probability of sales by cross-entropy.",
            "What all shops of an origin (or of a category at an origin) share is a random effect in training and 0 in "
            "service, so that a good month is not taken for a property of the shops that took part in it.",
            f"In training all attributes of {settings.bare_rows:.0%} of the rows are hidden, and half of those of "
            f"another {settings.patchy_rows:.0%}: any of them may be missing in a request.",
            "`model.pt` holds the network's inference form: what is linear is folded into constants, so that it needs "
            "half as many operators. It agrees with the trained form within the manifest's tolerance.",
            "A day that is 0 in a series counts as not recorded, not as a day of low sales.",
        ),
    )


def _limits() -> str:
    return card.section(
        "Limits",
        card.bullets(
            "One year of one platform: seasons were seen once at most. Shocks shared by all shops (summer, New Year) "
            "are not foreseen, and the errors of one origin go together.",
            "Nearly all shops in the data are alive on the last day, so closing down cannot be learnt. The probability "
            "of sales of a merchant without any record is set low by hand.",
            "Baskets are 1 to 20 CNY per person: restaurants, convenience stores, and the like.",
            "Not for credit decisions or anything that decides about people.",
        ),
    )
