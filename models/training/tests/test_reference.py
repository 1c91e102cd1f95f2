"""The reference model; what needs torch is skipped without it."""

import json

import numpy as np
import pytest

from souk_training.encode import encode_rows
from souk_training.manifest import read_manifest, validate
from souk_training.reference import FIELDS, NUMBERS
from souk_training.reference.rows import FORMS, golden_rows
from souk_training.reference.version import reference_manifest, write_reference

DIGESTS = {"model.pt": "0" * 64, "golden.jsonl": "0" * 64}


@pytest.mark.parametrize("form", FORMS)
def test_the_manifest_is_one_that_the_server_takes(form):
    validate({**reference_manifest(form, ids=1000, torch_version="2.11.0"), "files": DIGESTS})


@pytest.mark.parametrize("form", FORMS)
def test_rows_fill_every_input_with_ids_of_the_table(form):
    manifest = reference_manifest(form, ids=1000, torch_version="2.11.0")
    inputs = encode_rows(manifest, golden_rows(form, count=20, seed=1))
    assert inputs["ids"].shape == (20, FIELDS) and inputs["dense"].shape == (20, NUMBERS)
    assert 1 <= inputs["ids"].min() and inputs["ids"].max() < 1000
    assert np.unique(inputs["ids"]).size > 300


def test_both_forms_hold_the_same_values():
    one_by_one, lists = (golden_rows(form, count=3, seed=1) for form in ("extra", "lists"))
    for single, many in zip(one_by_one, lists, strict=True):
        values = [value["category"] for name, value in single["features"]["extra"].items() if name.startswith("c")]
        assert values == many["features"]["extra"]["c"]["categories"]["values"]


def test_a_version_folder_is_written_once(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
    [folder] = write_reference(tmp_path, "lists", seed=1, ids=50)
    assert folder == tmp_path / "merchant_gmv" / "1"
    assert sorted(read_manifest(folder)["files"]) == ["MODEL_CARD.md", "golden.jsonl", "model.pt"]
    outputs = [json.loads(line)["outputs"]["ziln"] for line in (folder / "golden.jsonl").read_text().splitlines()]
    assert np.std(outputs, axis=0).min() > 0.01
    with pytest.raises(ValueError, match="versions never change"):
        write_reference(tmp_path, "lists", seed=1, ids=50)


def test_a_model_of_tensors_has_no_features_and_golden_rows_of_inputs(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
    folders = write_reference(tmp_path, "tensors", seed=1, ids=50, engine="both", hidden=(12, 8))
    assert [str(folder.relative_to(tmp_path)) for folder in folders] == ["deepfm/1", "deepfm/2"]
    for folder in folders:
        manifest = read_manifest(folder)
        assert (manifest["task"], manifest["features"]) == ("tensors", [])
        line = json.loads((folder / "golden.jsonl").read_text().splitlines()[0])
        assert sorted(line) == ["inputs", "outputs"]
        assert [len(line["inputs"][name]) for name in ("ids", "dense")] == [FIELDS, NUMBERS]
        assert len(line["outputs"]["logit"]) == 1
    assert read_manifest(folders[1])["architecture"]["hidden"] == [12, 8]
