"""Whatever happens in whatever order, the snapshot that was kept up to date equals the one made from scratch."""

from __future__ import annotations

import copy
import hashlib
from collections import Counter
from dataclasses import fields

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kai_py.cluster.rows import Slots
from kai_py.cluster.store import Store
from kai_py.core.resources import DEVICE
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.pods import USING, PodState
from kai_py.core.tables.snapshot import Snapshot
from kai_py.errors import Fault
from kai_py.podgrouper.grouping import group_of
from tests.cluster.objects import (
    GPU,
    NOW,
    bind,
    budget,
    evict,
    node,
    owner,
    pod,
    podgroup,
    priority_class,
    put,
    queue,
)

NAMES = st.sampled_from([f"p{n}" for n in range(6)])
NODES = st.sampled_from(["a", "b", "c"])
GROUPS = st.sampled_from(["g", "h"])
QUEUES = st.sampled_from(["team", "other", "root"])
#: By kind: what a podgroup is, the workload above a pod, or neither.
OWNERS = {"job": ("Job", "job"), "replicas": ("ReplicaSet", "replicas"), "thing": ("Thing", "thing")}
SPECS = {
    "plain": {"minMember": 2},
    "urgent": {"priorityClassName": "high", "queue": "other"},
    "parts": {"subGroups": [{"name": "x", "minMember": 1}, {"name": "y", "minMember": 2}]},
    "tree": {
        "subGroups": [
            {"name": "x", "minSubGroup": 1},
            {"name": "y", "parent": "x", "minMember": 1},
            {"name": "z", "parent": "x", "minMember": 0},
        ]
    },
    "near": {"topologyConstraint": {"topology": "t", "requiredTopologyLevel": "rack"}},
}
REQUESTS = [{"cpu": "1", GPU: 1}, {"cpu": "500m"}, {"example.com/x": 3}, {"cpu": "a lot"}, {"memory": "1Ei"}]
SELECTORS = {
    "all": {},
    "nobody": None,
    "team": {"matchLabels": {"kai.scheduler/queue": "team"}},
    "low": {"matchExpressions": [{"key": "priorityClassName", "operator": "Exists"}]},
    "nonsense": {"matchExpressions": [{"key": "x", "operator": "Like", "values": ["y"]}]},
}
PODS = st.fixed_dictionaries(
    {
        "uid": st.sampled_from(["one", "two"]),
        "on": st.sampled_from(["", "", "a", "b", "gone"]),
        "group": st.sampled_from(["", "g", "h"]),
        "subgroup": st.sampled_from(["", "", "x", "y"]),
        "queue": st.sampled_from(["", "team", "other"]),
        "owner": st.none() | st.sampled_from([*OWNERS.values()]),
        "requests": st.sampled_from(REQUESTS),
        "phase": st.sampled_from(["", "", "", "Succeeded"]),
        "deleted": st.sampled_from([None, None, NOW - 10, NOW - 1000]),
        "gated": st.booleans(),
        "foreign": st.sampled_from([False, False, True]),
        "nominated": st.sampled_from(["", "b"]),
        "created": st.sampled_from([NOW - 5, NOW - 7]),
        "labels": st.sampled_from([{}, {"kai.scheduler/task-priority": "3"}, {"priorityClassName": "low"}]),
        "annotations": st.sampled_from([{}, {}, {"kai.scheduler/skip-podgrouper": "true"}, {"gpu-fraction": "0.5"}]),
        "nodeSelector": st.sampled_from([{}, {"rack": "r1"}]),
    }
)


def contents(snapshot: Snapshot) -> dict[str, object]:
    """Everything that a snapshot says, without the numbers that its classes happen to have."""
    said: dict[str, object] = {"now": snapshot.now, "axis": snapshot.axis}
    for name in ("nodes", "pods", "podgroups", "subgroups", "queues"):
        table = getattr(snapshot, name)
        for column in fields(table):
            if column.name == "history":  # what happened before, which the final objects do not tell
                continue
            value = getattr(table, column.name)
            said[f"{name}.{column.name}"] = (value.dtype, value.tolist()) if isinstance(value, np.ndarray) else value
    said["nodes.labels"] = {
        key: (column.codes.tolist(), dict(column.vocabulary)) for key, column in snapshot.nodes.labels.columns.items()
    }
    said["pods.class_idx"] = [
        (
            snapshot.classes.classes[row],
            snapshot.classes.request[row].tolist(),
            snapshot.classes.accounted[row].tolist(),
        )
        for row in snapshot.pods.class_idx.tolist()
    ]
    said["budgets"] = None
    if snapshot.budgets is not None:
        budgets = snapshot.budgets
        said["budgets"] = budgets.allowed.tolist(), budgets.of_pod.tolist()
    return said


def digest(snapshot: Snapshot) -> str:
    return hashlib.sha256(repr((contents(snapshot), snapshot.classes.request.tobytes())).encode()).hexdigest()


def check_ledger(snapshot: Snapshot) -> None:
    ledger = Ledger(snapshot)
    for amounts in (ledger.queue_allocated, ledger.queue_non_preemptible, ledger.releasing):
        assert (amounts >= 0).all()
    for counts in (ledger.active, ledger.allocated, ledger.pending):
        assert (counts >= 0).all()
    held = np.zeros_like(ledger.free)
    for row, state in enumerate(snapshot.pods.state.tolist()):
        if state in USING and snapshot.pods.node_idx[row] >= 0:
            held[snapshot.pods.node_idx[row]] += snapshot.classes.request[snapshot.pods.class_idx[row]]
    for on, devices in ledger.devices.taken.items() if ledger.devices is not None else ():
        held[on, snapshot.devices.column] += DEVICE * sum(taken.now > 0 for taken in devices.values())
    assert (ledger.free + held == snapshot.nodes.allocatable).all()


def uses(slots: Slots) -> Counter[str]:
    return Counter({name: slots._uses[number] for name, number in slots._number.items()})


class KeptUpToDate(RuleBasedStateMachine):
    """Drives a store; after each step its snapshot is compared with that of a store that learns of it all at once."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(group_of)
        self.now = NOW
        self.objects: dict[tuple[str, str], object] = {}
        self.malformed_queues: dict[str, object] = {}
        self.malformed_groups: dict[str, object] = {}
        self.taken: list[tuple[Snapshot, str]] = []

    # -- objects -----------------------------------------------------------------------------------

    def put(self, kind: str, name: str, each: object) -> None:
        self.objects[kind, name] = each
        put(self.store, each, self.now)

    def forget(self, kind: str, name: str) -> object | None:
        return self.objects.pop((kind, name), None)

    @rule(name=NAMES, what=PODS)
    def put_pod(self, name, what):
        self.put("pod", name, pod(name, **what | {"uid": f"{name}-{what['uid']}"}))

    @rule(name=NAMES)
    def drop_pod(self, name):
        for key in [key for key in self.store.known_pods() if key.name == name]:
            self.store.drop_pod(key)
        self.forget("pod", name)

    @rule(
        name=NODES, gpus=st.sampled_from([0, 8, "many"]), label=st.sampled_from(["", "r1", "r2"]), taint=st.booleans()
    )
    def put_node(self, name, gpus, label, taint):
        each = node(name, gpus=gpus, labels={"rack": label} if label else {}, taints=["t"] if taint else [])
        if gpus == "many":
            put(self.store, each)  # keeps its last good state
        else:
            self.put("node", name, each)

    @rule(name=NODES)
    def drop_node(self, name):
        self.store.nodes.drop(name)
        self.forget("node", name)

    @rule(name=QUEUES, parent=st.sampled_from(["", "", "root", "team"]), gpus=st.sampled_from([0, 4, -1]))
    def put_queue(self, name, parent, gpus):
        if parent != name:
            self.malformed_queues.pop(name, None)
            self.put("queue", name, queue(name, parent=parent, gpus=gpus))

    @rule(name=QUEUES)
    def spoil_queue(self, name):
        self.malformed_queues[name] = Fault(f"Queue {name}", "spec", "is no good")
        self.store.queues.put_malformed(name, self.malformed_queues[name])

    @rule(name=QUEUES)
    def drop_queue(self, name):
        self.store.queues.drop(name)
        self.malformed_queues.pop(name, None)
        self.forget("queue", name)

    @rule(name=GROUPS, spec=st.sampled_from([*SPECS]), uid=st.sampled_from(["one", "two"]))
    def put_podgroup(self, name, spec, uid):
        self.malformed_groups.pop(name, None)
        self.put("podgroup", name, podgroup(name, uid=uid, **SPECS[spec]))

    @rule(name=GROUPS)
    def spoil_podgroup(self, name):
        self.malformed_groups[name] = Fault(f"PodGroup ns/{name}", "spec", "is no good")
        self.store.groups.put_malformed(("ns", name), self.malformed_groups[name])

    @rule(name=GROUPS)
    def drop_podgroup(self, name):
        self.store.groups.drop(("ns", name))
        self.malformed_groups.pop(name, None)
        self.forget("podgroup", name)

    @rule(kind=st.sampled_from(["Job", "ReplicaSet"]))
    def learn_of_an_owner(self, kind):
        annotations = {"kai.scheduler/batch-min-member": "2"} if kind == "Job" else {}
        each = owner(kind, OWNERS[{"Job": "job", "ReplicaSet": "replicas"}[kind]][1], annotations=annotations)
        self.put("owner", kind, each)

    @rule(name=st.sampled_from(["high", "low"]), value=st.sampled_from([10, 200, 2**40]), default=st.booleans())
    def put_priority_class(self, name, value, default):
        self.put("priority", name, priority_class(name, value, default=default))

    @rule(name=st.sampled_from(["high", "low"]))
    def drop_priority_class(self, name):
        self.store.drop_priority_class(name)
        self.forget("priority", name)

    @rule(name=st.sampled_from(["x", "y"]), selector=st.sampled_from([*SELECTORS]), allowed=st.sampled_from([0, 1, 5]))
    def put_budget(self, name, selector, allowed):
        self.put("budget", name, budget(name, SELECTORS[selector], allowed=allowed))

    @rule(name=st.sampled_from(["x", "y"]))
    def drop_budget(self, name):
        self.store.budgets.drop(("ns", name))
        self.forget("budget", name)

    # -- decisions ---------------------------------------------------------------------------------

    def in_state(self, *states: PodState):
        return [
            facts.key
            for facts in self.store.pods.facts.values()
            if facts.flight is None and facts.state in states and facts.place is not None
        ]

    @property
    def flying(self):
        return [(key, flight) for key, flight in self.store.assumptions]

    def decision(self, key, node_name):
        return evict(key.name, key.uid) if node_name is None else bind(key.name, node_name, key.uid)

    @precondition(lambda self: self.in_state(PodState.PENDING))
    @rule(data=st.data(), to=NODES)
    def assume_bind(self, data, to):
        key = data.draw(st.sampled_from(self.in_state(PodState.PENDING)))
        self.store.decisions.assume(bind(key.name, to, key.uid), self.now)

    @precondition(lambda self: self.in_state(PodState.BOUND, PodState.RELEASING))
    @rule(data=st.data())
    def assume_eviction(self, data):
        key = data.draw(st.sampled_from(self.in_state(PodState.BOUND, PodState.RELEASING)))
        self.store.decisions.assume(evict(key.name, key.uid), self.now)

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), answer=st.sampled_from(["acknowledge", "release", "forget", "forget and blame"]))
    def answer(self, data, answer):
        key, flight = data.draw(st.sampled_from(self.flying))
        decision = self.decision(key, flight.node)
        match answer:
            case "acknowledge":
                self.store.decisions.acknowledge(decision)
            case "release":
                self.store.decisions.release(decision, self.now)
            case _:
                self.store.decisions.forget(decision, self.now, blame_node="blame" in answer)

    @rule(seconds=st.sampled_from([0.5, 3.0, 70.0, 400.0]))
    def pass_time(self, seconds):
        self.now += seconds

    # -- what always holds -------------------------------------------------------------------------

    def rebuilt(self) -> Store:
        """A fresh store that is told the outcome of it all, the kinds in another order."""
        fresh = Store(group_of)
        fresh.failures._records.update(copy.deepcopy(self.store.failures._records))
        fresh.assumptions._flights.update(self.store.assumptions._flights)
        for kind in ("owner", "budget", "podgroup", "pod", "priority", "queue", "node"):
            for (each_kind, _), each in sorted(self.objects.items()):
                if each_kind == kind:
                    put(fresh, each, self.now)
        for name, fault in self.malformed_queues.items():
            fresh.queues.put_malformed(name, fault)
        for name, fault in self.malformed_groups.items():
            fresh.groups.put_malformed(("ns", name), fault)
        for name, group in self.store.groups.groups.items():
            fresh.groups.groups[name].paying = group.paying  # who took it in last is remembered, and nowhere written
        return fresh

    @invariant()
    def equals_the_rebuilt_one(self):
        self.store.carryover.tidy(self.now)
        snapshot, fresh = self.store.take(self.now), self.rebuilt()
        expected = contents(fresh.take(self.now))
        for name, said in contents(snapshot).items():
            assert said == expected[name], name
        assert [group.name for group in self.store.groups.unwritten()] == [
            group.name for group in fresh.groups.unwritten()
        ]
        assert {place for place in self.store.faults if place[0] != "Node"} == set(fresh.faults)
        check_ledger(snapshot)
        self.taken.append((snapshot, digest(snapshot)))

    @invariant()
    def counts_who_uses_what(self):
        store, everybody = self.store, self.store.pods.facts.values()
        assert uses(store.pods._nodes) == Counter(facts.node for facts in everybody if facts.node)
        assert uses(store.groups._rows._queues) == Counter(store.groups._rows._queue_of.values())
        numbers = Counter(facts.class_number for facts in everybody)
        assert [numbers[number] for number in range(len(store.classes._uses))] == store.classes._uses
        labels = Counter(facts.label_set for facts in everybody if facts.label_set >= 0)
        assert [labels[number] for number in range(len(store.pods._labels))] == store.pods._labels._uses
        parts = [part for group in store.groups.groups.values() for part in (group.parts or {}).values()]
        slots = [*store.groups._free, *(group.slot for group in store.groups.groups.values()), *(p.slot for p in parts)]
        assert sorted(slots) == list(range(store.groups._slots))

    @invariant()
    def does_not_change_when_nothing_happens(self):
        first, second = self.store.take(self.now), self.store.take(self.now)
        assert first.podgroups is second.podgroups
        assert first.nodes is second.nodes
        assert first.classes is second.classes
        assert first.budgets is second.budgets

    def teardown(self):
        for snapshot, before in self.taken:
            assert digest(snapshot) == before


KeptUpToDate.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestKeptUpToDate = KeptUpToDate.TestCase
