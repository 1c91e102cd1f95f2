"""The inference form of merchant_gmv is the trained network; skipped without torch."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")

from souk_training import deepfm_folded  # noqa: E402
from souk_training.deepfm import DeepFM  # noqa: E402
from souk_training.export import freeze  # noqa: E402
from souk_training.gmv.folded import FoldedGmv  # noqa: E402
from souk_training.gmv.network import GmvNetwork  # noqa: E402

CARDINALITIES = [4, 2, 3, 5, 5, 7, 6, 6, 6]
# The manifest's: what the server allows between a module and its golden outputs.
TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}


def network(members: int = 4, hidden: tuple[int, ...] = (16, 8)) -> GmvNetwork:
    """Every weight and bias is off its first value, as after training."""
    torch.manual_seed(0)
    network = GmvNetwork(CARDINALITIES, n_dense=5, members=members, hidden=hidden, dropout=0.1).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network


def inputs(gmv: torch.Tensor) -> list[torch.Tensor]:
    rows = len(gmv)
    ids = torch.stack([torch.randint(0, n, (rows,)) for n in CARDINALITIES], 1)
    orders = (gmv / 10).ceil().clamp(max=1e9) * (torch.rand(rows, 1) < 0.9)
    return [ids, torch.randn(rows, 5), gmv, orders]


def ordinary(rows: int) -> torch.Tensor:
    gmv = torch.exp(torch.randn(rows, 112) * 0.5 + 3 * torch.randn(rows, 1) + 5)
    return gmv * (torch.rand(rows, 112) < torch.tensor([0.1, 0.5, 1.0])[torch.arange(rows) % 3, None])


def series(*rows: list[float]) -> torch.Tensor:
    return torch.stack([torch.nn.functional.pad(torch.tensor(row), (112 - len(row), 0)) for row in rows])


CORNERS = {
    "no record": series([0.0]),
    "one record": series([35.5], [0.01], [1e12]),
    "only older records": series([7.0] * 84 + [0.0] * 28, [7.0] + [0.0] * 111, [0.01] + [0.0] * 40),
    "recent records far below older ones": series([1e12] * 84 + [0.01] * 28, [1e12] * 84 + [0.01] + [0.0] * 27),
    "tiny amounts": series([1e-6] * 3, [1e-40] * 112, [1e-3] + [0.0] * 50),
    "large amounts": series([1e12] * 112, [1e9] * 28, [0.01, 1e12] * 56),
    "ordinary": ordinary(96),
}


@pytest.mark.parametrize("corner", CORNERS)
def test_the_inference_form_agrees_with_the_trained_one(corner):
    trained, rows = network(), inputs(CORNERS[corner])
    with torch.inference_mode():
        torch.testing.assert_close(freeze(FoldedGmv(trained))(*rows), trained(*rows), **TOLERANCE)


def test_rows_alone_are_as_in_a_batch():
    folded, rows = freeze(FoldedGmv(network())), inputs(ordinary(9))
    with torch.inference_mode():
        alone = torch.cat([folded(*(column[i : i + 1] for column in rows)) for i in range(9)])
        torch.testing.assert_close(alone, folded(*rows), **TOLERANCE)


@pytest.mark.parametrize("members", [1, 3, 9])
def test_any_number_of_members_can_be_folded(members):
    trained, rows = network(members), inputs(ordinary(6))
    with torch.inference_mode():
        torch.testing.assert_close(FoldedGmv(trained)(*rows), trained(*rows), **TOLERANCE)


def test_limits_of_delta_and_sigma_are_those_of_the_trained_form():
    trained, rows = network(members=1), inputs(ordinary(64))
    with torch.no_grad():
        trained.deepfm.last.weight *= 1000
    with torch.inference_mode():
        found, wanted = FoldedGmv(trained)(*rows), trained(*rows)
    sigma = wanted[:, 2]
    assert sigma.min().item() == pytest.approx(0.05) and sigma.max().item() == pytest.approx(2.0)
    # Weights a thousand times as large magnify rounding.
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-2)


def test_other_depths_are_refused():
    with pytest.raises(ValueError, match="3 hidden layers found, wanted 2"):
        FoldedGmv(network(hidden=(8, 8, 8)))


def test_folded_weights_give_the_deepfm_but_for_rounding():
    torch.manual_seed(0)
    model = DeepFM([3, 4], n_dense=3, n_outputs=2, embedding_dim=5, hidden=(6,), members=2).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    ids, dense = torch.tensor([[2, 3], [0, 1]]), torch.randn(2, 3, dtype=torch.float64)
    table = deepfm_folded.id_table(model)
    sums = table[ids + model.offsets].sum(1) + dense @ deepfm_folded.number_weights(model) + deepfm_folded.biases(model)
    hidden, vectors, direct = sums.split([12, 10, 4], 1)
    direct = direct + dense.square() @ deepfm_folded.square_weights(model)
    direct = direct + vectors.square() @ deepfm_folded.vector_weights(model)
    direct = direct + hidden.relu() @ deepfm_folded.last_weights(model)
    torch.testing.assert_close(direct.view(2, 2, 2).transpose(0, 1), model(ids, dense))
