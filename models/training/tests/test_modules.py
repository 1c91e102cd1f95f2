"""The committed modules of the server's tests are those that are written here."""

import json
import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra `train`)")


@pytest.fixture(scope="module")
def committed(request):
    folder = request.config.rootpath.parents[1] / "tests" / "fixtures" / "modules"
    if not folder.is_dir():
        pytest.skip("the package was taken out of the repository")
    return folder


@pytest.fixture(scope="module")
def written(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("written") / "modules"
    # In a process of its own: names of classes in an archive depend on what was scripted before.
    command = [sys.executable, "-W", "ignore", "-m", "souk_training", "fixtures", "modules", "--out", str(out)]
    subprocess.run(command, check=True, cwd=request.config.rootpath)
    return out


def _files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _near(one, other):
    """Equal but for the last digits of floats, in which processors differ."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_near(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_near, one, other))
    return other == (pytest.approx(one, rel=1e-5, abs=1e-6) if isinstance(one, float) else one)


def test_the_list_of_modules_and_the_committed_folders_agree(committed, written):
    assert _files(committed) == _files(written)


def test_committed_modules_are_up_to_date(committed, written):
    for path in sorted([*written.glob("*/1/model.pt"), *written.glob("*.npz")]):
        assert path.read_bytes() == (committed / path.relative_to(written)).read_bytes(), path.relative_to(written)


def test_committed_answers_are_up_to_date(committed, written):
    for path in sorted(written.rglob("*.jsonl")):
        lines = [file.read_text("utf-8").splitlines() for file in (path, committed / path.relative_to(written))]
        one, other = ([json.loads(line) for line in file] for file in lines)
        assert _near(one, other), path.relative_to(written)


def test_committed_manifests_are_up_to_date(committed, written):
    for path in sorted(written.glob("*/1/manifest.json")):
        one, other = (json.loads(file.read_text("utf-8")) for file in (path, committed / path.relative_to(written)))
        # Its digest follows the last digits.
        del one["files"]["golden.jsonl"], other["files"]["golden.jsonl"]
        assert one == other, path.parents[1].name
