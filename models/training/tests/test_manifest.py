"""What the server would refuse is refused before it is written. Bends the shipped manifest."""

import pytest

from souk_training.manifest import ManifestError, read_manifest, validate


@pytest.fixture
def manifest(request):
    path = request.config.rootpath.parent / "merchant_gmv" / "1" / "manifest.json"
    if not path.is_file():
        pytest.skip("the package was taken out of the repository")
    return read_manifest(path)


@pytest.mark.parametrize("bend", [{"absolute": 1e30}, {"relative": 0.0011}, {"absolute": -1e-6}, {"absolut": 0}])
def test_a_tolerance_that_switches_the_proof_off_is_refused(manifest, bend):
    manifest["tolerance"] = bend
    with pytest.raises(ManifestError, match=f"(?s)tolerance.*{next(iter(bend))}"):
        validate(manifest)


def test_a_tolerance_may_be_left_out(manifest):
    del manifest["tolerance"]
    validate(manifest)


@pytest.mark.parametrize("model", ["user_portrait", "gmv"])
def test_a_model_has_the_name_of_its_task(manifest, model):
    manifest["model"] = model
    with pytest.raises(ManifestError, match="wanted the task's name"):
        validate(manifest)
