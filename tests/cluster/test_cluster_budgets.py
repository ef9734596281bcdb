"""Which running pod is under which disruption budget, and how much that one allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.cluster.encode.selectors import Selector
from kai_py.core.tables.pods import PodKey
from kai_py.errors import MalformedObjectError
from tests.cluster.objects import NOW, a_store, budget, owner, pod, put

WEB = {"matchLabels": {"app": "web"}}
KEYS, VALUES = ["app", "tier"], ["web", "db", ""]
LABELS = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
EXPRESSIONS = st.builds(
    lambda key, operator, values: {
        "key": key,
        "operator": operator,
        "values": values if operator in {"In", "NotIn"} else [],
    },
    st.sampled_from(KEYS),
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
    st.lists(st.sampled_from(VALUES), min_size=1, max_size=2),
)
SELECTORS = st.none() | st.fixed_dictionaries(
    {"matchLabels": LABELS, "matchExpressions": st.lists(EXPRESSIONS, max_size=2)}
)


def under(store):
    """Pod name -> what its tightest budget allows, of those that are under one."""
    snapshot = store.take(NOW)
    if snapshot.budgets is None:
        return {}
    budgets = snapshot.budgets
    rows = zip(snapshot.pods.keys, budgets.of_pod.tolist(), strict=True)
    return {key.name: budgets.allowed.item(row) for key, row in rows if row >= 0}


def web(name, **what):
    return pod(name, on="a", labels={"app": "web"}, **what)


def test_a_budget_holds_for_the_pods_that_it_selects_in_its_namespace():
    far = pod("far", on="a", labels={"app": "web"}, namespace="other")
    store = a_store(budget("b", WEB, allowed=2), web("near"), far, pod("db", on="a", labels={"app": "db"}))
    assert under(store) == {"near": 2}


def test_an_empty_selector_selects_all_and_an_absent_one_none():
    assert under(a_store(budget("b", {}, allowed=1), web("p"))) == {"p": 1}
    assert under(a_store(budget("b", None, allowed=1), web("p"))) == {}


def test_pods_that_wait_and_pods_of_other_schedulers_are_under_none():
    waits, foreign = pod("waits", labels={"app": "web"}), web("foreign", foreign=True)
    assert under(a_store(budget("b", {}), waits, foreign, web("runs"))) == {"runs": 0}


def test_the_tightest_of_several_budgets_counts():
    store = a_store(budget("a", {}, allowed=3), budget("b", WEB, allowed=1), budget("c", {}, allowed=2), web("p"))
    assert under(store) == {"p": 1}
    put(store, budget("c", {}, allowed=0))
    assert under(store) == {"p": 0}


def test_a_status_that_lags_behind_allows_nobody_to_go():
    assert under(a_store(budget("b", WEB, allowed=5, seen=0), web("p"))) == {"p": 0}


UNREADY = [{"type": "Ready", "status": "False"}]


@pytest.mark.parametrize(
    ("unhealthy", "healthy", "guarded"),
    [
        ("IfHealthyBudget", 1, True),
        ("IfHealthyBudget", 2, False),
        ("IfHealthyBudget", 3, False),
        ("AlwaysAllow", 0, False),
        ("AlwaysAllow", 3, False),
        ("SomethingNew", 1, True),
    ],
)
def test_a_pod_that_is_not_ready_is_guarded_where_too_few_are(unhealthy, healthy, guarded):
    """The cases of the Eviction API (kubernetes.io, "Unhealthy Pod Eviction Policy")."""
    one = budget("b", WEB, healthy=healthy, desired=2, unhealthy=unhealthy)
    store = a_store(one, web("p", conditions=UNREADY), web("q", conditions=[{"type": "Ready", "status": "True"}]))
    assert under(store) == {"p": 0, "q": 0} if guarded else {"q": 0}


def test_who_wants_nobody_healthy_guards_whoever_is_not():
    assert under(a_store(budget("b", WEB), web("p", conditions=UNREADY))) == {"p": 0}


def test_a_pod_that_its_kubelet_has_not_started_is_under_no_budget():
    assert under(a_store(budget("b", WEB), web("p", phase="Pending"), web("q"))) == {"q": 0}


def test_of_several_budgets_the_tightest_that_guards_counts_for_a_pod_that_is_not_ready():
    lets_go = budget("a", WEB, allowed=0, unhealthy="AlwaysAllow")
    store = a_store(lets_go, budget("b", WEB, allowed=2), web("p", conditions=UNREADY), web("q"))
    assert under(store) == {"p": 2, "q": 0}


def test_a_pod_that_becomes_ready_is_guarded_from_then_on_and_wakes_nobody():
    store = a_store(budget("b", WEB, unhealthy="AlwaysAllow"), web("p", conditions=UNREADY))
    assert under(store) == {}
    assert not put(store, web("p"))
    assert under(store) == {"p": 0}
    put(store, web("p", conditions=UNREADY))
    assert under(store) == {}
    store.drop_pod(PodKey("ns", "p", "uid-p"))
    assert store.pods.unwell == {}


@pytest.mark.parametrize("allowed", [-3, 0])
def test_less_than_nothing_is_nothing(allowed):
    assert under(a_store(budget("b", WEB, allowed=allowed), web("p"))) == {"p": 0}


def test_a_budget_may_come_last_change_and_go():
    store = a_store(web("p"), web("q"))
    assert store.take(NOW).budgets is None
    put(store, budget("b", WEB, allowed=1))
    assert under(store) == {"p": 1, "q": 1}
    put(store, budget("b", {"matchLabels": {"app": "db"}}, allowed=1))
    assert under(store) == {}
    put(store, budget("b", {}, allowed=4))
    assert under(store) == {"p": 4, "q": 4}
    store.budgets.drop(("ns", "b"))
    assert store.take(NOW).budgets is None


def test_labels_of_a_pod_may_change_and_numbers_are_given_to_others():
    store = a_store(budget("b", WEB), web("p"))
    assert under(store) == {"p": 0}
    put(store, pod("p", on="a", labels={"app": "db"}))
    assert under(store) == {}
    store.drop_pod(PodKey("ns", "p", "uid-p"))
    put(store, web("q"))
    assert under(store) == {"q": 0}


def test_a_pod_that_is_grouped_anew_keeps_its_labels():
    thing = web("p", owner=("Job", "job"))
    store = a_store(budget("b", WEB), thing)
    assert under(store) == {"p": 0}
    put(store, owner("Job", "job", labels={"kai.scheduler/queue": "other"}))
    assert under(store) == {"p": 0}


def test_budgets_are_shared_between_snapshots_until_something_changes():
    store = a_store(budget("b", WEB, allowed=1), web("p"))
    first = store.take(NOW).budgets
    put(store, budget("b", WEB, allowed=1))
    assert store.take(NOW + 1).budgets is first
    put(store, budget("b", WEB, allowed=2))
    assert store.take(NOW + 1).budgets is not first
    assert first.allowed.tolist() == [1]


def test_a_malformed_selector_is_a_fault_and_selects_nobody():
    nonsense = {"matchExpressions": [{"key": "app", "operator": "Like"}, {"key": "a b", "operator": "In"}]}
    store = a_store(budget("bad", nonsense), budget("good", WEB, allowed=1), web("p"))
    assert under(store) == {"p": 1}
    faults = store.faults["PodDisruptionBudget", "ns/bad"]
    assert [fault.field for fault in faults] == [
        "spec.selector.matchExpressions[0].operator",
        "spec.selector.matchExpressions[1].key",
        "spec.selector.matchExpressions[1].values",
    ]
    assert {fault.where for fault in faults} == {"PodDisruptionBudget ns/bad"}
    put(store, budget("bad", {}, allowed=0))
    assert under(store) == {"p": 0}
    assert ("PodDisruptionBudget", "ns/bad") not in store.faults


def test_a_budget_whose_selector_was_spoilt_holds_no_longer():
    store = a_store(budget("b", WEB), web("p"))
    put(store, budget("b", {"matchLabels": {"": "x"}}))
    assert under(store) == {}


def test_labels_are_kept_once_for_all_pods_that_have_the_same():
    store = a_store(*[web(f"p{n}") for n in range(50)], pod("waits", labels={"app": "waits"}))
    assert len(store.pods._labels) == 2


def holds(selector, labels):
    """Apimachinery's rules, one by one."""
    if selector is None:
        return False
    if any(key not in labels or labels[key] != value for key, value in selector["matchLabels"].items()):
        return False
    for one in selector["matchExpressions"]:
        key, operator, present = one["key"], one["operator"], one["key"] in labels
        if operator == "Exists" and not present:
            return False
        if operator == "DoesNotExist" and present:
            return False
        if operator == "In" and not (present and labels[key] in one["values"]):
            return False
        if operator == "NotIn" and present and labels[key] in one["values"]:
            return False
    return True


@given(
    pods=st.lists(LABELS, max_size=6),
    budgets=st.lists(st.tuples(SELECTORS, st.integers(0, 3)), max_size=4),
    budgets_first=st.booleans(),
)
def test_pods_are_under_the_tightest_budget_that_selects_them(pods, budgets, budgets_first):
    running = [pod(f"p{n}", on="a", queue="", labels=labels) for n, labels in enumerate(pods)]
    all_budgets = [budget(f"b{n}", selector, allowed=allowed) for n, (selector, allowed) in enumerate(budgets)]
    objects = all_budgets + running if budgets_first else running + all_budgets
    store = a_store()
    for each in objects:
        put(store, each)
        store.take(NOW)
    expected = {}
    for n, labels in enumerate(pods):
        if allowed := [allowed for selector, allowed in budgets if holds(selector, labels)]:
            expected[f"p{n}"] = min(allowed)
    assert under(store) == expected


def test_a_selector_without_requirements_matches_everything():
    selector = budget("b", {}).spec.selector
    assert Selector.of(selector, where="b", field="selector").matches({})


def test_keys_of_labels_are_checked():
    selector = budget("b", {"matchLabels": {"not a key": "x"}}).spec.selector
    with pytest.raises(MalformedObjectError, match="'not a key' is not the key of a label"):
        Selector.of(selector, where="b", field="selector")
