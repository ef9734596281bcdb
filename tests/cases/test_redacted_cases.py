"""Cases of KAI under other names: the same decisions. The cases live beside the repository, if at all."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest

from kai_py import plan
from kai_py.planning.manifests import defaulted, unpacked
from kai_py.planning.redaction import redacted
from kai_py.planning.trimming import trimmed
from tests.planning.test_planning_snapshot import decided

CASES = Path(os.environ.get("KAI_PY_CASES", Path(__file__).parents[3] / "shared" / "cases")) / "kai" / "visible"
#: All of them take half a minute.
EACH = 6

if not CASES.is_dir():
    pytest.skip(f"no cases in {CASES}; KAI_PY_CASES names another folder", allow_module_level=True)


def cases():
    found = [case for path in sorted(CASES.rglob("*.json")) for case in json.loads(path.read_text())]
    plans = [case for case in found if case["kind"] == "plan"]
    return [pytest.param(case, id=case["id"]) for case in plans[::EACH]]


@pytest.mark.parametrize("case", cases())
def test_a_redacted_case_comes_out_the_same(case):
    now = datetime.fromisoformat(case["now"]).timestamp()
    objects = [defaulted(one.manifest, row, now) for row, one in enumerate(unpacked(case["objects"]))]
    hidden, of = redacted(map(trimmed, objects))
    before, after = (
        plan(given, case.get("cycles", 1), case.get("settings"), case["now"]).to_dict() for given in (objects, hidden)
    )
    assert decided(after) == decided(before, of)
