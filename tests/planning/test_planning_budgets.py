"""Disruption budgets in a plan: as given, or counted from the pods, and kept up from cycle to cycle."""

import pytest

from kai_py import plan
from kai_py.errors import InputError

from .builders import NOW, node, pod, queue

URGENT = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "urgent"},
    "value": 90,
}


def budget(app, status=None, **spec):
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": f"budget-{app}"},
        "spec": {"selector": {"matchLabels": {"app": app}}, **spec},
    } | ({"status": status} if status is not None else {})


def running(name, app="", **what):
    made = pod(name, on="n1", **what)
    made["metadata"]["labels"] |= {"app": app} if app else {}
    return made


def urgent(name, gpus=1):
    return pod(name, gpus=gpus, priorityClassName="urgent")


def ask(*objects, **options):
    return plan([queue(), URGENT, *objects], now=NOW, **options).to_dict()


def evicted(answer):
    return [[evict["pod"].removeprefix("default/") for evict in cycle["evictions"]] for cycle in answer["cycles"]]


def test_without_a_budget_the_youngest_of_equals_goes():
    assert evicted(ask(node(gpus=2), running("old"), running("young", "web"), urgent("new"))) == [["young"]]


@pytest.mark.parametrize(
    "protects",
    [
        budget("web", {"disruptionsAllowed": 0}),
        budget("web", minAvailable=1),
        budget("web", minAvailable="50%"),
        budget("web", maxUnavailable=0),
        budget("web", maxUnavailable="0%"),
        budget("web"),
    ],
)
def test_who_is_under_a_budget_that_allows_nobody_to_go_stays(protects):
    objects = [node(gpus=2), running("old"), running("young", "web"), urgent("new")]
    assert evicted(ask(*objects, protects)) == [["old"]]


@pytest.mark.parametrize(
    "allows",
    [
        budget("web", {"disruptionsAllowed": 1}),
        budget("web", minAvailable=0),
        budget("web", maxUnavailable=1),
        budget("web", maxUnavailable="1%"),
        budget("web", {"disruptionsAllowed": 0}, selector=None),
        budget("db", minAvailable=1),
    ],
)
def test_a_budget_that_allows_it_protects_nobody(allows):
    objects = [node(gpus=2), running("old"), running("young", "web"), urgent("new")]
    assert evicted(ask(*objects, allows)) == [["young"]]


def test_a_budget_is_broken_when_nothing_else_helps():
    objects = [node(gpus=1), running("only", "web"), urgent("new"), budget("web", minAvailable=1)]
    assert evicted(ask(*objects)) == [["only"]]


def test_what_was_evicted_is_counted_in_the_next_cycle():
    # Of three, two must stay: the first goes in the first cycle, then the budget is used up.
    victims = [running("old"), *(running(f"web-{number}", "web") for number in range(3))]
    one_by_one = {"actions": {"queueDepth": {"preempt": 1}}}
    for given in (budget("web", minAvailable=2), budget("web", {"disruptionsAllowed": 1})):
        objects = [node(gpus=4), *victims, urgent("first"), urgent("second"), given]
        assert evicted(ask(*objects, cycles=4, settings=one_by_one))[:2] == [["web-2"], ["old"]]


def test_a_budget_that_says_both_is_a_fault():
    with pytest.raises(InputError) as caught:
        ask(budget("web", minAvailable=1, maxUnavailable=1))
    assert [fault.field for fault in caught.value.faults] == ["spec"]


@pytest.mark.parametrize("value", [-1, "half", "50", "-5%", "101%"])
def test_a_number_that_means_nothing_is_a_fault(value):
    with pytest.raises(InputError) as caught:
        ask(budget("web", minAvailable=value))
    assert [(fault.where, fault.field) for fault in caught.value.faults] == [
        ("PodDisruptionBudget default/budget-web", "spec.minAvailable")
    ]


def test_a_selector_that_means_nothing_is_a_fault():
    with pytest.raises(InputError) as caught:
        ask(budget("web", selector={"matchExpressions": [{"key": "app", "operator": "Like"}]}))
    assert [fault.field for fault in caught.value.faults] == ["spec.selector.matchExpressions[0].operator"]


def test_a_checkpoint_that_is_no_time_is_a_warning():
    spoilt = running("a")
    spoilt["metadata"]["annotations"]["kai.scheduler/last-checkpoint-timestamp"] = "yesterday"
    (warning,) = ask(node(), spoilt)["warnings"]
    assert "Pod default/a" in warning
    assert "kai.scheduler/last-checkpoint-timestamp" in warning


@pytest.mark.parametrize(("policy", "goes"), [("AlwaysAllow", "sick"), ("IfHealthyBudget", "well")])
def test_a_pod_that_is_not_ready_goes_where_its_budget_lets_it(policy, goes):
    sick = running("sick", "web")
    sick["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}
    guard = budget("web", maxUnavailable=0, unhealthyPodEvictionPolicy=policy)
    assert evicted(ask(node(gpus=2), running("well"), sick, guard, urgent("new"))) == [[goes]]
