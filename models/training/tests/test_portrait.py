"""Pooling, network, heads and measures of the portraits; skipped without torch or scikit-learn."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
pytest.importorskip("sklearn", reason="scikit-learn is not installed (extra `train`)")

from sklearn.metrics import roc_auc_score

from souk_training.encode import RowRefused, encode_rows
from souk_training.export import freeze
from souk_training.portrait import calibrate, spec
from souk_training.portrait.cohort import Sample, bags_of, origins_before
from souk_training.portrait.embedding import embedding_axes, neighbours_vote
from souk_training.portrait.fit import TAGS, WIDTHS, Settings, kinship, tag_loss, train
from souk_training.portrait.golden_users import golden_users
from souk_training.portrait.measures import auc, expected_calibration_error, macro_auc
from souk_training.portrait.network import Portrait
from souk_training.portrait.users import History

DEPARTMENTS = ["DELI", "GROCERY", "PASTRY"]
NAMES = [item["name"] for item in spec.inputs()]


@pytest.fixture(scope="module")
def features() -> list[dict]:
    import pandas as pd

    purchases = pd.DataFrame({"category": [f"C{i}" for i in range(12)], "department": DEPARTMENTS * 4})
    return spec.features_of(History(purchases, purchases, purchases))


@pytest.fixture(scope="module")
def manifest(features) -> dict:
    return {"task": "user_portrait", "features": features, "inputs": spec.inputs()}


@pytest.fixture(scope="module")
def rows(manifest) -> list[dict]:
    return golden_users(manifest, seed=3)


@pytest.fixture(scope="module")
def inputs(manifest, rows) -> dict:
    return {name: torch.from_numpy(array) for name, array in encode_rows(manifest, rows).items()}


@pytest.fixture(scope="module")
def trained(features, inputs):
    """A small network on made-up users with random tags, and the same as it is served."""
    bags = bags_of(features)
    x = bags(*inputs.values()).numpy()
    random = np.random.default_rng(0)
    tags = np.stack([random.integers(-1, width, len(x)) for width in WIDTHS], axis=1)
    bought = (random.random((len(x), len(DEPARTMENTS))) < 0.4).astype(np.float32)
    users = np.arange(len(x))
    settings = Settings(members=2, factors=3, hidden=8, epochs=1)
    found = train(Sample(x, tags, users), Sample(x, bought, users), bags.fields(), settings, seed=1)
    groups = [*WIDTHS, len(DEPARTMENTS)]
    served = Portrait(
        bags, found.scaler, found.members, found.head, groups, *embedding_axes(found.members, found.scaler(x))
    )
    return found, served.eval(), x


def pooled(features, *events, **scalars) -> dict[str, np.ndarray]:
    """Named fields of the bag vector of one user."""
    row = {"as_of": "2017-01-08", "features": {"events": list(events), **scalars}}
    encoded = encode_rows({"task": "user_portrait", "features": features, "inputs": spec.inputs()}, [row])
    bags = bags_of(features)
    x = bags(*(torch.from_numpy(array) for array in encoded.values()))[0].numpy()
    names, widths = zip(*bags.fields())
    return dict(zip(names, np.split(x, np.cumsum(widths)[:-1])))


def event(time="2017-01-08T00:00:00Z", category="C1", **fields) -> dict:
    return {"time": time, "category": category, **fields}


def test_categories_are_counted_in_logs(features):
    found = pooled(features, event(), event(), event(category="C0"), event(category="nobody's"))
    # Ids: 0 unknown, then C0, C1 in alphabetical order. Padding is not counted as unknown.
    np.testing.assert_allclose(found["category"][:3], np.log1p([1, 1, 2]), rtol=1e-6)
    assert found["category"][3:].sum() == 0


def test_old_purchases_fade_from_the_recent_counts(features):
    new = pooled(features, event(department="DELI"))["recent_department"]
    old = pooled(features, event("2016-10-01T00:00:00Z", department="DELI"))["recent_department"]
    assert new[1] > 10 * old[1] > 0


def test_baskets_are_told_apart_by_time(features):
    same = pooled(features, event(), event())["habits"]
    apart = pooled(features, event("2017-01-07T00:00:00Z"), event())["habits"]
    baskets = bags_of(features).brands + 1
    np.testing.assert_allclose([same[baskets], apart[baskets]], np.log1p([1, 2]), rtol=1e-6)


def test_the_hour_is_a_point_on_a_circle(features):
    # Days before midnight: noon is half a turn.
    noon = pooled(features, event("2017-01-08T12:00:00Z"))["hours"]
    np.testing.assert_allclose(noon[:4], [-1, 0, 1, 0], atol=1e-5)


def test_the_same_weekday_is_the_same_point_whatever_the_day_of_asking(features):
    bags = bags_of(features)
    found = []
    for as_of in ("2017-01-08", "2017-01-10"):
        row = {"as_of": as_of, "features": {"events": [event("2017-01-04T15:00:00Z")]}}
        encoded = encode_rows({"task": "user_portrait", "features": features, "inputs": spec.inputs()}, [row])
        found.append(bags(*(torch.from_numpy(array) for array in encoded.values()))[0, -10:].numpy())
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_fields_add_up_to_the_vector(trained, features):
    assert sum(width for _, width in bags_of(features).fields()) == trained[2].shape[1]


def test_served_logits_are_those_of_training(trained, inputs):
    found, served, x = trained
    outputs = served(*inputs.values())
    np.testing.assert_allclose(torch.cat(outputs[:-1], 1).numpy(), found.logits(x), atol=2e-5, rtol=1e-5)


def test_rows_do_not_depend_on_their_company(trained, inputs):
    frozen = freeze(trained[1])
    together = frozen(*inputs.values())
    for row in (0, 20, 50):
        alone = frozen(*(tensor[row : row + 1] for tensor in inputs.values()))
        for one, all_rows in zip(alone, together):
            np.testing.assert_allclose(one[0].numpy(), all_rows[row].numpy(), atol=1e-5, rtol=1e-5)


def test_a_user_of_whom_nothing_is_known_has_finite_outputs(trained, inputs):
    nothing = trained[1](*(torch.zeros_like(tensor[:2]) for tensor in inputs.values()))
    assert all(torch.isfinite(output).all() for output in nothing)


def test_training_is_repeatable(trained, features):
    _, _, x = trained
    tags, bought = np.zeros((len(x), len(WIDTHS)), np.int64), np.tile(np.float32([0, 1, 1]), (len(x), 1))
    tags[::2] = 1
    bought[::3] = 1 - bought[::3]
    sample = Sample(x, tags, np.arange(len(x))), Sample(x, bought, np.arange(len(x)))
    settings = Settings(members=2, factors=3, hidden=8, epochs=1)
    first, again = (train(*sample, bags_of(features).fields(), settings, seed=5).logits(x) for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_blank_labels_cost_nothing():
    logits = torch.randn(4, TAGS)
    classes = torch.zeros(4, len(WIDTHS), dtype=torch.int64)
    blank = classes.clone()
    blank[2:] = -1
    torch.testing.assert_close(tag_loss(logits, blank), tag_loss(logits[:2], classes[:2]))


def test_neighbouring_ages_are_kin_and_distant_ones_less():
    classes = np.stack([np.arange(48) % width for width in WIDTHS], axis=1)
    tied = kinship(classes, Settings(across=0.0))
    assert tied[0, 0] == 1 and 1 > tied[0, 1] > tied[0, 5] > 0
    marital = slice(TAGS - 2, TAGS)
    assert torch.equal(tied[marital, marital], torch.eye(2)) and (tied[:6, 6:] == 0).all()


def test_auc_agrees_with_scikit_learn_on_ties():
    random = np.random.default_rng(1)
    positive, score = random.random(200) < 0.3, random.integers(0, 9, 200)
    assert auc(positive, score) == pytest.approx(roc_auc_score(positive, score))
    assert np.isnan(auc(np.ones(3), np.arange(3)))


def test_a_tag_that_nobody_has_is_left_out_of_the_mean():
    y, found = np.array([0, 1, 0, 1]), np.array([[0.9, 0.1, 0], [0.2, 0.8, 0], [0.6, 0.4, 0], [0.3, 0.7, 0]])
    assert macro_auc(y, found) == 1.0


def test_calibration_takes_back_an_overconfidence():
    random = np.random.default_rng(2)
    logits = random.normal(size=(4000, 3))
    classes = np.array([random.choice(3, p=p) for p in calibrate.probabilities(logits, {}, exclusive=True)])
    found = calibrate.fit_softmax(2.0 * logits, classes)
    assert found["scale"] == pytest.approx(0.5, abs=0.05)
    bought = random.random((4000, 3)) < calibrate.probabilities(logits, {"bias": [1.0, 0.0, -1.0]}, exclusive=False)
    found = calibrate.fit_sigmoid(logits, bought.astype(float))
    np.testing.assert_allclose([found["scale"], *found["bias"]], [1, 1, 0, -1], atol=0.15)


def test_certain_and_wrong_is_an_error_of_1():
    assert expected_calibration_error(np.zeros(20), np.ones(20)) == 1.0


def test_golden_users_cover_padding_truncation_and_the_unknown(inputs, rows):
    lines = (inputs["time"] > 0).sum(1)
    assert lines.min() == 1 and lines.max() == spec.MAX_EVENTS
    assert max(len(row["features"]["events"]) for row in rows) > spec.MAX_EVENTS
    assert 64 <= len(rows) <= 128 and len({row["user_id"] for row in rows}) == len(rows)
    assert json.dumps(rows) == json.dumps(json.loads(json.dumps(rows)))


def test_golden_users_are_the_same_for_a_seed(manifest, rows):
    assert golden_users(manifest, seed=3) == rows


def test_a_user_without_events_is_refused(manifest):
    with pytest.raises(RowRefused, match="events.category"):
        encode_rows(manifest, [{"features": {"tenure_days": 3.0}, "as_of": "2017-12-31"}])


def test_neighbours_vote_by_distance():
    known = torch.arange(200.0).unsqueeze(1)
    bought = (np.arange(200)[:, None] < 50).astype(np.float32)
    assert neighbours_vote(torch.tensor([[0.0], [199.0]]), known, bought).tolist() == [[1.0], [0.0]]


def test_horizons_of_the_origins_do_not_overlap():
    assert origins_before("2017-12-31")[:2] == ["2017-12-03", "2017-11-05"]
