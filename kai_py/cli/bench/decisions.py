"""``bench core``: how long it takes to decide who makes room, and how good the decisions are."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any, Final

import msgspec
import numpy as np

from kai_py.api.decode import decode
from kai_py.api.keys import HOSTNAME_LABEL
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.cli.bench import manifests
from kai_py.cli.bench.scenes import ASKS, Scene, Team
from kai_py.cli.bench.volumes import claim, mounts, storage
from kai_py.cluster.pods import key_of
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.invariants.outcome import Outcome, joined
from kai_py.core.options import Options
from kai_py.core.resources import DEVICE, GPU
from kai_py.core.result import CycleResult, Evict
from kai_py.core.tables.snapshot import Snapshot
from kai_py.operators.garbage import set_memory_apart
from kai_py.podgrouper.grouping import Grouper

Json = dict[str, Any]

_NAMESPACE: Final = "bench"
_RUN: Final = "core"
#: Any moment; nothing that is measured depends on it.
_NOW: Final = 1_800_000_000.0
#: What runs was started within this time before, evenly spread.
_HOUR: Final = 3600
_RACK_SIZE: Final = 10


def measure(name: str, scene: Scene) -> Json:
    """Measure one scene in this process.

    Every repetition takes in one more event, takes the snapshot and runs a cycle with all actions; decisions are not
    carried out, so that every repetition finds the same work.

    Returns:
        Milliseconds by part and by action, and the quality of the last result. ``broken`` counts contradictions that
        the core's own checkers find in it; anything but 0 makes the numbers worthless.
    """
    store = load(scene)
    set_memory_apart()  # as the scheduler does when it has read the cluster
    passing = _pod("passing", scene.teams[0].name, gpus=0, node=0, started=0)
    times: list[tuple[float, float]] = []
    by_action: list[dict[str, float]] = []
    for repetition in range(scene.repetitions + 1):
        if repetition % 2:
            store.drop_pod(key_of(passing))
        else:
            store.put_pod(passing, _NOW)
        started = time.perf_counter()
        snapshot = store.take(_NOW)
        taken = time.perf_counter()
        result = run_cycle(snapshot, Options(), clock=time.perf_counter)
        times.append((taken - started, time.perf_counter() - taken))
        by_action.append(dict(result.stats.seconds))
    return {
        "shape": name,
        "about": scene.about,
        "nodes": scene.nodes,
        "pods": len(snapshot.pods),
        "repetitions": scene.repetitions,
        "milliseconds": _milliseconds(times[1:]),
        "actions": {action: _ms([one[action] for one in by_action[1:]])["median"] for action in by_action[0]},
        **quality(snapshot, result),
        "broken": len(violations(snapshot, result)),
    }


def quality(snapshot: Snapshot, result: CycleResult) -> Json:
    """What the decisions gain and cost.

    Returns:
        ``placed`` and ``evictions`` in pods, ``moved`` ones apart; ``gpuSecondsLost`` since the start of every pod
        that is ended; ``maxUnfairness``: GPUs by which a leaf queue differs from its fair share afterwards, at most.
    """
    outcome = Outcome(snapshot, result, Options())
    evictions = [decision for decision in result.decisions if isinstance(decision, Evict)]
    lost = [outcome.row_of_pod[evict.pod] for evict in evictions if not evict.moved]
    gpu = snapshot.axis.accounted.index(GPU)
    gpus = snapshot.classes.accounted[snapshot.pods.class_idx, gpu] / DEVICE
    holds = outcome.costs(joined(outcome.stays, outcome.placed))[:, gpu]
    unfair = np.abs(holds - result.shares.fair_share[:, gpu])[snapshot.queues.leaf] / DEVICE
    moved = len(evictions) - len(lost)
    return {
        "placed": len(outcome.placed) - moved,
        "evictions": len(lost),
        "moved": moved,
        "gpuSecondsLost": round(float((gpus[lost] * (snapshot.now - snapshot.pods.created[lost])).sum())),
        "maxUnfairness": round(float(unfair.max(initial=0.0)), 3),
        "waiting": {one.podgroup: [str(why.code) for why in one.reasons] for one in result.diagnoses[:3]},
    }


def load(scene: Scene) -> Store:
    """A store that has seen all objects of a scene."""
    grouper = Grouper()
    store = Store(grouper)
    for department in dict.fromkeys(team.department for team in scene.teams if team.department):
        quota = sum(team.quota for team in scene.teams if team.department == department)
        store.put_queue(Queue.parse(manifests.queue(department, gpu_quota=quota)))
    for team in scene.teams:
        queue = manifests.queue(team.name, parent=team.department, gpu_quota=team.quota)
        queue["spec"]["resources"]["gpu"]["overQuotaWeight"] = team.weight
        store.put_queue(Queue.parse(queue))
    for number in range(scene.nodes):
        node = manifests.node(_node_name(number), _RUN)
        labels = {manifests.RACK: f"rack-{number // _RACK_SIZE}", HOSTNAME_LABEL: _node_name(number)}
        node["metadata"]["labels"] |= labels
        store.put_node(decode(Node, msgspec.json.encode(node)))
    for kind in {team.volumes for team in scene.teams if team.volumes}:
        for one in storage(kind, [_node_name(number) for number in range(scene.nodes)]):
            store.volumes.put(one)
    for team in scene.teams:
        for pod in _running(team, scene.nodes):
            store.put_pod(pod, _NOW)
        _submit(store, team)
    return store


def _running(team: Team, nodes: int) -> Iterator[Pod]:
    for number in range(nodes * team.running):
        name = f"{team.name}-running-{number:05}"
        yield _pod(name, team.name, gpus=1, node=number % nodes, started=number * 7 % _HOUR)


def _submit(store: Store, team: Team) -> None:
    for job in range(team.jobs):
        group = f"{team.name}-job-{job:05}" if team.gang > 1 else ""
        if group:
            store.put_podgroup(PodGroup.parse(manifests.podgroup(group, _NAMESPACE, team.name, team.gang)))
        for member in range(team.gang):
            name = f"{team.name}-waits-{job:05}-{member:04}"
            asks = ASKS[team.asks]
            if team.volumes:
                store.volumes.put(claim(team.volumes, _NAMESPACE, name))
                asks = {**asks, **mounts(name)}
            pod = _pod(name, team.name, gpus=team.gpus, group=group, started=0, asks=asks)
            store.put_pod(pod, _NOW)


def _pod(
    name: str,
    queue: str,
    *,
    gpus: int,
    started: int,
    node: int | None = None,
    group: str = "",
    asks: Mapping[str, object] = ASKS[""],
) -> Pod:
    """A pod as a watch shows it, created so many seconds ago; on a node it runs, for a Job of its own."""
    manifest = manifests.pod(name, _NAMESPACE, queue, _RUN, gpus=gpus, group=group)
    manifest["spec"] |= asks
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(_NOW - started))
    manifest["metadata"] |= {
        "uid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)),
        "resourceVersion": "1",
        "creationTimestamp": created,
    }
    manifest["status"] = {"phase": "Pending"}
    if node is not None:
        manifest["spec"]["nodeName"] = _node_name(node)
        manifest["status"] = {"phase": "Running", "startTime": created}
        job = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": f"job-{name}", "controller": True}
        manifest["metadata"]["ownerReferences"] = [job]
    return decode(Pod, msgspec.json.encode(manifest))


def _node_name(number: int) -> str:
    return f"bench-{number:05}"


def _milliseconds(times: list[tuple[float, float]]) -> Json:
    return {
        "take": _ms([take for take, _ in times]),
        "cycle": _ms([cycle for _, cycle in times]),
        "decision": _ms([take + cycle for take, cycle in times]),
    }


def _ms(seconds: list[float]) -> Json:
    return {
        "median": round(median(seconds) * 1000, 3),
        "min": round(min(seconds) * 1000, 3),
        "max": round(max(seconds) * 1000, 3),
    }
