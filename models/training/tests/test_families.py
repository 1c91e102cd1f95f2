"""Every family can be scripted, and rows alone are as in a batch; skipped without torch or a boosting library."""

import numpy as np
import pytest

REASON = "{} is not installed (extra `train`)"
torch = pytest.importorskip("torch", reason=REASON.format("torch"))
for library in ("lightgbm", "xgboost", "scipy"):
    pytest.importorskip(library, reason=REASON.format(library))

from souk_training.export import freeze  # noqa: E402
from souk_training.families import answers, gmv, portraits  # noqa: E402
from souk_training.families.catalogue import FAMILIES, Boosted  # noqa: E402
from souk_training.families.fields import FACTORS, Fields, Latent  # noqa: E402
from souk_training.families.portrait_training import Users  # noqa: E402
from souk_training.families.wide_deep import WideDeep  # noqa: E402
from souk_training.gmv.dataset import Part, Split  # noqa: E402
from souk_training.gmv.features import build_features, build_inputs  # noqa: E402
from souk_training.portrait.bags import Bags  # noqa: E402
from souk_training.portrait.cohort import Sample, pool  # noqa: E402
from souk_training.portrait.fit import WIDTHS  # noqa: E402
from souk_training.portrait.network import Scaler  # noqa: E402

TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}
BY_TITLE = pytest.mark.parametrize("family", FAMILIES, ids=[family.folder for family in FAMILIES])


def shops(rows: int) -> list[torch.Tensor]:
    """Inputs of merchant_gmv, the last row without a record."""
    gmv_of = torch.exp(torch.randn(rows, 112) * 0.3 + 5).round() * (torch.rand(rows, 112) < 0.9)
    gmv_of[-1] = 0.0
    ids = torch.stack([torch.randint(0, n, (rows,)) for n in (3, 2, 3, 3, 5, 7, 6, 6, 6)], 1)
    return [ids, torch.randn(rows, 5), gmv_of, (gmv_of / 10).ceil()]


def split() -> Split:
    torch.manual_seed(0)
    cities, levels = ["a", "b"], [1.0, 2.0, 3.0]
    rows = [
        {"features": {"city": cities[i % 2], "category_l1": "food", "category_l2": cities[i % 2],
                      "category_l3": cities[i // 2 % 2], "shop_level": levels[i % 3], "average_basket": 5.0 + i,
                      "rating": i % 5, "review_count": i}}
        for i in range(40)
    ]  # fmt: skip
    encoding = {"features": build_features(rows, ["2016-10-01"]), "inputs": build_inputs()}
    parts = [Part(inputs, inputs[2][:, -28:].sum(1) * 1.1) for inputs in (shops(600), shops(200))]
    return Split(encoding, parts[0], torch.arange(600) // 300, parts[1], {})


def users(rows: int, seed: int) -> list[torch.Tensor]:
    """Inputs of user_portrait: padding in front, one user with a full sequence, one of whom only a time is known."""
    torch.manual_seed(seed)
    lengths = torch.randint(1, 40, (rows, 1))
    lengths[0] = 256
    there = torch.arange(256) >= 256 - lengths
    ids = [torch.randint(0, size, (rows, 256)) * there for size in (8, 4, 6, 3)]
    time = (torch.rand(rows, 256) * 300).sort(1, descending=True).values * there
    numbers = [torch.rand(rows, 256) * there for _ in range(3)]
    for column in (*ids, *numbers):
        column[1] = 0
    return [*ids, time, *numbers, torch.rand(rows, 4)]


def known(count: int, seed: int, y: np.ndarray) -> Users:
    inputs = users(count, seed)
    x = pool(bags(), [column.numpy() for column in inputs], np.float64)
    return Users(Sample(x, y, np.arange(count)), inputs[: portraits.SEQUENCES])


def bags() -> Bags:
    return Bags(categories=8, departments=4, stores=6, brands=3, scalars=4)


def alone(module, inputs: list[torch.Tensor], rows: int) -> list:
    return [module(*(column[row : row + 1] for column in inputs)) for row in range(rows)]


@BY_TITLE
def test_a_forecast_is_the_library_s_alone_and_in_a_batch(family):
    learnt, inputs = family.forecast(split(), seed=1), shops(7)
    frozen = freeze(learnt.module)
    with torch.inference_mode():
        wanted, found = learnt.library(*inputs), frozen(*inputs)
        assert torch.isfinite(wanted).all() and wanted.std(0).min() > 0
        tolerance = {"rtol": 1e-6, "atol": 0.0} if isinstance(family, Boosted) else TOLERANCE
        for answered in (found, torch.cat(alone(frozen, inputs, 7))):
            torch.testing.assert_close(answered.double(), wanted.double(), **tolerance)


@BY_TITLE
def test_a_portrait_is_the_library_s_alone_and_in_a_batch(family):
    random = np.random.default_rng(0)
    classes = np.stack([random.integers(-1, width, 120) for width in WIDTHS], 1)
    bought = (random.random((140, 2)) < 0.3).astype(np.float32)
    learnt = family.portrait(bags(), known(120, 1, classes), known(140, 2, bought), seed=1)
    inputs, frozen = users(7, 3), freeze(learnt.module)
    with torch.inference_mode():
        wanted, found, singles = learnt.library(*inputs), frozen(*inputs), alone(frozen, inputs, 7)
    assert [group.shape[1] for group in wanted] == [*WIDTHS, 2]
    for index, group in enumerate(wanted):
        assert torch.isfinite(group).all()
        for answered in (found[index], torch.cat([single[index] for single in singles])):
            torch.testing.assert_close(answered.double(), group.double(), **TOLERANCE)


def test_pairs_are_products_of_every_two_values():
    torch.manual_seed(0)
    latent = Latent(Fields(cardinalities=(3, 4), bags=(2, 3), numbers=2), deviation=1.0)
    ids, values = torch.tensor([[2, 3]]), torch.randn(1, 7)
    one_by_one = torch.cat([latent.ids(ids)[0], values[0, :, None] * latent.factors])
    pairs = sum(one_by_one[i] * one_by_one[j] for i in range(len(one_by_one)) for j in range(i))
    vectors, found = latent(ids, values)
    torch.testing.assert_close(found[0], pairs)
    assert vectors.shape == (1, 4, FACTORS)


def test_each_combination_of_crossed_ids_has_its_own_weight():
    torch.manual_seed(0)
    fields = Fields(cardinalities=(3, 4), numbers=1, crosses=((0, 1),))
    model = WideDeep(fields, 1, (4,), 0.0)
    assert model.crossed.table.num_embeddings == 12
    with torch.no_grad():
        model.last.zero_()
        model.crossed.table.weight.copy_(torch.arange(12.0)[:, None])
    ids = torch.cartesian_prod(torch.arange(3), torch.arange(4))
    assert sorted(model(ids, torch.zeros(12, 1)).flatten().tolist()) == list(range(12))


def test_the_newest_events_are_what_the_sequence_model_attends_to():
    torch.manual_seed(0)
    pooled = pool(bags(), [column.numpy() for column in users(60, 1)])
    network = portraits.SequencePortrait(bags(), Scaler.fit(pooled, bags().fields()), 2, (8,), 0.0).eval()
    events, x = users(3, 4)[: portraits.SEQUENCES], torch.zeros(3, len(network.columns))
    with torch.inference_mode():
        before = network.logits(x, events)
        events[0][0, : -portraits.NEWEST] = 7
        torch.testing.assert_close(network.logits(x, events), before)
        events[0][0, -1] = (events[0][0, -1] + 1) % 8
        assert not torch.allclose(network.logits(x, events)[0], before[0], atol=0.0)


def test_holidays_are_kept_from_trees():
    assert "holidays_in_horizon" not in gmv.TREE_NUMBERS and len(gmv.TREE_NUMBERS) == 4


def test_differences_are_relative_and_a_zero_that_should_be_none_is_infinite():
    wanted = np.array([[2.0, 0.0]])
    assert answers.worst_difference(np.array([[2.2, 0.0]]), wanted) == pytest.approx(0.1)
    assert answers.worst_difference(np.array([[2.0, 0.1]]), wanted) == np.inf
    with pytest.raises(ValueError, match="numbers served"):
        answers.worst_difference(np.zeros((1, 1)), wanted)
