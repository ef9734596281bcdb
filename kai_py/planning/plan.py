"""``plan``: what would the scheduler do with this? Objects in, decisions out, by the code that runs in production."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from kai_py.admission.verdict import Known
from kai_py.api.meta import PartialObject
from kai_py.api.pod import Pod
from kai_py.cluster.encode.axis import Accounting
from kai_py.cluster.encode.queue import queue_warnings
from kai_py.cluster.encode.requests import pod_request
from kai_py.cluster.membership import Membership
from kai_py.cluster.scope import Scope
from kai_py.cluster.shares.ways import Ways
from kai_py.cluster.store import Store
from kai_py.cluster.usage import USAGE_KEY, USAGE_NAME, UsageBook, window_of
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.resources import ResourceAxis
from kai_py.core.result import CycleResult
from kai_py.errors import Fault, InputError, MalformedObjectError
from kai_py.planning.answer import Plan, render_pods
from kai_py.planning.claims import ClaimKeeper
from kai_py.planning.group import default_priorities
from kai_py.planning.manifests import Manifest, Sourced
from kai_py.planning.objects import Objects, read_objects
from kai_py.planning.runtimes import admitted
from kai_py.planning.shares import prepared
from kai_py.planning.world import World, is_finished
from kai_py.podgrouper.grouping import Grouper
from kai_py.podgrouper.options import Options as GroupingOptions
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings
from kai_py.settings.options import core_options
from kai_py.telemetry.cycle_document import render_cycle, render_queues

#: What the store calls an object in its faults, to API group and kind; what is wrong with an owner is told of its pod.
_KINDS: Final = {
    "Pod": ("", "Pod"),
    "Grouping": ("", "Pod"),
    "Node": ("", "Node"),
    "ResourceSlice": ("resource.k8s.io", "ResourceSlice"),
    "NodeResourceTopology": ("topology.node.k8s.io", "NodeResourceTopology"),
    "DeviceClass": ("resource.k8s.io", "DeviceClass"),
    "ResourceClaim": ("resource.k8s.io", "ResourceClaim"),
}
_QUEUE: Final = ("scheduling.run.ai", "Queue")


def plan(
    objects: Iterable[Manifest | Sourced],
    cycles: int = 1,
    settings: Mapping[str, Any] | Sourced | None = None,
    now: str | None = None,
    *,
    cycle_seconds: float = 1.0,
) -> Plan:
    """Run cycles over a cluster that exists only as manifests.

    Args:
        objects: as the API server would return them.
        cycles: at most so many, at least 1; it ends early after one that decides nothing.
        settings: the parsed settings document, or its text and where that came from; wins over a ConfigMap among the
            objects.
        now: RFC 3339; by default the present.
        cycle_seconds: how far time advances from cycle to cycle.

    Raises:
        InputError: with the faults of the arguments, or else of all objects and settings.
    """
    _check(cycles, cycle_seconds)
    moment = moment_of(now)
    read = read_objects(objects, moment)
    chosen = read.settings or Settings()
    try:
        if settings is not None:
            chosen = _settings(settings)
    except InputError as error:
        read.faults[:0] = error.faults
    world, warnings = furnish(read, chosen, moment)
    if read.faults:
        raise InputError(read.faults)
    done = _run(world, core_options(chosen), cycles, moment, cycle_seconds)
    result, axis = done[-1]
    queues = [queue.name for queue in read.queues]
    return Plan(
        cycles=tuple(render_cycle(*one) for one in done),
        pods=render_pods(world, result),
        queues=render_queues(queues, result.shares, axis, world.store.queues.faults),
        warnings=(*read.warnings, *warnings, *_left_to_others(read.pods, chosen)),
    )


def _settings(given: Mapping[str, Any] | Sourced) -> Settings:
    if isinstance(given, Sourced):
        return load_settings(given.manifest, where=given.source)
    return load_settings(given)


def furnish(read: Objects, settings: Settings, now: float) -> tuple[World, Iterable[str]]:
    """The cluster as it is at first, and warnings; what only shows now is added to the objects' faults."""
    warnings: dict[str, None] = {}  # an ordered set: every pod of a workload has the same to say
    defaults, surprises = default_priorities(settings, read.config_maps)
    warnings.update(dict.fromkeys(surprises))

    def group_of(pod: Pod, owners: Mapping[str, PartialObject]) -> Membership | None:
        membership = grouper(pod, owners)
        warnings.update(dict.fromkeys(membership.warnings if membership else ()))
        return membership

    store = Store(group_of, Scope.of(settings), Accounting.of(settings))
    store.claims.follows_extended = True
    store.rollouts.enable(wanted=settings.pod_groups.rollout_surge)
    store.heed_images(wanted=settings.placement.weights.image_locality > 0, now=now)
    store.spread_by_default(settings.placement.default_topology_spread, now)
    store.share_gpus(Ways.of(settings, trusting=True), now)
    grouper = Grouper(
        GroupingOptions.of(settings.pod_groups),
        priority_classes={priority_class.metadata.name for priority_class in read.priority_classes},
        surroundings=store.around,
        defaults=defaults,
    )
    for priority_class in read.priority_classes:
        store.put_priority_class(priority_class)
    for namespace in read.namespaces:
        store.put_namespace(namespace)
    for node in read.nodes:
        store.put_node(node)
    for queue in read.queues:
        store.put_queue(queue)
    warnings.update(dict.fromkeys(_remember_usage(read, settings, store, now)))
    doubts = queue_warnings(store.queues.queues)
    warnings.update(dict.fromkeys(str(one) for name in sorted(doubts) for one in doubts[name]))
    for topology in read.topologies:
        store.put_topology(topology)
    for service in read.services:
        store.put_service(service)
    for runtime_class in read.runtime_classes:
        store.put_runtime_class(runtime_class, now)
    # Of a live cluster without any we may not have been allowed to read them.
    store.runtimes.complete = not any(one.live for one in read.sources.values())
    for zones in read.zones:
        store.zones.put(zones)
    for podgroup in read.podgroups:
        store.put_podgroup(podgroup)
    for owner in read.owners:
        store.lineages.put(owner, now)
    for device_class in read.device_classes:
        store.claims.put_class(device_class)
    for rule in read.device_taints:
        store.claims.devices.put_rule(rule)
    for one in read.slices:
        store.claims.devices.put(one)
    for stored in read.volumes:
        store.volumes.put(stored)
    keeper = ClaimKeeper(store.claims, read.claims, read.claim_templates)
    world = World(store, list(_admitted(read, settings)), now, read.budgets, keeper)
    warnings.update(dict.fromkeys(_passed_over(read, store)))
    _complain(read, store)
    _complain_of_others(read, settings)
    return world, warnings


def _remember_usage(read: Objects, settings: Settings, store: Store, now: float) -> Iterator[str]:
    """What queues have used in the past, as the scheduler has written it down; says why it is not known."""
    if not settings.fairness.usage.enabled:
        return
    found = next((one for (_, name), one in read.config_maps.items() if name == USAGE_NAME), None)
    if found is None:
        return
    book = UsageBook(window_of(settings.fairness.usage))
    try:
        book.read(msgspec.json.decode(found["data"][USAGE_KEY]))
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        yield f"ConfigMap {USAGE_NAME}: {USAGE_KEY}: cannot be read, past usage does not count: {error}"
        return
    book.retain(store.queues.queues)
    store.queues.remember_usage(book.usage(now), book.resources)


def _admitted(read: Objects, settings: Settings) -> Iterator[Pod]:
    """Pods as admission makes them; one that it would refuse is a fault, and stays as it is."""
    classes = {one.metadata.name: one for one in read.runtime_classes}
    known = Known(settings=settings)
    for pod in read.pods:
        try:
            yield admitted(prepared(pod, known), classes)
        except MalformedObjectError as error:
            read.complain(error.faults, read.sources[*_KINDS["Pod"], *pod.metadata.key])
            yield pod


def _complain_of_others(read: Objects, settings: Settings) -> None:
    """Pending pods of other schedulers: the store does not read them, but malformed is malformed."""
    for pod in read.pods:
        if pod.spec.scheduler_name not in settings.scheduler_names and not pod.spec.node_name:
            try:
                pod_request(pod)
            except MalformedObjectError as error:
                read.complain(error.faults, read.sources[*_KINDS["Pod"], *pod.metadata.key])


def _complain(read: Objects, store: Store) -> None:
    for (called, name), faults in store.faults.items():
        namespace, _, own = name.rpartition("/")
        read.complain(faults, read.sources[*_KINDS[called], namespace, own])
    if "Queue" in read.unread:
        return  # a parent may be missing only because it could not be read
    for name, fault in sorted(store.queues.faults.items()):
        read.complain([fault], read.sources[*_QUEUE, "", name])


def _passed_over(read: Objects, store: Store) -> Iterator[str]:
    """Annotations that mean nothing, and that can be done without."""
    for (kind, name), fault in store.history.checkpoints.faults.items():
        namespace, _, own = name.rpartition("/")
        found = [one for key, one in read.sources.items() if key[1:] == (kind, namespace, own)]
        yield from (str(one.place(fault)) for one in found)


def _left_to_others(pods: Iterable[Pod], settings: Settings) -> Iterator[str]:
    """A pod that names no scheduler is a common mistake: nothing would be said of it at all."""
    waiting = [pod for pod in pods if not (pod.spec.node_name or is_finished(pod) or pod.metadata.deletion_timestamp)]
    others = Counter(pod.spec.scheduler_name for pod in waiting)
    for name, count in sorted(others.items()):
        if name not in settings.scheduler_names:
            example = min(pod.metadata.key for pod in waiting if pod.spec.scheduler_name == name)
            which = "/".join(example) if count == 1 else f"{count} pods, {'/'.join(example)} among them,"
            be = "is" if count == 1 else "are"
            yield f"{which} {be} left to another scheduler: schedulerName is {name}, not {settings.scheduler_names[0]}"


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
        world.store.carryover.remember(result, now)
        now += cycle_seconds
        world.settle(result.decisions, now)


def _check(cycles: object, cycle_seconds: object) -> None:
    """Callers from Python have no command line that checks for them."""
    faults = []
    if not isinstance(cycles, int) or isinstance(cycles, bool) or cycles < 1:
        faults.append(Fault("cycles", "", f"should be a whole number of at least 1, not {cycles!r}"))
    if (
        not isinstance(cycle_seconds, int | float)
        or isinstance(cycle_seconds, bool)
        or not 0 <= cycle_seconds < math.inf
    ):
        faults.append(Fault("cycle_seconds", "", f"should be a number of seconds, not {cycle_seconds!r}"))
    if faults:
        raise InputError(faults)


def moment_of(now: str | None) -> float:
    """Seconds since the epoch of an RFC 3339 time; None is the present.

    Raises:
        InputError: it is no such time, or has no zone.
    """
    if now is None:
        return time.time()
    try:
        moment = datetime.fromisoformat(now)
    except (TypeError, ValueError) as error:
        raise InputError([Fault("now", "", f"{now!r} is not an RFC 3339 time such as 2026-01-31T12:00:00Z")]) from error
    if moment.tzinfo is None:
        raise InputError([Fault("now", "", f"{now!r} has no time zone: append Z for UTC")])
    return moment.timestamp()
