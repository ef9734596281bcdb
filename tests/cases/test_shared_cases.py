"""What KAI Scheduler's own tests expect, as far as it is built. The cases live beside the repository, if at all."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from kai_py import fair_share, plan

CASES = Path(os.environ.get("KAI_PY_CASES", Path(__file__).parents[3] / "shared" / "cases"))
RUNNER = CASES / "run_cases.py"
SUITES = ("fairshare", "fairshare_hierarchy", "allocate", "integration/allocate")
EVICTING = {"integration/allocate#39"}
SHARED_GPU = ("gpu-fraction", "gpu-memory", "runai-gpu-group")

if not RUNNER.is_file():
    pytest.skip(f"no cases in {CASES}; KAI_PY_CASES names another folder", allow_module_level=True)

SPEC = importlib.util.spec_from_file_location("run_cases", RUNNER)
runner = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = runner  # its dataclasses look their module up
SPEC.loader.exec_module(runner)


def needs(case):
    """What a case is about that is not built yet."""
    for item in case.get("objects", ()):
        meta = item["metadata"]
        marks = [*meta.get("annotations", {}), *meta.get("labels", {})] if item["kind"] == "Pod" else []
        if any(mark.startswith(SHARED_GPU) for mark in marks):
            return "shared GPUs"
        if item["kind"] in ("ResourceClaim", "NodeResourceTopology"):
            return item["kind"]
        if item["kind"] == "PodGroup" and "topologyConstraint" in json.dumps(item["spec"]):
            return "topology"
    return None


def cases():
    for suite in SUITES:
        path = CASES / "kai" / "visible" / f"{suite}.json"
        for case in json.loads(path.read_text()) if path.is_file() else ():
            if needs(case) is None:
                late = pytest.mark.xfail(strict=True, reason="needs eviction: there is no reclaim and no preempt yet")
                yield pytest.param(case, id=case["id"], marks=[late] if case["id"] in EVICTING else [])


@pytest.mark.parametrize("case", list(cases()))
def test_a_case_of_kai_comes_out_as_kai_expects(case):
    outcome = runner.run(case, plan, fair_share, timeout=10)
    assert outcome.passed, runner.describe(outcome)
