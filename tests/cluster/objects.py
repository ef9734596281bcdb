"""API objects in one expression: a test names what it is about, everything else has a default that does not matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kai_py.api.decode import convert
from kai_py.api.meta import PartialObject
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.policy import PodDisruptionBudget
from kai_py.api.queue import Queue
from kai_py.api.scheduling import PriorityClass
from kai_py.api.topology import Topology
from kai_py.api.workload import Workload
from kai_py.cluster.store import Store
from kai_py.core.options import Action
from kai_py.core.result import Bind, Evict
from kai_py.core.tables.pods import PodState
from kai_py.core.tables.snapshot import Snapshot
from kai_py.podgrouper.grouping import group_of

NOW = 1_800_000_000.0
GPU = "nvidia.com/gpu"


def timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def pod(
    name: str,
    *,
    uid: str = "",
    on: str = "",
    group: str = "",
    subgroup: str = "",
    queue: str = "team",
    owner: tuple[str, str] | None = None,
    requests: Mapping[str, Any] | None = None,
    phase: str = "",
    deleted: float | None = None,
    gated: bool = False,
    foreign: bool = False,
    nominated: str = "",
    created: float = NOW - 100,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    namespace: str = "ns",
    conditions: Sequence[Mapping[str, str]] = (),
    **spec: Any,
) -> Pod:
    """A pod of ours that waits, or runs when it is ``on`` a node. ``owner`` is a kind and a name."""
    meta: dict[str, Any] = {
        "name": name,
        "namespace": namespace,
        "uid": uid or f"uid-{name}",
        "creationTimestamp": timestamp(created),
        "labels": {
            **({"kai.scheduler/queue": queue} if queue else {}),
            **({"kai.scheduler/subgroup-name": subgroup} if subgroup else {}),
            **(labels or {}),
        },
        "annotations": {**({"pod-group-name": group} if group else {}), **(annotations or {})},
    }
    if owner is not None:
        meta["ownerReferences"] = [reference(*owner)]
    if deleted is not None:
        meta["deletionTimestamp"] = timestamp(deleted)
    return convert(
        Pod,
        {
            "metadata": meta,
            "spec": {
                "schedulerName": "default-scheduler" if foreign else "kai-scheduler",
                "containers": [{"name": "main", "resources": {"requests": requests or {"cpu": "1", GPU: 1}}}],
                "nodeName": on,
                "schedulingGates": [{"name": "wait"}] if gated else [],
                **spec,
            },
            "status": {
                "phase": phase or ("Running" if on else "Pending"),
                "nominatedNodeName": nominated,
                "conditions": list(conditions),
            },
        },
    )


def reference(kind: str, name: str) -> dict[str, Any]:
    groups = {"Job": "batch/v1", "CronJob": "batch/v1", "ReplicaSet": "apps/v1", "Deployment": "apps/v1"}
    version = groups.get(kind, "example.com/v1")
    return {"apiVersion": version, "kind": kind, "name": name, "uid": f"uid-{name}", "controller": True}


def owner(kind: str, name: str, *, above: tuple[str, str] | None = None, **meta: Any) -> PartialObject:
    own = {"ownerReferences": [reference(*above)]} if above is not None else {}
    return convert(
        Workload,
        {
            "apiVersion": reference(kind, name)["apiVersion"],
            "kind": kind,
            "metadata": {"name": name, "namespace": "ns", "uid": f"uid-{name}", **own, **meta},
        },
    )


def node(
    name: str,
    *,
    gpus: int | str = 8,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[str] = (),
    more: Mapping[str, Any] | None = None,
    ready: str = "True",
    beat: int = 0,
    **spec: Any,
) -> Node:
    """A node with 64 cores; ``beat`` changes what a heartbeat changes."""
    allocatable = {"cpu": "64", "memory": "512Gi", "pods": "110", GPU: gpus, **(more or {})}
    return convert(
        Node,
        {
            "metadata": {
                "name": name,
                "uid": f"uid-{name}",
                "labels": dict(labels or {}),
                "resourceVersion": str(beat),
            },
            "spec": {"taints": [{"key": key, "effect": "NoSchedule"} for key in taints], **spec},
            "status": {
                "allocatable": allocatable,
                "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": timestamp(NOW + beat)}],
            },
        },
    )


def queue(name: str = "team", *, parent: str = "", gpus: float = -1, limit: float = -1, **spec: Any) -> Queue:
    unlimited = {"quota": -1, "limit": -1, "overQuotaWeight": 1}
    resources = {"cpu": unlimited, "memory": unlimited, "gpu": {**unlimited, "quota": gpus, "limit": limit}}
    return Queue.parse(
        {
            "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": timestamp(NOW - 1000)},
            "spec": {"parentQueue": parent, "resources": resources, **spec},
        }
    )


def podgroup(
    name: str, *, uid: str = "", created: float = NOW - 500, labels: Any = None, annotations: Any = None, **spec: Any
) -> PodGroup:
    meta = {"name": name, "namespace": "ns", "uid": uid or f"uid-{name}", "creationTimestamp": timestamp(created)}
    said = {"labels": labels or {}, "annotations": annotations or {}}
    return PodGroup.parse({"metadata": meta | said, "spec": {"queue": "team", **spec}})


def topology(name: str = "dc", *levels: str) -> Topology:
    """Levels are labels, from the widest; ``label=alias`` gives one a second name."""
    pairs = [level.partition("=") for level in levels or ("zone", "rack")]
    spec = {"levels": [{"nodeLabel": label, **({"alias": alias} if alias else {})} for label, _, alias in pairs]}
    return Topology.parse({"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": spec})


def priority_class(name: str, value: int, *, default: bool = False) -> PriorityClass:
    return convert(PriorityClass, {"metadata": {"name": name}, "value": value, "globalDefault": default})


def budget(
    name: str,
    selector: Mapping[str, Any] | None,
    *,
    allowed: int = 0,
    namespace: str = "ns",
    seen: int = 1,
    healthy: int = 0,
    desired: int = 0,
    unhealthy: str = "IfHealthyBudget",
) -> PodDisruptionBudget:
    """A budget of generation 1, of which the disruption controller has ``seen`` a generation."""
    meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "generation": 1}
    counts = {"currentHealthy": healthy, "desiredHealthy": desired}
    status = {"disruptionsAllowed": allowed, "observedGeneration": seen, **counts}
    spec = {"selector": selector, "unhealthyPodEvictionPolicy": unhealthy}
    return convert(PodDisruptionBudget, {"metadata": meta, "spec": spec, "status": status})


def bind(name: str, to: str, uid: str = "") -> Bind:
    return Bind(f"ns/{name}", uid or f"uid-{name}", to, "", Action.ALLOCATE)


def evict(name: str, uid: str = "") -> Evict:
    return Evict(f"ns/{name}", uid or f"uid-{name}", "", "", Action.ALLOCATE)


def a_store(*objects: object) -> Store:
    """A store with two nodes ``a`` and ``b``, a queue ``team``, and these objects."""
    store = Store(group_of)
    for each in (node("a"), node("b"), queue(), *objects):
        put(store, each)
    return store


def put(store: Store, each: object, now: float = NOW) -> bool:
    """Take in any object."""
    match each:
        case Pod():
            return store.put_pod(each, now)
        case Node():
            return store.put_node(each)
        case Queue():
            return store.put_queue(each)
        case Topology():
            return store.put_topology(each)
        case PodGroup():
            return store.put_podgroup(each)
        case PriorityClass():
            return store.put_priority_class(each)
        case PodDisruptionBudget():
            store.budgets.put(each)
            return False
        case PartialObject():
            return store.lineages.put(each, now)
    raise TypeError(each)


def states(snapshot: Snapshot) -> dict[str, str]:
    """Pod name -> state, with its node if it has one."""
    names = ["", *snapshot.nodes.names]
    return {
        key.name: PodState(state).name + (f" {names[node + 1]}" if node >= 0 else "")
        for key, state, node in zip(
            snapshot.pods.keys, snapshot.pods.state.tolist(), snapshot.pods.node_idx.tolist(), strict=True
        )
    }


def row_of(snapshot: Snapshot, name: str) -> int:
    """The row of a podgroup."""
    return [key.name for key in snapshot.podgroups.keys].index(name)


def blocked(snapshot: Snapshot, name: str) -> str | None:
    """The code that blocks a podgroup."""
    found = snapshot.podgroups.blocked.get(row_of(snapshot, name))
    return str(found[0]) if found else None


def leaves(snapshot: Snapshot) -> dict[str, str | None]:
    """Pod name -> ``podgroup/subgroup`` of the leaf that it is in; None if it is in none."""

    def leaf(row: int) -> str | None:
        if row < 0:
            return None
        group = snapshot.podgroups.keys[snapshot.subgroups.podgroup_idx[row]]
        return f"{group.name}/{snapshot.subgroups.names[row]}"

    return {
        key.name: leaf(row) for key, row in zip(snapshot.pods.keys, snapshot.pods.subgroup_idx.tolist(), strict=True)
    }
