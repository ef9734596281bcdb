from math import inf

import pytest

from kai_py.core.queues.gates import capacity_gate
from kai_py.core.result import ReasonCode
from kai_py.core.state.ledger import Ledger
from tests.core.builders import Gang, Queue, cluster, running


def gate(queues, *, gpus=1, cpu=0, holds=0, firm=False, queue="q"):
    gangs = {"runs": Gang([running("n", holds)], queue=queue, preemptible=not firm)} if holds else {}
    snapshot = cluster(nodes={"n": 64}, queues=queues, gangs=gangs)
    row = snapshot.queues.names.index(queue)
    return capacity_gate(Ledger(snapshot), row, (cpu * 1000, 0, gpus * 1000), preemptible=not firm)


def test_a_queue_may_be_filled_to_its_limit():
    assert gate({"q": Queue(limit=4)}, holds=3) is None


def test_no_queue_goes_beyond_its_limit():
    refusal = gate({"q": Queue(limit=4)}, holds=3, gpus=2)
    assert refusal.code is ReasonCode.OVER_LIMIT
    assert refusal.details == {"queue": "q", "resource": "gpu", "requested": 2000, "held": 3000, "ceiling": 4000}


def test_a_limit_of_zero_refuses_everything():
    assert gate({"q": Queue(limit=0)}).code is ReasonCode.OVER_LIMIT


def test_a_resource_that_is_not_asked_for_refuses_nothing():
    assert gate({"q": Queue(limit=0)}, gpus=0, cpu=1) is None
    assert gate({"q": Queue(limit=2)}, holds=3, gpus=0, cpu=1) is None


def test_every_resource_has_its_limit():
    assert gate({"q": Queue(limit=(2, inf, inf))}, cpu=3).details["resource"] == "cpu"


def test_the_limit_of_an_ancestor_holds_as_well():
    refusal = gate({"lab": Queue(limit=4), "q": Queue("lab")}, holds=4)
    assert refusal.details["queue"] == "lab"


def test_the_lowest_queue_that_refuses_is_named():
    refusal = gate({"lab": Queue(limit=4), "q": Queue("lab", limit=4)}, holds=4)
    assert refusal.details["queue"] == "q"


def test_preemptible_work_may_go_beyond_the_quota():
    assert gate({"q": Queue(quota=0)}) is None


def test_work_that_cannot_be_preempted_stays_within_the_quota():
    assert gate({"q": Queue(quota=2)}, holds=1, firm=True) is None
    assert gate({"q": Queue(quota=2)}, holds=2, firm=True).code is ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA


def test_work_that_cannot_be_preempted_stays_within_the_quota_of_every_ancestor():
    refusal = gate({"lab": Queue(quota=2), "q": Queue("lab", quota=8)}, holds=2, firm=True)
    assert (refusal.code, refusal.details["queue"]) == (ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA, "lab")


def test_preemptible_work_takes_nothing_from_the_quota_of_the_other_kind():
    snapshot = cluster(nodes={"n": 64}, queues={"q": Queue(quota=2)}, gangs={"runs": Gang([running("n", 2)])})
    assert capacity_gate(Ledger(snapshot), 0, (0, 0, 2000), preemptible=False) is None


@pytest.mark.parametrize("firm", [True, False])
def test_without_quota_and_limit_everything_may_pass(firm):
    assert gate({"lab": Queue(), "q": Queue("lab")}, gpus=10**6, firm=firm) is None
