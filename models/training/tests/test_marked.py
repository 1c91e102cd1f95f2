"""The committed module of the server's tests is the one that is written here."""

import subprocess
import sys

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra `train`)")


def test_committed_module_is_up_to_date(tmp_path, request):
    committed = request.config.rootpath.parents[1] / "tests" / "fixtures" / "marked.pt"
    if not committed.is_file():
        pytest.skip("the package was taken out of the repository")
    # The archive holds the name of its file, and the number of modules that the process made before.
    command = [sys.executable, "-W", "ignore", "-m", "souk_training", "fixtures", "marked"]
    subprocess.run([*command, "--out", str(tmp_path / "marked.pt")], check=True, cwd=request.config.rootpath)
    assert (tmp_path / "marked.pt").read_bytes() == committed.read_bytes()
