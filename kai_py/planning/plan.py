"""``plan``: what would the scheduler do with this? Objects in, decisions out, by the code that runs in production."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kai_py.api.pod import Pod
from kai_py.cluster.encode.axis import Accounting
from kai_py.cluster.scope import Scope
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.resources import ResourceAxis
from kai_py.core.result import Bind, CycleResult, Evict, Nominate, QueueShares
from kai_py.errors import Fault, InputError
from kai_py.planning.objects import Manifest, Objects, Sourced, read_objects
from kai_py.planning.world import World, is_finished
from kai_py.podgrouper.grouping import group_of
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings
from kai_py.settings.options import core_options
from kai_py.telemetry.texts import sentence

Json = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The answer; ``to_dict`` is the stable interface."""

    cycles: tuple[Json, ...]
    pods: Json
    queues: Json
    warnings: tuple[str, ...]

    def to_dict(self) -> Json:
        """The JSON document, every list sorted by namespace and name."""
        return {
            "apiVersion": "kai-py/v1",
            "kind": "Plan",
            "cycles": list(self.cycles),
            "pods": self.pods,
            "queues": self.queues,
            "warnings": list(self.warnings),
        }


def plan(
    objects: Iterable[Manifest | Sourced],
    cycles: int = 1,
    settings: Mapping[str, Any] | None = None,
    now: str | None = None,
    *,
    cycle_seconds: float = 1.0,
) -> Plan:
    """Run cycles over a cluster that exists only as manifests.

    Args:
        objects: as the API server would return them.
        cycles: at most so many; it ends early after one that decides nothing.
        settings: the parsed settings document; wins over a ConfigMap among the objects.
        now: RFC 3339; by default the present.
        cycle_seconds: how far time advances from cycle to cycle.

    Raises:
        InputError: with the faults of all objects and settings.
    """
    moment = _moment(now)
    read = read_objects(objects, moment)
    chosen = load_settings(settings) if settings is not None else read.settings or Settings()
    store = make_store(read, Scope.of(chosen), Accounting.of(chosen), moment)
    world = World(store, read.pods, moment)
    done = _run(world, core_options(chosen), max(1, cycles), moment, cycle_seconds)
    warnings = [*read.warnings, *(str(fault) for faults in store.faults.values() for fault in faults)]
    warnings += [str(fault) for _, fault in sorted(store.queues.faults.items())]
    return Plan(
        cycles=tuple(render_cycle(result, axis) for result, axis in done),
        pods=_pods(world, done[-1][0]),
        queues=_queues(store, *done[-1]),
        warnings=tuple(warnings),
    )


def make_store(read: Objects, scope: Scope, accounting: Accounting, now: float) -> Store:
    """A store that knows everything but the pods."""
    classes = {priority_class.metadata.name for priority_class in read.priority_classes}
    store = Store(lambda pod, owners: group_of(pod, owners, priority_classes=classes), scope, accounting)
    for priority_class in read.priority_classes:
        store.put_priority_class(priority_class)
    for node in read.nodes:
        store.put_node(node)
    for queue in read.queues:
        store.put_queue(queue)
    for podgroup in read.podgroups:
        store.put_podgroup(podgroup)
    for owner in read.owners:
        store.put_owner(owner, now)
    return store


def _run(
    world: World, options: Options, cycles: int, now: float, cycle_seconds: float
) -> list[tuple[CycleResult, ResourceAxis]]:
    done: list[tuple[CycleResult, ResourceAxis]] = []
    while True:
        snapshot = world.store.take(now)
        result = run_cycle(snapshot, options, clock=time.monotonic)
        done.append((result, snapshot.axis))
        if len(done) == cycles or not result.decisions:
            return done
        now += cycle_seconds
        world.settle(result.decisions, now)


def _moment(now: str | None) -> float:
    if now is None:
        return time.time()
    try:
        return datetime.fromisoformat(now).timestamp()
    except ValueError as error:
        raise InputError([Fault("now", "", f"{now!r} is not an RFC 3339 time such as 2026-01-31T12:00:00Z")]) from error


def render_cycle(result: CycleResult, axis: ResourceAxis) -> Json:
    """One cycle as JSON."""
    binds = [_place(one) | {"claims": [], "gpuGroups": []} for one in result.decisions if isinstance(one, Bind)]
    nominations = [_place(one) for one in result.decisions if isinstance(one, Nominate)]
    evictions = [
        {
            "pod": one.pod,
            "podGroup": one.podgroup,
            "action": str(one.action),
            "preemptor": one.preemptor,
            "moved": one.moved,
        }
        for one in result.decisions
        if isinstance(one, Evict)
    ]
    waiting = [
        {
            "podGroup": diagnosis.podgroup,
            "queue": diagnosis.queue,
            "reasons": [
                {
                    "code": str(reason.code),
                    "message": sentence(reason, axis, queue=diagnosis.queue),
                    "details": _details(reason.details),
                }
                for reason in diagnosis.reasons
            ],
        }
        for diagnosis in result.diagnoses
    ]
    return {
        "binds": _by_name(binds, "pod"),
        "nominations": _by_name(nominations, "pod"),
        "evictions": _by_name(evictions, "pod"),
        "waiting": _by_name(waiting, "podGroup"),
    }


def _place(decision: Bind | Nominate) -> Json:
    return {
        "pod": decision.pod,
        "node": decision.node,
        "podGroup": decision.podgroup,
        "action": str(decision.action),
    }


def _by_name(entries: list[Json], key: str) -> list[Json]:
    return sorted(entries, key=lambda entry: tuple(entry[key].split("/")))


def _details(details: Mapping[str, object]) -> Json:
    """JSON has no infinity: an unlimited amount is -1, as in the API."""
    return {key: -1 if value == float("inf") else value for key, value in details.items()}


def _pods(world: World, last: CycleResult) -> Json:
    decided: dict[str, Json] = {}
    for decision in last.decisions:
        if isinstance(decision, Bind):
            decided[decision.pod] = {"node": decision.node, "state": "Bound"}
        elif isinstance(decision, Nominate):
            decided[decision.pod] = {"node": decision.node, "state": "Nominated"}
        elif not decision.moved:
            decided[decision.pod] = {"node": decision.node, "state": "Evicted"}
    return {
        f"{namespace}/{name}": decided.get(f"{namespace}/{name}") or _undecided(pod)
        for (namespace, name), pod in sorted(world.pods.items())
        if not is_finished(pod)
    }


def _undecided(pod: Pod) -> Json:
    node = pod.spec.node_name or None
    if pod.metadata.deletion_timestamp is not None:
        return {"node": node, "state": "Evicted"}
    if node is not None:
        return {"node": node, "state": "Running"}
    return {"node": None, "state": "Gated" if pod.spec.scheduling_gates else "Pending"}


def _queues(store: Store, result: CycleResult, axis: ResourceAxis) -> Json:
    """Every queue: the sound ones with their numbers, the others with zeros and the fault."""
    numbers = {name: _numbers(result.shares, row, axis) for row, name in enumerate(result.shares.names)}
    nothing: Json = dict.fromkeys(axis.accounted, 0)
    for name, fault in store.queues.faults.items():
        numbers[name] = {"fairShare": nothing, "allocated": nothing, "requested": nothing, "fault": str(fault)}
    return dict(sorted(numbers.items()))


def _numbers(shares: QueueShares, row: int, axis: ResourceAxis) -> Json:
    return {
        label: {
            name: amounts[row, column].item() / axis.accounted_per_unit(name)
            if axis.accounted_per_unit(name) != 1
            else amounts[row, column].item()
            for column, name in enumerate(axis.accounted)
        }
        for label, amounts in (
            ("fairShare", shares.fair_share),
            ("allocated", shares.allocated),
            ("requested", shares.requested),
        )
    }
