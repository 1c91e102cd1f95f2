"""The DeepFM and the network of merchant_gmv; skipped without torch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")

from souk_training.deepfm import DeepFM  # noqa: E402
from souk_training.export import check_parity, freeze, new_version, write_version  # noqa: E402
from souk_training.gmv.features import build_features, build_inputs  # noqa: E402
from souk_training.gmv.golden_rows import golden_rows  # noqa: E402
from souk_training.gmv.network import GmvNetwork  # noqa: E402
from souk_training.heads import active_probability, expected_gmv  # noqa: E402
from souk_training.manifest import build_manifest, read_manifest  # noqa: E402

SHOP = {"city": "上海", "category_l1": "美食", "category_l2": "快餐", "category_l3": "面包", "shop_level": 1.0,
        "average_basket": 8.0, "rating": 3.0, "review_count": 2.0}  # fmt: skip


def gmv_manifest() -> dict:
    rows = [{"features": {**SHOP, "average_basket": 5.0 + i, "rating": float(i % 5), "shop_level": float(i % 3),
                          "review_count": float(i)}} for i in range(20)]  # fmt: skip
    return build_manifest(
        model="merchant_gmv", version=1, task="merchant_gmv", description="test", torch_version="2.11.0",
        features=build_features(rows, ["2016-10-01"]), inputs=build_inputs(),
        outputs=[{"name": "ziln", "dtype": "float32", "shape": [3]}],
        head={"kind": "ziln", "output": "ziln", "currency": "CNY", "horizon_days": 28, "quantiles": [0.5]},
    )  # fmt: skip


def gmv_network() -> GmvNetwork:
    torch.manual_seed(0)
    return GmvNetwork([2, 2, 2, 2, 5, 7, 6, 6, 6], n_dense=5, members=3, hidden=(8, 4), dropout=0.1).eval()


def series(*rows: list[float]) -> tuple:
    gmv = torch.zeros(len(rows), 112)
    for index, row in enumerate(rows):
        gmv[index, 112 - len(row) :] = torch.tensor(row)
    return torch.zeros(len(rows), 9, dtype=torch.int64), torch.zeros(len(rows), 5), gmv, torch.zeros_like(gmv)


def test_second_order_term_is_the_sum_over_pairs():
    torch.manual_seed(0)
    model = DeepFM([3, 4], n_dense=2, n_outputs=1, embedding_dim=5, hidden=(6,), members=1)
    with torch.no_grad():
        model.last.weight.zero_()
        model.table.weight.normal_()
        model.dense_factors.normal_()
    ids, dense = torch.tensor([[2, 3]]), torch.tensor([[0.5, -2.0]])
    rows = model.table.weight[torch.tensor([2, 3 + 3])]
    fields = torch.cat([rows, dense.T * model.dense_factors[0]])
    vectors, first_order = fields[:, :5], fields[:, 5].sum()
    pairs = sum((vectors[i] * vectors[j]).mean() for i in range(4) for j in range(i))
    torch.testing.assert_close(model(ids, dense)[0, 0, 0], first_order + pairs)


def test_members_do_not_mix():
    torch.manual_seed(0)
    model = DeepFM([4], n_dense=3, n_outputs=2, members=2)
    ids, dense = torch.randint(0, 4, (5, 1)), torch.randn(5, 3)
    before = model(ids, dense)
    with torch.no_grad():
        model.last.weight[1] += 1.0
    after = model(ids, dense)
    torch.testing.assert_close(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_forecast_scales_with_the_series():
    mu = gmv_network()(*series([100.0, 150.0, 0.0, 120.0], [200.0, 300.0, 0.0, 240.0]))[:, 1]
    # Only the volume, one of some 80 numbers, differs between the two.
    assert (mu[1] - mu[0]).item() == pytest.approx(np.log(2.0), abs=0.1)


def test_a_series_without_a_record_is_finite_and_probably_inactive():
    outputs = gmv_network()(*series([0.0] * 112, [100.0] * 112)).detach().numpy()
    assert np.isfinite(outputs).all()
    inactive, active = active_probability(outputs)
    assert inactive < 0.05 < 0.9 < active
    assert expected_gmv(outputs)[0] < 100.0


@pytest.mark.parametrize("values", [[1e-40], [1e-40, 1e12], [1e12] * 112, [0.0] * 50 + [1e-3], [1e12] + [0.0] * 40])
def test_no_series_makes_the_forecast_infinite(values):
    outputs = gmv_network()(*series(values)).detach().numpy()
    assert np.isfinite(expected_gmv(outputs)).all()


def test_a_day_without_a_record_is_not_a_day_of_low_sales():
    gaps, full = gmv_network()(*series([100.0, 0.0] * 14, [100.0] * 28))[:, 1].tolist()
    assert gaps == pytest.approx(full, abs=0.2)


def test_golden_rows_cover_the_corners_and_their_outputs_agree(tmp_path):
    manifest, network = gmv_manifest(), gmv_network()
    rows = golden_rows(manifest, seed=1)
    assert 64 <= len(rows) <= 128
    lengths = [len(row["features"]["daily_gmv"]) for row in rows]
    assert min(lengths) == 1 and max(lengths) > 112
    outputs = write_version(tmp_path / "1", network, manifest, rows, "# card")
    assert np.isfinite(outputs["ziln"]).all()
    written = read_manifest(tmp_path / "1")
    assert sorted(written["files"]) == ["MODEL_CARD.md", "golden.jsonl", "model.pt"]


def test_a_version_is_never_written_twice(tmp_path):
    folder = tmp_path / "2"
    assert new_version(folder) == 2
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="take the next number"):
        new_version(folder)
    with pytest.raises(ValueError, match="the version's number"):
        new_version(tmp_path / "latest")


def test_a_module_that_changes_when_frozen_is_refused():
    manifest, network = gmv_manifest(), gmv_network()
    frozen = freeze(network)
    # A new tensor: the frozen module shares memory with the old one.
    network.deepfm.bias = torch.nn.Parameter(network.deepfm.bias + 0.01)
    names = [spec["name"] for spec in manifest["inputs"]]
    inputs = dict(zip(names, (tensor.numpy() for tensor in series([100.0] * 30)), strict=True))
    with pytest.raises(AssertionError):
        check_parity(network, frozen, manifest, inputs)
