"""Podgroups: from objects where there are any, from the pods' owners otherwise."""

from __future__ import annotations

import pytest

from kai_py.cluster.store import Store
from kai_py.core.tables.podgroups import ALL, GroupKey
from kai_py.core.tables.pods import PodKey
from kai_py.core.tables.snapshot import Snapshot
from kai_py.errors import Fault
from tests.cluster.objects import (
    NOW,
    a_store,
    blocked,
    leaves,
    owner,
    pod,
    podgroup,
    priority_class,
    put,
    queue,
    row_of,
    timestamp,
)

FAULT = Fault("PodGroup ns/g", "spec.minMember", "is no number")
PARTS = [{"name": "x", "minMember": 1}, {"name": "y", "minMember": 2}]
TRAIN = "pg-train-uid-train"


def drop(store: Store, name: str) -> None:
    store.drop_pod(PodKey("ns", name, f"uid-{name}"))


def queue_of(snapshot: Snapshot, name: str) -> str | None:
    row = int(snapshot.podgroups.queue_idx[row_of(snapshot, name)])
    return snapshot.queues.names[row] if row >= 0 else None


def tree(snapshot: Snapshot, name: str) -> list[tuple[str, int, int, int]]:
    """Subgroups of a podgroup: name, parent counted from its root, minMember, minSubGroup."""
    row = row_of(snapshot, name)
    start, end = snapshot.podgroups.offset[row : row + 2].tolist()
    table = snapshot.subgroups
    assert (table.podgroup_idx[start:end] == row).all()
    return [
        (
            table.names[at],
            max(-1, int(table.parent[at]) - start),
            int(table.min_member[at]),
            int(table.min_subgroups[at]),
        )
        for at in range(start, end)
    ]


def test_a_pod_without_an_owner_is_a_group_of_its_own_in_memory():
    snapshot = a_store(pod("p")).take(NOW)
    assert snapshot.podgroups.keys == (GroupKey("ns", "pg-p-uid-p", ""),)
    assert snapshot.podgroups.created.tolist() == [NOW - 100]


def test_pods_of_a_job_share_a_group_that_is_as_old_as_its_oldest_pod():
    store = a_store(
        pod("p", owner=("Job", "train"), created=NOW - 5), pod("q", owner=("Job", "train"), created=NOW - 9)
    )
    assert store.take(NOW).podgroups.created.tolist() == [NOW - 9]
    drop(store, "q")
    assert store.take(NOW).podgroups.created.tolist() == [NOW - 5]


def test_a_group_without_pods_has_no_row():
    store = a_store(podgroup("g"), pod("p", group="g"))
    assert len(store.take(NOW).podgroups) == 1
    drop(store, "p")
    assert len(store.take(NOW).podgroups) == 0


def test_an_object_that_comes_later_replaces_what_was_derived():
    store = a_store(pod("p", owner=("Job", "train")), queue("research"))
    assert tree(store.take(NOW), TRAIN) == [("", -1, 1, 0)]
    assert store.put_podgroup(podgroup(TRAIN, queue="research", minMember=4, created=NOW - 77))
    snapshot = store.take(NOW)
    assert snapshot.podgroups.keys == (GroupKey("ns", TRAIN, f"uid-{TRAIN}"),)
    assert tree(snapshot, TRAIN) == [("", -1, 4, 0)]
    assert queue_of(snapshot, TRAIN) == "research"
    assert snapshot.podgroups.created.tolist() == [NOW - 77]
    assert leaves(snapshot) == {"p": f"{TRAIN}/"}


def test_without_its_object_a_group_is_again_what_was_derived():
    store = a_store(podgroup(TRAIN, subGroups=PARTS), pod("p", owner=("Job", "train")))
    store.take(NOW)
    assert store.groups.drop(("ns", TRAIN))
    snapshot = store.take(NOW)
    assert snapshot.podgroups.keys == (GroupKey("ns", TRAIN, ""),)
    assert tree(snapshot, TRAIN) == [("", -1, 1, 0)]


def test_an_object_that_nobody_has_joined_matters_to_nobody():
    store = a_store()
    assert not store.put_podgroup(podgroup("g"))
    assert not store.groups.drop(("ns", "g"))


def test_our_own_status_writes_matter_to_nobody():
    store = a_store(podgroup("g"), pod("p", group="g"))
    assert not store.put_podgroup(podgroup("g"))
    assert store.put_podgroup(podgroup("g", minMember=2))


def test_a_podgroup_made_anew_is_another_one():
    store = a_store(podgroup("g", uid="old", subGroups=PARTS), pod("p", group="g", subgroup="x"))
    store.take(NOW)
    assert store.put_podgroup(podgroup("g", uid="new", subGroups=PARTS))
    snapshot = store.take(NOW)
    assert snapshot.podgroups.keys == (GroupKey("ns", "g", "new"),)
    assert [name for name, *_ in tree(snapshot, "g")] == ["", "x", "y"]
    assert leaves(snapshot) == {"p": "g/x"}


def test_pods_wait_for_a_podgroup_that_they_name_and_nobody_has_made():
    store = a_store(pod("p", group="g"))
    assert blocked(store.take(NOW), "g") == "PodGroupDoesNotExist"
    store.put_podgroup(podgroup("g"))
    assert blocked(store.take(NOW), "g") is None


# -- subgroups -----------------------------------------------------------------------------------------


def test_subgroups_are_sorted_rows_below_their_root():
    subgroups = [
        {"name": "workers", "minSubGroup": 1},
        {"name": "b", "parent": "workers", "minMember": 2},
        {"name": "a", "parent": "workers", "minMember": 3},
    ]
    store = a_store(podgroup("g", subGroups=subgroups), pod("p", group="g", subgroup="b"), pod("q"))
    snapshot = store.take(NOW)
    assert tree(snapshot, "g") == [("", -1, 0, ALL), ("a", 3, 3, 0), ("b", 3, 2, 0), ("workers", 0, 0, 1)]
    assert leaves(snapshot) == {"p": "g/b", "q": "pg-q-uid-q/"}


def test_subgroups_may_change_while_pods_are_in_them():
    store = a_store(
        podgroup("g", subGroups=PARTS), pod("p", group="g", subgroup="x"), pod("q", group="g", subgroup="y")
    )
    store.take(NOW)
    store.put_podgroup(podgroup("g", subGroups=[{"name": "a", "minMember": 1}, {"name": "y", "minMember": 1}]))
    snapshot = store.take(NOW)
    assert leaves(snapshot) == {"p": "g/a", "q": "g/y"}  # a stray is shown at the first leaf, and blocked
    assert blocked(snapshot, "g") == "SubGroupDoesNotExist"
    store.put_podgroup(podgroup("g"))
    snapshot = store.take(NOW)
    assert leaves(snapshot) == {"p": "g/", "q": "g/"}
    assert blocked(snapshot, "g") is None


@pytest.mark.parametrize("subgroup", ["", "nobody", "inner"])
def test_a_pod_that_names_no_leaf_blocks_its_group(subgroup):
    subgroups = [{"name": "inner"}, {"name": "x", "parent": "inner", "minMember": 1}]
    store = a_store(
        podgroup("g", subGroups=subgroups), pod("p", group="g", subgroup="x"), pod("q", group="g", subgroup=subgroup)
    )
    snapshot = store.take(NOW)
    assert snapshot.podgroups.blocked[0][1] == {"podGroup": "g", "subGroup": subgroup}
    drop(store, "q")
    assert blocked(store.take(NOW), "g") is None


def test_without_subgroups_the_label_means_nothing():
    store = a_store(podgroup("g"), pod("p", group="g", subgroup="x"), pod("q", group="g"))
    assert leaves(store.take(NOW)) == {"p": "g/", "q": "g/"}


def test_a_pod_may_move_from_subgroup_to_subgroup_and_from_group_to_group():
    store = a_store(podgroup("g", subGroups=PARTS), podgroup("h"), pod("p", group="g", subgroup="x"))
    store.put_pod(pod("p", group="g", subgroup="y"), NOW)
    assert leaves(store.take(NOW)) == {"p": "g/y"}
    store.put_pod(pod("p", group="h"), NOW)
    snapshot = store.take(NOW)
    assert leaves(snapshot) == {"p": "h/"}
    assert [key.name for key in snapshot.podgroups.keys] == ["h"]


def test_a_leaf_slot_that_is_used_again_leads_to_its_new_group():
    store = a_store(podgroup("g", subGroups=PARTS), pod("p", group="g", subgroup="x"))
    store.take(NOW)
    drop(store, "p")
    put(store, pod("q"))
    put(store, pod("r", group="g", subgroup="y"))
    assert leaves(store.take(NOW)) == {"q": "pg-q-uid-q/", "r": "g/y"}


# -- malformed -----------------------------------------------------------------------------------------


def test_a_podgroup_that_becomes_malformed_waits_and_keeps_paying_from_its_queue():
    store = a_store(queue("research"), podgroup("g", queue="research", minMember=3), pod("p", group="g", on="a"))
    assert store.groups.put_malformed(("ns", "g"), FAULT)
    assert not store.groups.put_malformed(("ns", "g"), FAULT)
    snapshot = store.take(NOW)
    assert blocked(snapshot, "g") == "PodGroupInvalid"
    assert queue_of(snapshot, "g") == "research"
    assert store.faults == {("PodGroup", "ns/g"): (FAULT,)}


def test_a_podgroup_is_mended_by_the_spec_that_it_had_before():
    store = a_store(podgroup("g"), pod("p", group="g"))
    store.groups.put_malformed(("ns", "g"), FAULT)
    assert store.put_podgroup(podgroup("g"))
    assert blocked(store.take(NOW), "g") is None
    assert not store.faults


def test_a_malformed_podgroup_that_is_deleted_blocks_nobody():
    store = a_store(pod("p", owner=("Job", "train")))
    store.groups.put_malformed(("ns", TRAIN), FAULT)
    assert blocked(store.take(NOW), TRAIN) == "PodGroupInvalid"
    assert store.groups.drop(("ns", TRAIN))
    assert blocked(store.take(NOW), TRAIN) is None


def test_a_group_is_blocked_by_its_pods_only_if_all_of_them_have_a_problem():
    odd = {"gpu-fraction": "too much"}
    store = a_store(podgroup("g"), pod("p", group="g", annotations=odd), pod("q", group="g"))
    assert blocked(store.take(NOW), "g") is None
    put(store, pod("q", group="g", annotations=odd))
    assert blocked(store.take(NOW), "g") == "PodInvalid"
    drop(store, "p")
    assert blocked(store.take(NOW), "g") == "PodInvalid"
    put(store, pod("q", group="g"))
    assert blocked(store.take(NOW), "g") is None


# -- queue, priority, preemptibility -------------------------------------------------------------------


def test_a_queue_that_is_missing_orphaned_or_divided_blocks_its_podgroups():
    store = a_store(pod("p", queue="team"), pod("q", queue="research"))
    assert blocked(store.take(NOW), "pg-q-uid-q") == "QueueDoesNotExist"
    store.put_queue(queue("research", parent="institute"))
    assert blocked(store.take(NOW), "pg-q-uid-q") == "QueueInvalid"
    store.put_queue(queue("institute"))
    assert blocked(store.take(NOW), "pg-q-uid-q") is None
    store.put_queue(queue("research", parent="team"))
    snapshot = store.take(NOW)
    assert (blocked(snapshot, "pg-p-uid-p"), blocked(snapshot, "pg-q-uid-q")) == ("QueueIsNotLeaf", None)


def test_without_any_word_the_default_queue_is_meant():
    assert a_store(podgroup("g", queue=""), pod("p", group="g", queue="")).take(NOW).podgroups.blocked[0][1] == {
        "queue": "default-queue"
    }


def test_a_podgroups_label_names_its_queue_where_its_spec_does_not():
    store = a_store(podgroup("g", queue="", labels={"kai.scheduler/queue": "team"}), pod("p", group="g", queue=""))
    assert queue_of(store.take(NOW), "g") == "team"


def test_priorities_follow_their_classes():
    store = a_store(pod("p", labels={"priorityClassName": "high"}), pod("q"))

    def priorities() -> list[int]:
        return store.take(NOW).podgroups.priority.tolist()

    assert priorities() == [50, 50]
    assert store.put_priority_class(priority_class("usual", 60, default=True))
    assert priorities() == [60, 60]
    assert store.put_priority_class(priority_class("high", 120))
    assert priorities() == [120, 60]
    assert store.take(NOW).podgroups.preemptible.tolist() == [False, True]
    assert not store.put_priority_class(priority_class("high", 120))
    assert store.put_priority_class(priority_class("high", 2**40))
    assert priorities() == [2**31 - 1, 60]
    assert store.drop_priority_class("usual")
    assert not store.drop_priority_class("usual")
    assert priorities() == [2**31 - 1, 50]


def test_what_a_podgroup_says_about_preemption_wins_over_its_priority():
    store = a_store(podgroup("g", preemptibility="non-preemptible"), pod("p", group="g"), priority_class("train", 50))
    assert store.take(NOW).podgroups.preemptible.tolist() == [False]


def test_when_pods_contradict_each_other_the_first_by_name_decides_whoever_came_first():
    pods = [pod("p", owner=("Job", "train"), queue="team"), pod("q", owner=("Job", "train"), queue="research")]
    for order in (pods, pods[::-1]):
        store = a_store(queue("research"), *order)
        assert queue_of(store.take(NOW), TRAIN) == "team"
        drop(store, "p")
        assert queue_of(store.take(NOW), TRAIN) == "research"


# -- objects that should be written --------------------------------------------------------------------


def unwritten(store: Store) -> list[str]:
    return [group.name for group in store.groups.unwritten()]


def test_a_gang_of_more_than_one_pod_wants_an_object_until_there_is_one():
    store = a_store(pod("p", owner=("Job", "train")))
    assert unwritten(store) == []
    put(store, pod("q", owner=("Job", "train")))
    assert unwritten(store) == [TRAIN]
    store.put_podgroup(podgroup(TRAIN))
    assert unwritten(store) == []
    store.groups.drop(("ns", TRAIN))
    assert unwritten(store) == [TRAIN]
    drop(store, "p")
    assert unwritten(store) == []


def test_what_is_to_be_written_is_what_the_owner_says_now():
    store = a_store(pod("p", owner=("Job", "train")), pod("q", owner=("Job", "train")))
    put(store, owner("Job", "train", annotations={"kai.scheduler/batch-min-member": "2"}))
    assert [group.min_member for group in store.groups.unwritten()] == [2]


def test_pods_that_stand_alone_or_name_their_podgroup_want_none():
    store = a_store(pod("p"), pod("q", group="g"), pod("r", group="g"))
    assert unwritten(store) == []


def test_no_object_is_written_for_pods_that_are_going():
    store = a_store(pod("p", owner=("Job", "train"), on="a"), pod("q", owner=("Job", "train"), on="a"))
    assert unwritten(store) == [TRAIN]
    put(store, pod("p", owner=("Job", "train"), on="a", deleted=NOW))
    assert unwritten(store) == []


def test_no_object_is_written_over_a_malformed_one():
    store = a_store(pod("p", owner=("Job", "train")), pod("q", owner=("Job", "train")))
    store.groups.put_malformed(("ns", TRAIN), FAULT)
    assert unwritten(store) == []


def test_a_podgroups_age_is_its_objects():
    assert timestamp(NOW - 500) == podgroup("g").metadata.creation_timestamp
    store = a_store(podgroup("g"), pod("p", group="g"))
    assert store.take(NOW).podgroups.created.tolist() == [NOW - 500]
