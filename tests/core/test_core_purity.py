"""The core is a function: it may compute, and nothing else."""

import ast
import sys
from pathlib import Path

import pytest

import kai_py.core

FILES = sorted(Path(kai_py.core.__file__).parent.rglob("*.py"))
LIBRARIES = {"numpy", "scipy", "kai_py", "cel_expr_python", "re2"}
ALLOWED = LIBRARIES | {
    "__future__",
    "_typeshed",
    "abc",
    "collections",
    "contextvars",
    "copy",
    "dataclasses",
    "datetime",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "ipaddress",
    "itertools",
    "math",
    "operator",
    "re",
    "struct",
    "types",
    "typing",
    "urllib",
}
EFFECTS = {"open", "print", "input", "exec", "eval", "globals", "__import__"}


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_a_module_of_the_core_imports_and_calls_nothing_that_has_effects(path):
    tree = ast.parse(path.read_text())
    assert set(imports(tree)) <= ALLOWED
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & EFFECTS
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Global | ast.AsyncFunctionDef)]


def test_the_core_uses_of_this_package_only_itself_and_the_errors():
    used = {
        node.module
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("kai_py")
    }
    assert {module for module in used if not module.startswith("kai_py.core")} <= {"kai_py.errors"}


def test_the_allowed_modules_are_there():
    assert ALLOWED - LIBRARIES - {"_typeshed", "__future__"} <= sys.stdlib_module_names
