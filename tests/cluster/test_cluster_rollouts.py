"""Rolling updates at full quota: the new pod is lent a place until the old one has gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from kai_py.api.pod import Pod
from kai_py.cluster.pods import key_of
from kai_py.cluster.rollouts import RolloutBook
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.tables.pods import PodKey
from tests.cluster.objects import GPU, NOW, a_store, node, pod, podgroup, priority_class, put, queue, row_of

QUOTA = 2


def replica(name: str, revision: str, *, on: str = "", age: float = 10, deleted: float | None = None) -> Pod:
    return pod(
        name,
        on=on,
        owner=("ReplicaSet", f"web-{revision}"),
        labels={"pod-template-hash": revision, "priorityClassName": "inference"},
        created=NOW - age,
        deleted=deleted,
    )


def a_cluster(*pods: Pod, limit: float = -1) -> Store:
    return a_store(priority_class("inference", 125), queue(gpus=QUOTA, limit=limit), node("n"), *pods)


def bound(store: Store) -> list[str]:
    return [decision.pod for decision in run_cycle(store.take(NOW), Options(), clock=lambda: 0.0).decisions]


def preemptible(store: Store, name: str) -> bool:
    snapshot = store.take(NOW)
    return bool(snapshot.podgroups.preemptible[row_of(snapshot, f"pg-{name}-uid-{name}")])


OLD = (replica("old-0", "a", on="n", age=99), replica("old-1", "a", on="n", age=98))


def test_a_new_pod_starts_though_the_quota_is_full():
    store = a_cluster(*OLD, replica("new", "b"))
    assert bound(store) == ["ns/new"]


def test_without_the_setting_it_waits():
    store = a_cluster(*OLD, replica("new", "b"))
    store.rollouts.enable(wanted=False)
    assert bound(store) == []
    store.rollouts.enable(wanted=True)
    assert bound(store) == ["ns/new"]


def test_one_more_replica_of_the_same_revision_is_lent_nothing():
    assert bound(a_cluster(*OLD, replica("new", "a"))) == []


def test_the_limit_holds_for_what_is_lent_as_well():
    assert bound(a_cluster(*OLD, replica("new", "b"), limit=QUOTA)) == []


def test_what_was_lent_is_given_for_good_when_the_old_pod_has_gone():
    store = a_cluster(*OLD, replica("new", "b", on="n"))
    assert preemptible(store, "new")
    assert not preemptible(store, "old-0")
    put(store, replica("old-0", "a", on="n", age=99, deleted=NOW))
    assert preemptible(store, "new")
    put(store, replica("old-1", "a", on="n", age=98, deleted=NOW))
    assert not preemptible(store, "new")


def test_replicas_of_an_argo_rollout_are_told_by_its_own_label():
    def marked(one: Pod) -> Pod:
        hashed = {"rollouts-pod-template-hash": one.metadata.labels["pod-template-hash"]}
        kept = {key: value for key, value in one.metadata.labels.items() if key != "pod-template-hash"}
        return replace(one, metadata=replace(one.metadata, labels=kept | hashed))

    assert bound(a_cluster(*map(marked, (*OLD, replica("new", "b"))))) == ["ns/new"]


def of_revision(name: str, number: int, *, on: str = "", age: float = 10) -> Pod:
    revision = f"chat-{number}"
    labels = {
        "pod-template-hash": f"h{number}",
        "serving.knative.dev/configuration": "chat",
        "serving.knative.dev/revision": revision,
        "priorityClassName": "inference",
    }
    set_name = f"{revision}-deployment-h{number}"
    return pod(name, on=on, owner=("ReplicaSet", set_name), group=revision, labels=labels, created=NOW - age)


def test_a_knative_revision_starts_whole_though_the_one_before_fills_the_quota():
    gangs = [podgroup(f"chat-{number}", minMember=QUOTA, priorityClassName="inference") for number in (1, 2)]
    olds = [of_revision(f"old-{number}", 1, on="n", age=99) for number in range(QUOTA)]
    news = [of_revision(f"new-{number}", 2) for number in range(QUOTA)]
    assert sorted(bound(a_cluster(*gangs, *olds, *news))) == ["ns/new-0", "ns/new-1"]
    third = of_revision("new-2", 2, age=5)
    assert bound(a_cluster(*gangs, *olds, *news, third)) == []  # more than there were


def test_nothing_is_lent_to_who_comes_from_another_queue():
    elsewhere = [
        replace(one, metadata=replace(one.metadata, labels={**one.metadata.labels, "kai.scheduler/queue": "other"}))
        for one in OLD
    ]
    full = pod("full", on="n", requests={"cpu": "1", GPU: QUOTA}, labels={"priorityClassName": "inference"})
    assert bound(a_cluster(queue("other"), *elsewhere, full, replica("new", "b"))) == []
    assert bound(a_cluster(queue("other"), *OLD, full, replica("new", "b"))) == ["ns/new"]


def test_of_two_revisions_of_the_same_second_the_one_that_waits_is_the_new_one():
    olds = [replica(f"z-{number}", "z", on="n", age=1) for number in range(QUOTA)]
    assert bound(a_cluster(*olds, replica("new", "b", age=1))) == ["ns/new"]


def test_a_rollback_goes_by_the_youngest_pod():
    store = a_cluster(OLD[0], replica("new", "b", on="n", age=50), replica("again", "a", age=1))
    assert preemptible(store, "again")
    assert not preemptible(store, "new")
    assert not preemptible(store, "old-0")


def test_no_more_is_lent_than_still_runs():
    store = a_cluster(OLD[0], *(replica(f"new-{row}", "b", age=row + 1) for row in range(3)))
    assert [preemptible(store, f"new-{row}") for row in range(3)] == [True, False, False]


_PODS = st.tuples(st.integers(0, 5), st.sampled_from("abc"), st.booleans(), st.integers(0, 9))


@given(st.lists(st.one_of(_PODS, st.integers(0, 5)), max_size=25))
def test_in_whatever_order_pods_come_and_go_the_same_is_lent(events):
    """The book that has followed everything says the same as one that sees what is left at once."""
    book, there = RolloutBook(), {}
    for event in events:
        number = event if isinstance(event, int) else event[0]
        key = PodKey("ns", f"p{number}", f"uid-p{number}")
        if isinstance(event, int):
            book.drop(key)
            there.pop(key, None)
        else:
            _, revision, runs, age = event
            made = replica(f"p{number}", revision, on="n" if runs else "", age=age)
            book.see(key, made)
            there[key] = made
        book.changed()
    fresh = RolloutBook()
    for key, made in there.items():
        fresh.see(key, made)
    fresh.changed()
    assert {key for key in there if book.surges(key)} == {key for key in there if fresh.surges(key)}


def test_pods_without_a_rollout_cost_nothing():
    book = RolloutBook()
    plain = pod("p", owner=("ReplicaSet", "web"))
    book.see(key_of(plain), plain)
    odd = replica("q", "x")
    odd = replace(odd, metadata=replace(odd.metadata, labels={"pod-template-hash": "other"}))
    book.see(key_of(odd), odd)
    book.drop(key_of(odd))
    assert book.changed() == set()
