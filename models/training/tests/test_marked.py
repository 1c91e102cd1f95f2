"""The committed module of the server's tests is the one that is written here."""

import pytest

pytest.importorskip("torch", reason="torch is not installed (extra `train`)")


def test_committed_module_is_up_to_date(tmp_path, request):
    from souk_training.fixtures_marked import write_marked_module

    committed = request.config.rootpath.parents[1] / "tests" / "fixtures" / "marked.pt"
    if not committed.is_file():
        pytest.skip("the package was taken out of the repository")
    # The archive holds the name of its file.
    write_marked_module(tmp_path / "marked.pt")
    assert (tmp_path / "marked.pt").read_bytes() == committed.read_bytes()
