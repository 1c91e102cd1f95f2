"""The export for the server's own engine; skipped without torch."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")

from safetensors.numpy import load_file  # noqa: E402

from souk_training.deepfm import DeepFM  # noqa: E402
from souk_training.encode import encode_rows  # noqa: E402
from souk_training.export_native import architecture, save, tensors  # noqa: E402
from souk_training.fixtures_deepfm import CARDINALITIES, SmallNetwork, write_deepfm_version  # noqa: E402
from souk_training.manifest import ManifestError, read_manifest, validate  # noqa: E402
from souk_training.reference.version import write_reference  # noqa: E402


def computed(weights: dict, architecture: dict, ids: np.ndarray, dense: np.ndarray) -> np.ndarray:
    """What the engine computes, as the manifest's schema says it, in float64."""
    weights = {name: array.astype(np.float64) for name, array in weights.items()}
    k = architecture["embedding_dim"]
    starts = np.cumsum([0, *architecture["cardinalities"][:-1]])
    found = weights["table"][ids + starts]
    numbers = dense[:, :, None] * weights["dense_factors"]
    every = np.concatenate([found, numbers], 1)
    vectors, first_order = every[..., :k], every[..., k:].sum(1)
    second_order = (vectors.sum(1) ** 2 - (vectors**2).sum(1)) / 2 @ weights["factor_weights"]
    deep = np.concatenate([found[..., :k].reshape(len(ids), -1), dense], 1)
    for index in range(len(architecture["hidden"])):
        deep = np.maximum(deep @ weights[f"hidden.{index}.weight"] + weights[f"hidden.{index}.bias"], 0)
    out = weights["bias"] + first_order + second_order + deep @ weights["last.weight"] + weights["last.bias"]
    if architecture["output"] != "linear":
        out = np.stack(
            [out[:, 0], out[:, 1] + architecture["output"]["ziln"]["log_level"], np.log1p(np.exp(out[:, 2]))], 1
        )
    return out


def test_the_file_and_the_architecture_are_all_that_the_outputs_need(tmp_path):
    write_deepfm_version(tmp_path / "merchant_gmv" / "1")
    folder = tmp_path / "merchant_gmv" / "1"
    manifest, weights = read_manifest(folder), load_file(folder / "model.safetensors")
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    inputs = encode_rows(manifest, [line["row"] for line in lines])
    found = computed(weights, manifest["architecture"], inputs["ids"], inputs["dense"])
    wanted = [line["outputs"]["ziln"] for line in lines]
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)
    # Every row differs: the file would else prove little.
    assert np.unique(np.round(wanted, 4), axis=0).shape == (len(lines), 3)


def test_committed_version_is_up_to_date(tmp_path, request):
    committed = request.config.rootpath.parents[1] / "tests" / "fixtures" / "deepfm" / "merchant_gmv" / "1"
    if not committed.is_dir():
        pytest.skip("the package was taken out of the repository")
    folder = tmp_path / "merchant_gmv" / "1"
    write_deepfm_version(folder)
    for path in sorted(committed.iterdir()):
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name
    assert sum(path.stat().st_size for path in committed.iterdir()) < 20_000


def test_one_run_writes_the_same_weights_for_both_engines(tmp_path):
    folders = write_reference(tmp_path, "lists", seed=1, ids=50, engine="both")
    assert [folder.name for folder in folders] == ["1", "2"]
    script, native = (read_manifest(folder) for folder in folders)
    assert (script["engine"], native["engine"]) == ("torchscript", "deepfm")
    assert sorted(native["files"]) == ["MODEL_CARD.md", "golden.jsonl", "model.safetensors"]
    golden = [[json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()] for folder in folders]
    outputs = [np.array([line["outputs"]["ziln"] for line in lines]) for lines in golden]
    np.testing.assert_allclose(*outputs, rtol=1e-6, atol=1e-6)
    assert [line["inputs"] for line in golden[0]] == [line["inputs"] for line in golden[1]]
    weights = load_file(folders[1] / "model.safetensors")
    inputs = encode_rows(native, [line["row"] for line in golden[1]])
    found = computed(weights, native["architecture"], inputs["ids"], inputs["dense"])
    np.testing.assert_allclose(found, outputs[0], rtol=1e-6, atol=2e-6)


def test_the_same_weights_give_the_same_bytes(tmp_path):
    torch.manual_seed(1)
    network = SmallNetwork().deepfm
    for name in ("a", "b"):
        save(network, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_architecture_and_tensors_are_those_of_the_network():
    network = DeepFM([4, 7], n_dense=0, n_outputs=2, embedding_dim=3, hidden=())
    assert architecture(network) == {
        "cardinalities": [4, 7],
        "dense": 0,
        "embedding_dim": 3,
        "hidden": [],
        "outputs": 2,
        "output": "linear",
    }
    shapes = {name: array.shape for name, array in tensors(network).items()}
    wanted = {"table": (11, 5), "factor_weights": (3, 2), "bias": (2,), "last.weight": (6, 2), "last.bias": (2,)}
    assert shapes == wanted


def test_an_ensemble_is_refused():
    with pytest.raises(ValueError, match="2 members, wanted 1"):
        architecture(DeepFM([4], n_dense=1, n_outputs=1, members=2))


def test_an_architecture_that_does_not_fit_is_refused(tmp_path):
    write_deepfm_version(tmp_path / "merchant_gmv" / "1")
    manifest = read_manifest(tmp_path / "merchant_gmv" / "1")
    assert manifest["architecture"]["cardinalities"] == CARDINALITIES
    for change, said in [
        ({"engine": "torchscript"}, "the engine deepfm has one"),
        ({"architecture": {**manifest["architecture"], "dense": 3}}, "inputs: wanted"),
        ({"architecture": {**manifest["architecture"], "outputs": 2}}, "outputs: wanted"),
        ({"architecture": {**manifest["architecture"], "members": 2}}, "architecture.members: unknown key"),
        ({"engine": "onnx"}, "engine: found 'onnx'"),
    ]:
        with pytest.raises(ManifestError, match=said):
            validate({**manifest, **change})
