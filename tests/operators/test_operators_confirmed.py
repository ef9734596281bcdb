"""What the watch says about our own decisions wakes nobody: it was counted when they were sent."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from kai_py.cluster.store import Store
from kai_py.core.options import Action
from kai_py.core.result import Bind
from kai_py.operators.intake import Intake
from kai_py.operators.kinds import NODES, PODS
from kai_py.podgrouper.grouping import group_of
from tests.cluster.objects import node, pod

WAITING = pod("train")
SENT = Bind("ns/train", "uid-train", "a", "ns/train", Action.ALLOCATE)


class Alarm:
    """Counts how often it was woken."""

    def __init__(self):
        self.woken = 0

    def __call__(self):
        self.woken += 1


@pytest.fixture
def alarm():
    return Alarm()


@pytest.fixture
def intake(alarm):
    store = Store(group_of)
    made = Intake(store, alarm, clock=lambda: 0.0)
    made.replace(NODES, [node("a"), node("b")], set())
    made.replace(PODS, [WAITING], set())
    alarm.woken = 0
    store.decisions.assume(SENT, 0.0)
    return made


def bound(on):
    return replace(WAITING, spec=replace(WAITING.spec, node_name=on))


def test_a_pod_that_arrives_where_it_was_sent_wakes_nobody(intake, alarm):
    intake.apply(PODS, [("MODIFIED", bound("a"))])
    assert alarm.woken == 0


def test_a_pod_that_arrives_elsewhere_does(intake, alarm):
    intake.apply(PODS, [("MODIFIED", bound("b"))])
    assert alarm.woken == 1


def test_a_pod_that_has_finished_already_does(intake, alarm):
    done = bound("a")
    intake.apply(PODS, [("MODIFIED", replace(done, status=replace(done.status, phase="Succeeded")))])
    assert alarm.woken == 1


def test_a_pod_that_is_told_to_go_does(intake, alarm):
    leaving = bound("a")
    leaving = replace(leaving, metadata=replace(leaving.metadata, deletion_timestamp="2027-01-15T08:00:00Z"))
    intake.apply(PODS, [("MODIFIED", leaving)])
    assert alarm.woken == 1
