"""Rules of the encoding that are easiest to get wrong; the fixtures hold the rest."""

import json

import numpy as np
import pytest
import xxhash

from souk_training import schema
from souk_training.encode import encode_rows, flat, hash_id
from souk_training.fixtures import manifest_of, write_encoding_fixtures
from souk_training.fixtures_cases import CASES, Case
from souk_training.manifest import ManifestError, validate

NUMBER = {"name": "rating", "kind": "number", "default": None, "range": [0, 5]}
SERIES = {"name": "daily_gmv", "kind": "number_list", "required": True, "range": [0, 100], "max_len": 3}


def encode(features, *rows, task="merchant_gmv"):
    row = {"features": {}, "as_of": "2016-09-04"}
    manifest = manifest_of(Case("test", features, row, task))
    return encode_rows(manifest, [{**row, "features": features} for features in rows])


def test_hash_is_xxh3_64_of_name_and_value():
    # The published digest of the empty string with seed 0 (xxHash's sanity tests).
    assert xxhash.xxh3_64_intdigest(b"") == 0x2D06800538D394C2
    assert hash_id("area", "17", 1000) == 1 + xxhash.xxh3_64_intdigest(b"area=17") % 999


def test_hash_ids_are_between_1_and_the_last_bucket():
    assert {hash_id("area", str(value), 4) for value in range(99)} == {1, 2, 3}


def test_missing_number_is_id_0_and_dense_0():
    encoded = encode([{**NUMBER, "transform": {"mean": 3.0}, "encoding": {"edges": [1.0]}}], {}, {"rating": 3.0})
    assert encoded["ids"].tolist() == [[0], [2]]
    assert encoded["dense"].tolist() == [[0.0], [0.0]]


def test_edges_include_their_left_border():
    encoded = encode([{**NUMBER, "encoding": {"edges": [1.0, 2.0]}}], {"rating": 0.9}, {"rating": 1.0}, {"rating": 2.0})
    assert encoded["ids"].ravel().tolist() == [1, 2, 3]


def test_series_keep_the_newest_and_are_padded_in_front():
    encoded = encode([SERIES], {"daily_gmv": [1, 2, 3, 4]}, {"daily_gmv": [5]})
    assert encoded["daily_gmv"].tolist() == [[2, 3, 4], [0, 0, 5]]
    assert encoded["daily_gmv"].dtype == np.float32


@pytest.mark.parametrize(
    ("features", "field"),
    [
        ({"daily_gmv": []}, "daily_gmv"),
        ({}, "daily_gmv"),
        ({"daily_gmv": [1.0, 101.0]}, "daily_gmv"),
        ({"daily_gmv": [float("nan")]}, "daily_gmv"),
        ({"daily_gmv": [1.0], "rating": -0.1}, "rating"),
        ({"daily_gmv": [1.0], "extra": {"novel": {"number": 1.0}}}, "novel"),
        ({"daily_gmv": [1.0], "extra": {"rating": {"number": 1.0}}}, "rating"),
    ],
)
def test_refuses_a_row_and_names_row_and_field(features, field):
    with pytest.raises(ValueError, match=rf"rows\[1\].*{field}"):
        encode([NUMBER, SERIES], {"daily_gmv": [1.0]}, features)


def test_extra_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="wanted number"):
        encode([{"name": "novel", "kind": "number", "default": None}], {"extra": {"novel": {"category": "x"}}})


def test_rows_are_encoded_each_for_itself():
    manifest = manifest_of(next(case for case in CASES if case.name == "extra_of_every_kind"))
    rows = [case.row for case in CASES if case.name.startswith("extra_")]
    together = encode_rows(manifest, rows)
    for index, row in enumerate(rows):
        for name, array in encode_rows(manifest, [row]).items():
            np.testing.assert_array_equal(array[0], together[name][index])


def test_no_rows_keep_the_shapes():
    encoded = encode([NUMBER, SERIES])
    assert encoded["dense"].shape == (0, 1) and encoded["daily_gmv"].shape == (0, 3)


def test_flat_numbers_give_the_same_float32():
    numbers = np.float32([0.1, 1 / 3, 1e-20, 123456.79])
    assert np.float32(json.loads(json.dumps(flat(numbers)))).tolist() == numbers.tolist()


def test_fixtures_cover_every_kind_and_encoding(tmp_path):
    assert write_encoding_fixtures(tmp_path / "encoding.json") == len(CASES)
    features = [feature for case in CASES for feature in case.features]
    assert {feature["kind"] for feature in features} == set(schema.KINDS)
    assert {key for f in features for key in f.get("encoding", {})} == {"vocabulary", "hash", "edges"}
    assert len({case.name for case in CASES}) == len(CASES)


def test_committed_fixtures_are_up_to_date(tmp_path, request):
    committed = request.config.rootpath.parents[1] / "tests" / "fixtures" / "encoding.json"
    if not committed.is_file():
        pytest.skip("the package was taken out of the repository")
    write_encoding_fixtures(tmp_path / "encoding.json")
    assert (tmp_path / "encoding.json").read_text("utf-8") == committed.read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "colour: unknown key"),
        ({"engine": "onnx"}, "engine"),
        ({"features": [{"name": "rating", "kind": "number"}]}, "required: true or a default"),
        ({"features": [{"name": "rating", "kind": "category", "default": None}]}, "is a number on the wire"),
        ({"head": {"kind": "tensors"}}, "head.kind"),
    ],
)
def test_manifest_problems_are_named(change, message):
    manifest = manifest_of(Case("test", [NUMBER], {}))
    with pytest.raises(ManifestError, match=message):
        validate({**manifest, **change})
