"""The scheduler as a whole: every part made once, started and stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from kai_py.api.configmap import ConfigMap
from kai_py.api.meta import NO_STRINGS, PartialObject
from kai_py.cluster.scope import Scope
from kai_py.cluster.shares.ways import Ways
from kai_py.cluster.store import Store
from kai_py.core.result import Bind, Decision, Evict, Reason
from kai_py.errors import ApiError, Fault, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.election import Leadership
from kai_py.kube.listing import list_all
from kai_py.kube.pods import Result
from kai_py.kube.recorder import EventRecorder, Reference
from kai_py.kube.reflector import Reflector
from kai_py.kube.resource import ResourceKind
from kai_py.kube.writer import Writer
from kai_py.operators.access import QueueReviews
from kai_py.operators.dispatch import Dispatcher
from kai_py.operators.documents import ConfigMapWatch, Followed, settings_event
from kai_py.operators.gang_statuses import GangStatuses
from kai_py.operators.garbage import set_memory_apart
from kai_py.operators.grouping import LiveGrouping
from kai_py.operators.intake import Intake
from kai_py.operators.kinds import (
    BUDGETS,
    CLAIMS,
    DEVICE_CLASSES,
    NAMESPACES,
    NODES,
    OWNER_KINDS,
    OWNERS,
    PODGROUPS,
    PODS,
    PRIORITY_CLASSES,
    QUEUES,
    RUNTIMES,
    SERVICES,
    SLICES,
    STORAGE,
    TAINT_RULES,
    TOPOLOGIES,
    ZONES,
)
from kai_py.operators.loop import CycleLoop, Done
from kai_py.operators.owners import OwnerFollower
from kai_py.operators.podgroups import PodGroupWriter
from kai_py.operators.provisioning import Provisioning
from kai_py.operators.queue_status import queue_statuses
from kai_py.operators.settings import KEY, LiveSettings
from kai_py.operators.share_templates import ShareTemplates
from kai_py.operators.shadow import SHADOW_KEY, Previewer, Shadow
from kai_py.operators.spare_reservations import SpareReservations
from kai_py.operators.statuses import StatusWriter
from kai_py.operators.unused_claims import UnusedClaims
from kai_py.operators.usage import UsageKeeper
from kai_py.operators.watched import watched
from kai_py.settings.model import Settings
from kai_py.telemetry import events
from kai_py.telemetry.decision_log import DecisionLog
from kai_py.telemetry.events import EventText, Regarding
from kai_py.telemetry.metrics import Metrics
from kai_py.telemetry.record import Record
from kai_py.telemetry.told import Told

_log = structlog.get_logger()

#: How often to compare our memory of Queues and PodGroups with a list: a deletion may have been missed. Seconds.
AUDIT: Final = 60.0
#: A reason to wait must hold for so long before users are told; seconds.
PATIENCE: Final = 1.0
#: Cycles wait for the owners of pods for so long at first; seconds. Later, only the pods that need them wait.
PATIENCE_WITH_OWNERS: Final = 30.0
#: What is written at the end may take so long; seconds.
GOODBYE: Final = 3.0


class Shell:
    """Owns all parts of a running scheduler; kopf's handlers get it as their memo.

    Args:
        client: the API server; closed by the caller.
        settings: those in force.
        metrics: where numbers go.
        leadership: None to run without election.
        identity: who we are, for Events.
        namespace: where the ConfigMap with the usage of queues is kept; None = nowhere.
        document: (namespace, name) of the ConfigMap with the settings, to be followed; None if they are in a file.
        preview: answers what other settings would change; None = shadow settings are not looked at.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        settings: LiveSettings,
        metrics: Metrics,
        leadership: Leadership | None,
        *,
        identity: str,
        namespace: str | None = None,
        document: tuple[str, str] | None = None,
        preview: Previewer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self.settings = settings
        self.metrics = metrics
        self.leadership = leadership
        self._clock = clock
        scope = Scope.of(settings.current)
        self._document = document
        self.grouping = LiveGrouping(settings, leading=self.leading, tell=self.record_event)
        self._defaults = Followed(client, self._spawn, self._defaults_read)
        self.store = Store(self.grouping, scope, settings.accounting)
        self.grouping.serve(self.store)
        self.store.claims.follows_extended = True
        self.store.owners.kinds.follow((kind.group, OWNER_KINDS[kind.plural]) for kind in OWNERS)
        self.store.reservations.namespace = settings.current.gpu_reservation.namespace
        self._heed_settings()
        self.cycles = CycleLoop(
            self.store, lambda: self.settings.options, leading=self.leading, done=self._cycle_done, clock=clock
        )
        writer = Writer(client, leadership.check if leadership else lambda: None)
        self.dispatcher = Dispatcher(
            self.store,
            writer,
            metrics,
            tell=self._tell,
            wake=self.cycles.wake,
            eviction=lambda: self.settings.current.eviction,
            preparing=self._preparing,
            binding_timeout=lambda: self.settings.current.dra.binding_timeout.seconds,
            settings=lambda: self.settings.current,
            clock=clock,
        )
        self._gangs = GangStatuses(
            self.store,
            client,
            writer,
            ours=scope.scheduler_names,
            leading=self.leading,
            tell=self.record_event,
            wake=self.cycles.wake,
            clock=clock,
        )
        self.intake = Intake(
            self.store,
            self.cycles.wake,
            clock,
            self._complain,
            claims_changed=self.dispatcher.starts.look,
            gangs=self._gangs,
        )
        self._sweeper = UnusedClaims(
            self.store,
            self.dispatcher.keeper,
            node_of=writer.node_of,
            leading=self.leading,
            wake=self.cycles.wake,
        )
        self._spare = SpareReservations(
            self.store,
            client,
            writer,
            self.dispatcher.shares,
            leading=self.leading,
            tell=self.record_event,
            clock=clock,
        )
        self._share_templates = ShareTemplates(
            self.store, client, writer, leading=self.leading, wake=self.cycles.wake, clock=clock
        )
        name = min(scope.scheduler_names)
        self.recorder = EventRecorder(client, name, identity)
        self.statuses = StatusWriter(
            self.store, writer, node_pool=scope.pool or "default", quiet=self.dispatcher.idle, clock=clock
        )
        self._usage = UsageKeeper(
            client,
            writer,
            self.store.queues,
            lambda: self.settings.current.fairness.usage,
            namespace=namespace,
            clock=clock,
        )
        self._reviews = QueueReviews(client, self.store.access, self.cycles.wake)
        self.shadow = preview and Shadow(
            client,
            writer,
            metrics,
            preview,
            namespace=namespace,
            leading=self.leading,
            tell=self.record_event,
        )
        self._provisioning = Provisioning(
            self.store,
            client,
            writer,
            settings=lambda: self.settings.current.autoscaling,
            leading=self.leading,
            wake=self.cycles.wake,
            clock=clock,
        )
        self._podgroups = PodGroupWriter(self.store, writer, leading=self.leading)
        self._told = Told(patience=PATIENCE)
        self._record = Record(metrics, self._told)
        self.decisions = DecisionLog()
        self._owners = OwnerFollower(
            client, self.store, self.intake, lambda: self.grouping.registry, self.cycles.wake, clock
        )
        self.reflectors = self._watches()
        metrics.watches.of(lambda: watched([*self.reflectors, *self._owners.reflectors.values()], self.store))
        self._tasks: list[asyncio.Task[object]] = []
        if leadership is not None:
            leadership.on_change(started=self._started_leading, lost=self._stopped_leading)
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def _watches(self) -> list[Reflector[Any]]:
        """One for every kind that decides."""

        def watch(kind: ResourceKind[Any]) -> Reflector[Any]:
            return Reflector(self.client, kind, self.intake, dispensable=True)

        around: tuple[ResourceKind[Any], ...] = (BUDGETS, NAMESPACES, DEVICE_CLASSES, SLICES)
        further: tuple[ResourceKind[Any], ...] = (*STORAGE, ZONES, RUNTIMES, SERVICES)
        claims = watch(CLAIMS)
        self.store.claims.served = lambda: claims.served
        return [
            Reflector(self.client, PRIORITY_CLASSES, self.intake),
            Reflector(self.client, PODS, self.intake, paged=self.intake),
            Reflector(self.client, NODES, self.intake),
            *map(watch, around),
            claims,
            *map(watch, further),
            *(
                Reflector(self.client, kind, self.intake, metadata_only=kind.struct is PartialObject, optional=True)
                for kind in OWNERS
            ),
        ]

    def leading(self) -> bool:
        """Whether we may decide and write at this moment."""
        return self.leadership is None or self.leadership.is_leader

    @property
    def ready(self) -> bool:
        """Whether every kind that decides has been listed."""
        return all(reflector.synced.is_set() for reflector in self.reflectors)

    # -- life cycle --------------------------------------------------------------------------------

    async def start(self) -> None:
        """Fill the memory, then begin to decide."""
        await self._until_answered(self._find_taint_rules)
        first, *others = self.reflectors
        self._spawn(first.run(), f"watch {first.resource}")
        await first.synced.wait()  # a grouper asks which PriorityClasses exist
        for reflector in others:
            self._spawn(reflector.run(), f"watch {reflector.resource}")
        self._spawn(self.recorder.run(), "events")
        self._spawn(self._owners.run(), "owners")
        await asyncio.gather(*(reflector.synced.wait() for reflector in self.reflectors))
        for reflector in self.reflectors:
            if reflector.resource in OWNERS and isinstance(reflector.last_error, NotFoundError):
                kind = (reflector.resource.group, OWNER_KINDS[reflector.resource.plural])
                self.store.lineages.settle(kind, served=False, now=self._clock())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_WITH_OWNERS):
                await self._owners.caught_up()
        await self._until_answered(self.audit)
        set_memory_apart()
        if self.leadership is not None:
            self._spawn(self.leadership.run(), "leader election")
        else:
            self.metrics.begin_to_lead()
        self._spawn(self._audits(), "audit")
        self._defaults.follow(self.settings.current.pod_groups.default_priorities_config_map)
        if self._document is not None:
            watch = ConfigMapWatch(self.client, *self._document, self._settings_read)
            self._spawn(watch.run(), "watch settings")
        self._spawn(self.dispatcher.run(), "binder")
        self._spawn(self._sweeper.run(), "claims")
        self._spawn(self._spare.run(), "reservations")
        self._spawn(self._share_templates.run(), "templates for parts of GPUs")
        self._spawn(self.statuses.run(), "statuses")
        self._spawn(self._podgroups.run(), "podgroups")
        self._spawn(self._gangs.run(), "gang statuses")
        self._spawn(self._provisioning.run(), "provisioning")
        self._spawn(self._usage.run(self.leading), "usage")
        self._spawn(self._reviews.run(), "access reviews")
        if self.shadow is not None:
            self._spawn(self.shadow.run(), "shadow")
        self._spawn(self.cycles.run(), "cycles")
        self.cycles.wake()
        _log.info("ready", nodes=len(self.store.nodes), pods=len(self.store.pods), queues=len(self.store.queues.queues))

    async def stop(self) -> None:
        """End everything; what was sent is left to its answer, what was not is decided again by the next leader."""
        if self.leading():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE):
                    await self._usage.save()
        for task in reversed(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _find_taint_rules(self) -> None:
        """Watch taint rules in the first version that the server has, or look for the first one now and then."""
        found = TAINT_RULES[0]
        for kind in TAINT_RULES:
            if await self.client.served(kind.group, kind.version, kind.plural):
                found = kind
                break
        self.reflectors.append(Reflector(self.client, found, self.intake, dispensable=True))

    def _spawn(self, coroutine: Coroutine[Any, Any, object], name: str) -> asyncio.Task[object]:
        task = asyncio.create_task(coroutine, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        """No part ends before :meth:`stop`. If one does, it is a bug, and better to restart than to limp."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("a part of the scheduler ended", part=task.get_name(), exc_info=error)
            if not self.failed.done():
                self.failed.set_exception(error)

    def _started_leading(self) -> None:
        """Another process may have told users about the waiting; what it said is compared anew."""
        self._told.clear()
        self._usage.lead_anew()
        self.metrics.begin_to_lead()
        self.cycles.wake()

    def _stopped_leading(self) -> None:
        """Stop deciding; the fence stops what is on its way."""
        self.metrics.stop_leading()

    # -- audits ------------------------------------------------------------------------------------

    async def audit(self) -> None:
        """Compare our memory of Queues, Topologies and PodGroups with what the server has."""
        if await self.grouping.read_defaults(self.client):
            self._regroup()
        queues = await list_all(self.client, QUEUES)
        topologies = await list_all(self.client, TOPOLOGIES)
        podgroups = await list_all(self.client, PODGROUPS)
        for body in topologies:
            self.intake.put_topology(body)
        for body in queues:
            self.intake.put_queue(body)
        for body in podgroups:
            self.intake.put_podgroup(body)
        self.intake.retain(
            queues={body["metadata"]["name"] for body in queues},
            podgroups={(body["metadata"]["namespace"], body["metadata"]["name"]) for body in podgroups},
            topologies={body["metadata"]["name"] for body in topologies},
        )

    def _defaults_read(self, found: ConfigMap | None) -> None:
        """The ConfigMap with default priorities was read, or is not there."""
        if self.grouping.take_defaults(found.data if found is not None else {}):
            self._regroup()

    def _regroup(self) -> None:
        """Group pods by the rules that are in force now."""
        self._owners.rules_changed()
        self.store.lineages.regroup(self._clock())
        self.cycles.wake()

    async def _audits(self) -> None:
        while True:
            await asyncio.sleep(AUDIT)
            try:
                await self.audit()
            except ApiError as error:
                _log.warning("audit postponed", error=str(error))

    async def _until_answered(self, job: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await job()
            except ApiError as error:
                _log.warning("waiting for the API server", error=str(error))
                await asyncio.sleep(1.0)

    # -- what the parts tell -----------------------------------------------------------------------

    def _settings_read(self, found: ConfigMap | None) -> None:
        """The ConfigMap with the settings is another one than before, or gone: then all have their defaults."""
        namespace, name = self._document or ("", "")
        data, uid = (found.data, found.metadata.uid) if found is not None else (NO_STRINGS, "")
        about = Regarding("v1", "ConfigMap", namespace, name, uid)
        if self.shadow is not None:
            self.shadow.take(data.get(SHADOW_KEY, ""), about)
        if self.settings.load(data.get(KEY, ""), f"ConfigMap {namespace}/{name}", accept=self.settings_changed):
            self.record_event(settings_event(about, self.settings.faults))

    def settings_changed(self, _: Settings) -> None:
        """New settings are in force."""
        self._defaults.follow(self.settings.current.pod_groups.default_priorities_config_map)
        if self.grouping.configure():
            self._regroup()
        self._heed_settings()
        self.cycles.wake()

    def _heed_settings(self) -> None:
        """What the memory does as the settings say, is as they say now."""
        store, now, current = self.store, self._clock(), self.settings.current
        store.accounting = self.settings.accounting
        ways = Ways.of(current)
        store.reservations.enabled = ways.offers("reservation")
        store.share_gpus(ways, now)
        store.heed_images(wanted=current.placement.weights.image_locality > 0, now=now)
        store.spread_by_default(current.placement.default_topology_spread, now)
        store.rollouts.enable(wanted=current.pod_groups.rollout_surge)
        store.access.review(wanted=current.queues.authorization == "subjectAccessReview")

    def _cycle_done(self, done: Done) -> None:
        """Send the decisions, then tell."""
        done = replace(done, result=self._provisioning.take(done.snapshot, done.result))
        self.metrics.snapshot_seconds.observe(done.snapshot_seconds)
        self.store.remember(done.result, self._clock())
        self.dispatcher.submit(done.result.decisions)
        report = self._record.cycle(
            done.result, done.snapshot, number=done.number, seconds=done.seconds, now=time.monotonic()
        )
        self.decisions.cycle(done.result, done.snapshot, report, number=done.number, now=self._clock())
        for text in report.events:
            self.record_event(text)
        axis, table = done.snapshot.axis, done.snapshot.queues
        self.statuses.take(report, axis)
        self.statuses.memory()
        self._usage.record(done.result.shares, done.snapshot.axis.accounted)
        self.statuses.queues(queue_statuses(self.store.queues, table, done.result.shares, axis, self._clock()))
        if self._told.pending or self.statuses.pending:
            asyncio.get_running_loop().call_later(PATIENCE, self.cycles.wake)

    def _tell(self, decision: Decision, result: Result | None, why: str) -> None:
        self.decisions.answered(decision, ok=result is not None and result.ok, why=why)
        if result is not None and result.ok:
            self.record_event(events.decided(decision))
            if isinstance(decision, Evict):
                self.store.evicted(decision, self._clock())
            elif isinstance(decision, Bind):
                self.metrics.pod_bound(decision, self._clock())
        elif isinstance(decision, Bind):
            self.record_event(events.bind_failed(decision, why))

    def _preparing(self, binds: Sequence[Bind], reason: Reason) -> None:
        """Tell users why pods that have a node are not bound yet."""
        for bind in binds:
            self.record_event(events.preparing(bind, reason))
            self.statuses.preparing(bind, reason)

    def _complain(self, body: Mapping[str, Any], faults: Sequence[Fault]) -> None:
        """Tell the author of an object that it cannot be read."""
        if self.leading():
            meta = body["metadata"]
            names = str(meta.get("namespace", "")), str(meta["name"]), str(meta.get("uid", ""))
            about = Regarding(str(body["apiVersion"]), str(body["kind"]), *names)
            note = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
            self.record_event(EventText(about, "Warning", "Malformed", "Reading", note))

    def record_event(self, text: EventText) -> None:
        """Hand an Event to the recorder."""
        about = text.regarding
        regarding = Reference(about.api_version, about.kind, about.namespace, about.name, about.uid)
        self.recorder.record(regarding, text.reason, text.note, action=text.action, type=text.type)
