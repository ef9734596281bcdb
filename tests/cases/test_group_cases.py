"""What KAI Scheduler's own pod-grouper tests expect. The cases live beside the repository, if at all."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from kai_py import group

CASES = Path(os.environ.get("KAI_PY_CASES", Path(__file__).parents[3] / "shared" / "cases"))
RUNNER = CASES / "run_groups.py"

if not RUNNER.is_file():
    pytest.skip(f"no cases in {CASES}; KAI_PY_CASES names another folder", allow_module_level=True)

SPEC = importlib.util.spec_from_file_location("run_groups", RUNNER)
runner = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = runner  # its dataclasses look their module up
SPEC.loader.exec_module(runner)


def cases():
    for path in sorted((CASES / "groups" / "visible").rglob("*.json")):
        for case in json.loads(path.read_text()):
            yield pytest.param(case, id=case["id"])


@pytest.mark.parametrize("case", list(cases()))
def test_a_pod_is_grouped_as_kai_groups_it(case):
    outcome = runner.run(case, group, timeout=10)
    assert outcome.passed, runner.describe(outcome)
