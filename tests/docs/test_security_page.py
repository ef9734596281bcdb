"""What the page on security names as its proof exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
_FORBIDDEN = {"eval", "exec", "__import__"}
_MODULES = {"pickle", "marshal", "shelve", "jinja2"}


def test_tests_and_modules_that_it_names_exist_and_test_something():
    named = set(re.findall(r"`((?:tests|kai_py)/[\w/]+\.py)`", TEXT))
    assert len(named) > 20
    for name in named:
        source = (ROOT / name).read_text(encoding="utf-8")
        assert not name.startswith("tests/") or "def test_" in source, name


def test_every_section_of_claims_names_a_proof():
    sections = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]
    without = {"Reporting", "What kai-py is trusted with", "What is not defended against"}
    for section in sections:
        title = section.splitlines()[0]
        assert ("`tests/" in section) == (title not in without), title


@pytest.mark.parametrize(
    ("limit", "module", "name"),
    [
        ("10 KiB", "kai_py.core.dra.cel.checker", "MAX_LENGTH"),
        ("1,000,000 cost units", "kai_py.core.dra.cel.costs", "COST_LIMIT"),
        ("100,000 elements", "kai_py.core.dra.cel.bounds", "MAX_SIZE"),
        ("2,000,000 steps", "kai_py.core.dra.cel.bounds", "MAX_WORK"),
    ],
)
def test_limits_of_expressions_are_those_of_the_code(limit, module, name):
    assert limit in TEXT
    number = int(re.sub(r"\D", "", limit)) * (1024 if "KiB" in limit else 1)
    source = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    (found,) = [one for one in ast.walk(source) if isinstance(one, ast.AnnAssign) and ast.unparse(one.target) == name]
    assert eval(ast.unparse(found.value), {}) == number  # arithmetic of our own


def test_nothing_in_the_program_evaluates_text():
    for path in sorted((ROOT / "kai_py").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in _FORBIDDEN, path
            if isinstance(node, ast.Call):
                assert "shell" not in {one.arg for one in node.keywords}, path
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names]
                assert not _MODULES & {name.partition(".")[0] for name in names}, path
