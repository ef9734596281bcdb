"""The parts of a running scheduler, each made once and from others: the one place where they are wired."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property

from kai_py.cluster.scope import Scope
from kai_py.cluster.store import Store
from kai_py.kube.client import ApiClient
from kai_py.kube.election import Leadership
from kai_py.kube.recorder import EventRecorder
from kai_py.kube.writer import Writer
from kai_py.operators.access import QueueReviews
from kai_py.operators.audit import Audit
from kai_py.operators.dispatch import Dispatcher
from kai_py.operators.events import Events
from kai_py.operators.gang_statuses import GangStatuses
from kai_py.operators.grouping import LiveGrouping
from kai_py.operators.intake import Intake
from kai_py.operators.kinds import OWNER_KINDS, OWNERS
from kai_py.operators.last_settings import LastSettings
from kai_py.operators.loop import CycleLoop
from kai_py.operators.own_pod import OwnPod
from kai_py.operators.owners import OwnerFollower
from kai_py.operators.podgroups import PodGroupWriter
from kai_py.operators.provisioning import Provisioning
from kai_py.operators.reconfiguration import Reconfiguration
from kai_py.operators.reflectors import Reflectors
from kai_py.operators.reporter import Reporter
from kai_py.operators.settings import LiveSettings
from kai_py.operators.shadow import Previewer, Shadow
from kai_py.operators.share_templates import ShareTemplates
from kai_py.operators.spare_reservations import SpareReservations
from kai_py.operators.statuses import StatusWriter
from kai_py.operators.supervisor import Supervisor
from kai_py.operators.unused_claims import UnusedClaims
from kai_py.operators.usage import UsageKeeper
from kai_py.telemetry.metrics import Metrics


class Parts:
    """Makes a part when it is first asked for. Nothing runs yet.

    Args:
        client: the API server; closed by the caller.
        settings: those in force.
        metrics: where numbers go.
        leadership: None to run without election.
        identity: who we are, for Events.
        namespace: where the ConfigMap with the usage of queues is kept; None = nowhere.
        document: (namespace, name) of the ConfigMap with the settings, to be followed; None if they are in a file.
        pod: (namespace, name) of the pod that we run in; None = in none.
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
        pod: tuple[str, str] | None = None,
        preview: Previewer | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self.settings = settings
        self.metrics = metrics
        self.leadership = leadership
        self.clock = clock
        self._identity = identity
        self._namespace = namespace
        self._document = document
        self._pod = pod
        self._preview = preview
        self._scope = Scope.of(settings.current)

    def leading(self) -> bool:
        """Whether we may decide and write at this moment."""
        return self.leadership is None or self.leadership.is_leader

    # -- memory: what the watches fill -------------------------------------------------------------------

    @cached_property
    def store(self) -> Store:
        """The memory."""
        store = Store(self.grouping, self._scope, self.settings.accounting)
        self.grouping.serve(store)
        store.claims.follows_extended = True
        store.owners.kinds.follow((kind.group, OWNER_KINDS[kind.plural]) for kind in OWNERS)
        store.reservations.namespace = self.settings.current.gpu_reservation.namespace
        return store

    @cached_property
    def grouping(self) -> LiveGrouping:
        """Tells which podgroup a pod belongs to."""
        return LiveGrouping(self.settings, leading=self.leading, tell=self.events.tell)

    @cached_property
    def intake(self) -> Intake:
        """From watches to the memory."""
        return Intake(
            self.store,
            self.cycles.wake,
            self.clock,
            self.events.complain,
            claims_changed=self.dispatcher.starts.look,
            gangs=self.gangs,
        )

    @cached_property
    def reflectors(self) -> Reflectors:
        """Watch the kinds that decide."""
        return Reflectors(self.client, self.intake, self.store, self.clock)

    @cached_property
    def owners(self) -> OwnerFollower:
        """Watches kinds that own pods."""
        return OwnerFollower(
            self.client, self.store, self.intake, lambda: self.grouping.registry, self.cycles.wake, self.clock
        )

    @cached_property
    def audit(self) -> Audit:
        """Finds deletions that were missed."""
        return Audit(self.client, self.intake, self.grouping, regroup=self.reconfiguration.regroup)

    @cached_property
    def reconfiguration(self) -> Reconfiguration:
        """Has new settings followed."""
        return Reconfiguration(
            self.client,
            self.settings,
            self.store,
            self.grouping,
            document=self._document,
            shadow=self.shadow,
            own_pod=OwnPod(self.client, self._pod, self.clock) if self._pod is not None else None,
            rules_changed=self.owners.rules_changed,
            tell=self.events.tell,
            spawn=self.supervisor.spawn,
            wake=self.cycles.wake,
            clock=self.clock,
        )

    # -- decisions: made, and carried out ----------------------------------------------------------------

    @cached_property
    def supervisor(self) -> Supervisor:
        """Runs the parts."""
        return Supervisor()

    @cached_property
    def cycles(self) -> CycleLoop:
        """Decides."""
        return CycleLoop(self.store, lambda: self.settings.options, leading=self.leading, clock=self.clock)

    @cached_property
    def writer(self) -> Writer:
        """The door to the API server, with a fence for whoever does not lead."""
        return Writer(self.client, self.leadership.check if self.leadership else lambda: None)

    @cached_property
    def dispatcher(self) -> Dispatcher:
        """Carries decisions out."""
        return Dispatcher(
            self.store,
            self.writer,
            self.metrics,
            tell=self.reporter.answered,
            wake=self.cycles.wake,
            eviction=lambda: self.settings.current.eviction,
            preparing=self.reporter.preparing,
            binding_timeout=lambda: self.settings.current.dra.binding_timeout.seconds,
            settings=lambda: self.settings.current,
            clock=self.clock,
        )

    @cached_property
    def unused_claims(self) -> UnusedClaims:
        """Takes back devices that nobody uses."""
        return UnusedClaims(
            self.store,
            self.dispatcher.keeper,
            node_of=self.writer.node_of,
            leading=self.leading,
            wake=self.cycles.wake,
        )

    @cached_property
    def spare_reservations(self) -> SpareReservations:
        """Puts right which reservation pods there are."""
        return SpareReservations(
            self.store,
            self.client,
            self.writer,
            self.dispatcher.shares,
            leading=self.leading,
            tell=self.events.tell,
            clock=self.clock,
        )

    @cached_property
    def share_templates(self) -> ShareTemplates:
        """Makes templates of claims on parts of GPUs."""
        return ShareTemplates(self.store, self.client, self.writer, leading=self.leading, wake=self.cycles.wake)

    @cached_property
    def provisioning(self) -> Provisioning:
        """Asks an autoscaler for nodes."""
        return Provisioning(
            self.store,
            self.client,
            self.writer,
            settings=lambda: self.settings.current.autoscaling,
            leading=self.leading,
            wake=self.cycles.wake,
            clock=self.clock,
        )

    @cached_property
    def queue_reviews(self) -> QueueReviews:
        """Asks who may use which queue."""
        return QueueReviews(self.client, self.store.access, self.cycles.wake)

    # -- what others see ---------------------------------------------------------------------------------

    @cached_property
    def recorder(self) -> EventRecorder:
        """Sends Events."""
        return EventRecorder(self.client, min(self._scope.scheduler_names), self._identity)

    @cached_property
    def events(self) -> Events:
        """Tells users."""
        return Events(self.recorder, leading=self.leading)

    @cached_property
    def reporter(self) -> Reporter:
        """Tells of cycles and decisions."""
        return Reporter(
            self.store,
            self.metrics,
            tell=self.events.tell,
            statuses=self.statuses,
            usage=self.usage,
            wake=self.cycles.wake,
            clock=self.clock,
        )

    @cached_property
    def statuses(self) -> StatusWriter:
        """Writes conditions, numbers of queues, and what the next leader has to know."""
        return StatusWriter(self.store, self.writer, node_pool=self._scope.pool or "default", clock=self.clock)

    @cached_property
    def usage(self) -> UsageKeeper:
        """Keeps the usage of queues over time."""
        return UsageKeeper(
            self.client,
            self.writer,
            self.store.queues,
            lambda: self.settings.current.fairness.usage,
            namespace=self._namespace,
            clock=self.clock,
        )

    @cached_property
    def podgroups(self) -> PodGroupWriter:
        """Writes the PodGroups of gangs."""
        return PodGroupWriter(self.store, self.writer, leading=self.leading)

    @cached_property
    def gangs(self) -> GangStatuses:
        """Keeps the status of PodGroups of other APIs."""
        return GangStatuses(
            self.store,
            self.client,
            self.writer,
            ours=self._scope.scheduler_names,
            leading=self.leading,
            tell=self.events.tell,
            wake=self.cycles.wake,
            clock=self.clock,
        )

    @cached_property
    def last_settings(self) -> LastSettings | None:
        """Keeps the last good settings for whoever is started later."""
        where = self._document
        return where and LastSettings(self.client, self.writer, self.settings, where[0], self.leading)

    @cached_property
    def shadow(self) -> Shadow | None:
        """Tries out other settings."""
        return self._preview and Shadow(
            self.client,
            self.writer,
            self.metrics,
            self._preview,
            namespace=self._namespace,
            leading=self.leading,
            tell=self.events.tell,
        )
