import pytest

from kai_py.cli import generate
from kai_py.cli.generate import generated_files, source_root, stale_files, write


def test_the_generated_files_of_this_checkout_are_up_to_date():
    assert stale_files(source_root(), generated_files()) == []


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkout."""
    monkeypatch.setattr(generate, "source_root", lambda: tmp_path)
    return tmp_path


def test_what_is_missing_is_written_and_named(kai, checkout):
    assert kai("generate").stdout.split() == sorted(generated_files())
    assert kai("generate").stdout == ""
    assert kai("generate", "--check").exit_code == 0


def test_a_check_names_stale_files_and_leaves_them_alone(kai, checkout):
    kai("generate")
    page = checkout / "docs" / "reference" / "settings.md"
    page.write_text("old")
    (checkout / "crds" / "left-over.yaml").write_text("")
    answer = kai("generate", "--check")
    assert answer.exit_code == 1
    assert "docs/reference/settings.md" in answer.stderr
    assert "crds/left-over.yaml" in answer.stderr
    assert page.read_text() == "old"


def test_a_crd_that_is_no_longer_generated_is_removed(checkout):
    (checkout / "crds").mkdir()
    (checkout / "crds" / "left-over.yaml").write_text("")
    write(checkout, "crds/left-over.yaml", generated_files())
    assert not (checkout / "crds" / "left-over.yaml").exists()


def test_without_sources_there_is_nothing_to_generate(kai, monkeypatch, tmp_path):
    monkeypatch.setattr("kai_py.__file__", str(tmp_path / "kai_py" / "__init__.py"))
    answer = kai("generate")
    assert answer.exit_code == 2
    assert "not a source checkout" in answer.stderr
