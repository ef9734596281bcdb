"""What is written into PodGroups of other APIs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.podgrouper.foreign_status import Member, coscheduling_status, native_status

NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T01:00:00Z"


def members(*phases: str) -> list[Member]:
    """By phase; ``Bound`` is one that has a node and has not started."""
    return [Member("Pending" if one == "Bound" else one, one != "Pending") for one in phases]


@pytest.mark.parametrize(
    ("phases", "phase"),
    [
        ([], "Pending"),
        (["Pending"], "Pending"),
        (["Pending", "Pending"], "Scheduling"),
        (["Bound", "Pending"], "Scheduling"),
        (["Bound", "Bound"], "Scheduled"),
        (["Running", "Bound"], "Scheduled"),
        (["Running", "Running", "Pending"], "Running"),
        (["Running", "Succeeded"], "Running"),
        (["Running", "Failed"], "Failed"),
        (["Succeeded", "Succeeded", "Failed"], "Finished"),
    ],
)
def test_phases_are_those_that_users_of_coscheduling_know(phases: list[str], phase: str):
    assert coscheduling_status(2, members(*phases), {}, NOW)["phase"] == phase


def test_only_what_is_new_is_written():
    first = coscheduling_status(2, members("Running", "Running"), {}, NOW)
    assert first == {"phase": "Running", "running": 2, "scheduleStartTime": NOW}
    assert coscheduling_status(2, members("Running", "Running"), first, LATER) == {}
    assert coscheduling_status(2, members("Running", "Succeeded"), first, LATER) == {"running": 1, "succeeded": 1}


@pytest.mark.parametrize("phase", ["Finished", "Failed"])
def test_an_end_is_for_ever(phase: str):
    assert coscheduling_status(1, members("Pending"), {"phase": phase}, NOW) == {}


def condition(status: dict[str, Any]) -> tuple[str, str, str]:
    [one] = status["conditions"]
    return one["status"], one["reason"], one["lastTransitionTime"]


def test_the_condition_of_kubernetes_podgroup_turns_once():
    waits = Member("Pending", bound=False, why=("Unschedulable", "no node has room"))
    assert native_status(2, members("Pending"), {}, NOW) == {}
    first = native_status(2, [waits], {}, NOW)
    assert condition(first) == ("False", "Unschedulable", NOW)
    assert first["conditions"][0]["message"] == "no node has room"
    assert native_status(2, [waits], first, LATER) == {}
    second = native_status(2, members("Bound", "Bound"), first, LATER)
    assert condition(second) == ("True", "Scheduled", LATER)
    assert native_status(2, [waits], second, LATER) == {}


def test_conditions_of_others_stay():
    other = {"type": "DisruptionTarget", "status": "True"}
    made = native_status(1, members("Bound"), {"conditions": [other]}, NOW)
    assert [one["type"] for one in made["conditions"]] == ["DisruptionTarget", "PodGroupScheduled"]


_PHASES = st.lists(st.sampled_from(["Pending", "Bound", "Running", "Succeeded", "Failed"]), max_size=6)


@given(st.integers(1, 4), _PHASES, _PHASES)
def test_a_status_that_was_written_is_not_written_again(minimum: int, first: list[str], then: list[str]):
    for made in (coscheduling_status, native_status):
        status = made(minimum, members(*first), {}, NOW)
        status |= made(minimum, members(*then), status, LATER)
        assert made(minimum, members(*then), status, LATER) == {}
