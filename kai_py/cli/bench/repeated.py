"""The same decision again and again, as the scheduler makes it: an event, a snapshot, a cycle."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final, Protocol

import msgspec

from kai_py.api.decode import decode
from kai_py.api.pod import Pod
from kai_py.cli.bench import manifests
from kai_py.cli.bench.machine import memory_mib
from kai_py.cluster.pods import key_of
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.options import Options
from kai_py.core.result import Bind, CycleResult
from kai_py.core.tables.snapshot import Snapshot
from kai_py.operators.garbage import set_memory_apart

Json = dict[str, Any]

NAMESPACE: Final = "bench"
#: Any moment; nothing that is measured depends on it.
NOW: Final = 1_800_000_000.0
CREATED: Final = "2027-01-15T07:00:00Z"


class Shape(Protocol):
    """What every shape of a benchmark says of itself."""

    @property
    def about(self) -> str:
        """In a line, what is measured."""

    @property
    def nodes(self) -> int:
        """How many there are."""

    @property
    def repetitions(self) -> int:
        """How often it is decided."""


@dataclass
class Times:
    """Milliseconds of each repetition."""

    take: list[float] = field(default_factory=list)
    cycle: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def document(self) -> Json:
        """Medians and extremes; ``decision`` is both together, ``cpu`` what it took of a core: load matters less."""
        both = [take + cycle for take, cycle in zip(self.take, self.cycle, strict=True)]
        named = {"take": self.take, "cycle": self.cycle, "decision": both, "cpu": self.cpu}
        return {name: _summary(times) for name, times in named.items()}


def measured(
    name: str, shape: Shape, load: Callable[[], Store], events: Iterator[tuple[bool, Pod]]
) -> tuple[Json, CycleResult]:
    """Measure one shape in this process.

    Every repetition is what the scheduler does when one pod changes: the store takes the event in, gives a snapshot,
    and a cycle decides on it.

    Args:
        name: of the shape.
        shape: what it says of itself.
        load: makes a store that has seen all its objects.
        events: see :func:`repeat`.

    Returns:
        Milliseconds, what was decided, resident memory; and the last result. ``broken`` counts contradictions that the
        core's own checkers find in it; anything but 0 makes the numbers worthless.
    """
    before = memory_mib()
    started = time.perf_counter()
    store = load()
    loaded = time.perf_counter()
    first = store.take(NOW)
    taken = time.perf_counter()
    run_cycle(first, Options(), clock=time.monotonic)
    set_memory_apart()  # as the scheduler does when it has read the cluster
    times, snapshot, result = repeat(store, events, shape.repetitions)
    after = memory_mib()
    document = {
        "shape": name,
        "about": shape.about,
        "nodes": shape.nodes,
        "pods": len(snapshot.pods),
        "placed": sum(isinstance(decision, Bind) for decision in result.decisions),
        "waiting": len(result.diagnoses),
        "repetitions": shape.repetitions,
        "milliseconds": times.document(),
        "loadSeconds": round(loaded - started, 3),
        "firstTakeMilliseconds": round((taken - loaded) * 1000, 3),
        "memoryMiB": {"before": before and before["now"], "after": after and after["now"]},
        "broken": len(violations(snapshot, result)),
    }
    return document, result


def repeat(store: Store, passing: Iterator[tuple[bool, Pod]], repetitions: int) -> tuple[Times, Snapshot, CycleResult]:
    """Let the store take in one event after the other, and decide after each.

    Decisions are not carried out, so that every repetition finds the same work.

    Args:
        store: has seen everything else.
        passing: pods that appear (True) and vanish.
        repetitions: at least 1.

    Returns:
        The times, and the last snapshot with what was decided.
    """
    times = Times()
    for _ in range(repetitions):
        appears, pod = next(passing)
        if appears:
            store.put_pod(pod, NOW)
        else:
            store.drop_pod(key_of(pod))
        started, used = time.perf_counter(), time.process_time()
        snapshot = store.take(NOW)
        taken = time.perf_counter()
        result = run_cycle(snapshot, Options(), clock=time.monotonic)
        decided = time.perf_counter()
        times.cpu.append((time.process_time() - used) * 1000)
        if not any(isinstance(decision, Bind) for decision in result.decisions):
            store.carryover.remember(
                result, NOW
            )  # what was placed is not carried out here, so it must not count as started
        times.take.append((taken - started) * 1000)
        times.cycle.append((decided - taken) * 1000)
    return times, snapshot, result


def passing(nodes: int, queues: int, run: str) -> Iterator[tuple[bool, Pod]]:
    """One small change after the other: a pod without GPUs starts on some node, and ends before the next one."""
    number = 0
    while True:
        node = number * 997 % nodes
        manifest = manifests.pod(f"passing-{number:05}", NAMESPACE, queue_name(node % queues), run, gpus=0)
        pod = seen(on_node(manifest, node), phase="Running")
        yield True, pod
        yield False, pod
        number += 1


def on_node(manifest: Json, node: int) -> Json:
    """The manifest of a pod, on a node."""
    manifest["spec"]["nodeName"] = node_name(node)
    return manifest


def seen(manifest: Json, *, phase: str) -> Pod:
    """A pod as it comes out of a watch: with all that the API server adds, through JSON."""
    metadata = manifest["metadata"]
    metadata |= {
        "uid": str(uuid.uuid5(uuid.NAMESPACE_DNS, metadata["name"])),
        "resourceVersion": "1000000",
        "creationTimestamp": CREATED,
        "managedFields": [{"manager": "kai-py", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {}}],
    }
    status = {"phase": phase, "qosClass": "Burstable", **manifest.get("status", {})}
    if phase == "Running":
        conditions = [{"type": kind, "status": "True", "lastTransitionTime": CREATED} for kind in _CONDITIONS]
        status |= {"conditions": conditions, "startTime": CREATED, "podIP": "10.0.0.1"}
    return decode(Pod, msgspec.json.encode(manifest | {"status": status}))


_CONDITIONS: Final = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def node_name(number: int) -> str:
    """Of a node of a benchmark."""
    return f"bench-{number:05}"


def queue_name(number: int) -> str:
    """Of a leaf queue of a benchmark."""
    return f"queue-{number:02}"


def _summary(milliseconds: list[float]) -> Json:
    return {
        "median": round(median(milliseconds), 3),
        "min": round(min(milliseconds), 3),
        "max": round(max(milliseconds), 3),
    }
