"""Carries decisions out: assume, send with bounded concurrency, confirm or forget. Nothing lost, nothing doubled."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Final

import structlog

from kai_py.cluster.decisions import pod_of
from kai_py.cluster.encode.shares import labels_of
from kai_py.cluster.encode.zones import predicted
from kai_py.cluster.store import Store
from kai_py.core.result import Bind, Decision, Evict, Reason
from kai_py.core.tables.pods import PodKey, PodState
from kai_py.errors import ApiError, ForbiddenError, InvalidError, KaiError, LeaseLostError, UnavailableError
from kai_py.kube.backoff import Backoff
from kai_py.kube.pods import Outcome, Result
from kai_py.kube.writer import Writer
from kai_py.operators.claims import ClaimKeeper
from kai_py.operators.reservations import ReservationKeeper
from kai_py.operators.starts import Job, Starts
from kai_py.operators.volumes import VolumeKeeper
from kai_py.settings.eviction import Eviction
from kai_py.settings.model import Settings
from kai_py.telemetry.conditions import eviction_note
from kai_py.telemetry.metrics import Metrics

_log = structlog.get_logger()

#: Requests in flight. More do not make one asyncio client faster, and a server under load slower.
CONCURRENCY: Final = 48

Told = Callable[[Decision, Result | None, str], None]
#: Decisions that are carried out one after the other; when one is refused, the rest is not tried.
Errand = tuple[Bind | Evict, ...]


class Dispatcher:
    """Sends what a cycle has decided.

    A decision is *assumed* in the store before it is sent, so that the next cycle counts with it; it is *acknowledged*
    when the API server has accepted it, and *forgotten* when it has refused it. While the server does not answer at
    all, nobody knows what became of the request: the decision stays assumed and is repeated, which its uid makes
    harmless.

    Args:
        store: the memory.
        writer: the door to the API server; its fence stops everything when the lease is lost.
        metrics: outcomes are counted there.
        tell: called with every decision that was answered, for Events; must not block.
        wake: called when an answer gives the next cycle something to do: a refusal, or the last of many.
        eviction: how pods are evicted; asked before every cycle's decisions.
        preparing: told about pods whose devices or volumes are being prepared, and what is missing; must not block.
        binding_timeout: seconds that this may take; asked each time.
        settings: how GPUs are held that pods share; asked each time.
        clock: seconds since the epoch.

    Attributes:
        keeper: writes about claims.
        shares: writes about shared GPUs.
        starts: pods with claims on their way.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        metrics: Metrics,
        *,
        tell: Told,
        wake: Callable[[], None],
        eviction: Callable[[], Eviction] = Eviction,
        preparing: Callable[[Sequence[Bind], Reason], None] = lambda _binds, _reason: None,
        binding_timeout: Callable[[], float] = lambda: 600.0,
        settings: Callable[[], Settings] = Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._writer = writer
        self._metrics = metrics
        self._tell = tell
        self._wake = wake
        self._clock = clock
        self._eviction = eviction
        self.keeper = ClaimKeeper(store.claims, writer.claims, metrics, clock)
        self.shares = ReservationKeeper(store, writer, settings, clock)
        self.starts = Starts(
            store,
            self.keeper,
            VolumeKeeper(store.volumes, writer),
            self.shares,
            enqueue=self._enqueue,
            bind=lambda bind: self._run((bind,)),
            refuse=self._not_started,
            waits=preparing,
            parked=self._look_idle,
            timeout=binding_timeout,
            clock=clock,
        )
        #: Whoever has a place already and only has to be sent there comes first; else first come, first served.
        self._queue: asyncio.PriorityQueue[tuple[bool, int, Job]] = asyncio.PriorityQueue()
        self._numbers = count()
        #: Pods that we have told to go and that may still be there.
        self._leaving: set[PodKey] = set()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def backlog(self) -> int:
        """Jobs that are not done yet, or are about to come."""
        return self._queue.qsize() + self._busy + self.starts.brief

    @property
    def crowded(self) -> bool:
        """Whether there is more to be sent than may be in flight."""
        return not self._queue.empty()

    async def idle(self) -> None:
        """Wait until everything is answered."""
        await self._idle.wait()

    def submit(self, decisions: Iterable[Decision]) -> int:
        """Take over a cycle's decisions; returns how many are on their way.

        What has become impossible since the snapshot was taken (a pod was deleted, a node vanished) is left out, and
        with it everything else for that podgroup: a gang is sent whole or waits for the next cycle.
        """
        binds: dict[str, list[Bind]] = defaultdict(list)
        evictions: dict[str, list[Evict]] = defaultdict(list)
        for decision in decisions:
            if isinstance(decision, Bind):
                binds[decision.podgroup].append(decision)
            elif isinstance(decision, Evict) and self._possible(decision):
                evictions[decision.preemptor or decision.podgroup].append(decision)
        now, sent = self._clock(), 0
        with_claims = []
        for whole in [whole for whole in binds.values() if all(map(self._possible, whole))]:
            if self.starts.needs_claims(whole):
                with_claims.append(whole)
                for bind in whole:
                    self._store.decisions.assume(bind, now)
            else:
                sent += self._assume([(bind,) for bind in whole], now)
        for whole in with_claims:  # devices that one podgroup brings may be used by another
            self.starts.begin(whole)
            sent += len(whole)
        for preemptor, victims in evictions.items():
            if self._has_room(len(victims)):
                sent += self._assume(self._errands(victims), now)
                self._leaving.update(map(pod_of, victims))
            else:
                self._store.decisions.give_up(preemptor, now)
                _log.info("evictions postponed", podgroup=preemptor, victims=len(victims), leaving=len(self._leaving))
        if sent:
            self._idle.clear()
        return sent

    def _assume(self, errands: Iterable[Errand], now: float) -> int:
        """Count with decisions from now on, and hand them to the workers; returns how many there are."""
        sent = 0
        for errand in errands:
            for decision in errand:
                self._store.decisions.assume(decision, now)
            self._enqueue(partial(self._run, errand))
            sent += len(errand)
        return sent

    def _enqueue(self, job: Job, *, first: bool = False) -> None:
        """Hand a job to the workers."""
        self._queue.put_nowait((not first, next(self._numbers), job))

    def _errands(self, victims: list[Evict]) -> list[Errand]:
        """What may be refused goes one after the other, so that no more is lost than must be."""
        return [tuple(victims)] if self._asks(victims[0]) else [(victim,) for victim in victims]

    def _asks(self, decision: Evict) -> bool:
        """Whether PodDisruptionBudgets are asked."""
        return self._eviction().method.of(decision.action) == "evict"

    def _has_room(self, victims: int) -> bool:
        """Whether so many more pods may be on their way out; whoever needs more than a wave goes alone."""
        wave, facts = self._eviction().wave, self._store.pods.facts
        if not wave:
            return True
        self._leaving = {key for key in self._leaving if key in facts and facts[key].leaving_since != math.inf}
        return not self._leaving or len(self._leaving) + victims <= wave

    def _possible(self, decision: Bind | Evict) -> bool:
        """Whether the store still looks as the decision found it."""
        key = pod_of(decision)
        facts = self._store.pods.facts.get(key)
        if facts is None or self._store.assumptions.get(key) is not None:
            return False
        if isinstance(decision, Bind):
            known = decision.node in self._store.nodes and self._store.claims.unchanged(key)
            return facts.state == PodState.PENDING and known
        return facts.state == PodState.BOUND

    async def run(self) -> None:
        """Send what is submitted, until cancelled."""
        async with asyncio.TaskGroup() as workers:
            workers.create_task(self.starts.run())
            for _ in range(CONCURRENCY):
                workers.create_task(self._work())

    async def _work(self) -> None:
        while True:
            _, _, job = await self._queue.get()
            self._busy += 1
            try:
                await job()
            finally:
                self._busy -= 1
                self._look_idle()

    def _look_idle(self) -> None:
        """Tell when nothing is left to do."""
        if not self.backlog:
            self._idle.set()
            self._wake()  # the numbers of queues and podgroups have changed with all of these

    async def _run(self, errand: Errand) -> None:
        """Carry out decisions one after the other, as long as they succeed."""
        for row, decision in enumerate(errand):
            try:
                done = await self._carry_out(decision)
            except Exception:  # the edge of the loop: one decision must not end the others
                _log.exception("decision dropped", pod=decision.pod, podgroup=decision.podgroup)
                self.starts.done(pod_of(decision))
                self._store.decisions.forget(decision, self._clock(), blame_node=False)
                done = False
            if not done:
                for rest in errand[row + 1 :]:
                    self._store.decisions.release(rest, self._clock())
                return

    async def _carry_out(self, decision: Bind | Evict) -> bool:
        """Send one decision until there is an answer; tells whether it was what we wanted."""
        backoff = Backoff(first=0.5, ceiling=10.0)
        while True:
            started = self._clock()
            try:
                result = await self._send(decision)
            except UnavailableError as error:
                _log.warning("no answer, trying again", pod=decision.pod, error=str(error))
                await asyncio.sleep(backoff.delay())
                continue
            except LeaseLostError:
                self._released(decision)
                return False
            except ApiError as error:
                await self._give_back(decision)
                self._refused(decision, error)
                return False
            self._metrics.bind_seconds.observe(self._clock() - started)
            if not result.ok:
                await self._give_back(decision)
            return self._answered(decision, result)

    async def _give_back(self, decision: Bind | Evict) -> None:
        """A pod that is not bound needs its claims no longer; a try whose answer was lost may have bound it, though."""
        key = pod_of(decision)
        if not isinstance(decision, Bind) or not self.starts.holds(key):
            return
        try:
            if not await self._writer.node_of(*key):
                await self.starts.give_back(key)
        except (LeaseLostError, ApiError) as error:
            _log.warning("claims are given back later", pod=decision.pod, why=str(error))
        self.starts.done(key)

    def _released(self, decision: Bind | Evict) -> None:
        """It was not sent."""
        self.starts.done(pod_of(decision))
        self._store.decisions.release(decision, self._clock())

    async def _send(self, decision: Bind | Evict) -> Result:
        namespace, _, name = decision.pod.partition("/")
        if isinstance(decision, Bind):
            if decision.gpu_groups and not (labelled := await self._label(namespace, name, decision)).ok:
                return labelled
            noted = predicted(decision.zones)
            return await self._writer.bind(namespace, name, decision.uid, decision.node, noted)
        if self._asks(decision):
            return await self._writer.evict(namespace, name, decision.uid)  # the server says DisruptionTarget itself
        now = datetime.fromtimestamp(self._clock(), UTC)
        await self._writer.mark_disruption_target(namespace, name, decision.uid, eviction_note(decision), now)
        return await self._writer.delete(namespace, name, decision.uid)

    async def _label(self, namespace: str, name: str, decision: Bind) -> Result:
        """Write down on which devices a pod gets its share, before it can start there; a pod that waits has none."""
        stale = self._store.layout.device_labels(pod_of(decision))
        labels: dict[str, str | None] = {**dict.fromkeys(stale), **labels_of(decision.gpu_groups)}
        if not self.shares.needs(decision):
            return await self._writer.label(namespace, name, decision.uid, labels)
        shown = await self.shares.show(decision)
        if isinstance(shown, Result):
            return shown
        return await self._writer.label(namespace, name, decision.uid, labels, shown)

    def _answered(self, decision: Bind | Evict, result: Result) -> bool:
        if isinstance(decision, Bind):
            self._metrics.binds.labels(str(result.outcome)).inc()
        if result.ok or (isinstance(decision, Evict) and result.outcome is Outcome.NOT_FOUND):
            self.starts.done(pod_of(decision))
            self._store.decisions.acknowledge(decision)
            self._tell(decision, result, "")
            return True
        # The pod is elsewhere, gated, or gone: its next watch event says so. The node is not to blame.
        self._forget(decision, result.message, blame_node=False)
        _log.warning(
            "refused", pod=decision.pod, podgroup=decision.podgroup, outcome=result.outcome, why=result.message
        )
        self._tell(decision, result, result.message)
        self._wake()
        return False

    def _forget(self, decision: Bind | Evict, why: str, *, blame_node: bool) -> None:
        """Take a decision back; whoever an eviction was for cannot have it now."""
        self._store.decisions.forget(decision, self._clock(), blame_node=blame_node)
        if isinstance(decision, Evict) and decision.preemptor:
            refusal = f"the eviction of {decision.pod} was refused: {why}"
            self._store.decisions.give_up(decision.preemptor, self._clock(), refusal)

    def _not_started(self, bind: Bind, why: KaiError, blame_node: bool) -> None:
        """A pod did not get its claims; they have been given back."""
        if isinstance(why, LeaseLostError):
            self._store.decisions.release(bind, self._clock())
            return
        self._metrics.binds.labels("claim refused").inc()
        self._store.decisions.forget(bind, self._clock(), blame_node=blame_node, why=str(why))
        _log.warning("not started", pod=bind.pod, podgroup=bind.podgroup, why=str(why))
        self._tell(bind, None, str(why))
        self._wake()

    def _refused(self, decision: Bind | Evict, error: ApiError) -> None:
        """The server will not do it, at least not for this pod and node."""
        self._metrics.api_errors.labels("bind" if isinstance(decision, Bind) else "evict", error.code).inc()
        blame = isinstance(error, InvalidError | ForbiddenError) and error.status != 401
        self._forget(decision, str(error), blame_node=blame)
        _log.warning("refused", pod=decision.pod, podgroup=decision.podgroup, code=error.code, why=str(error))
        self._tell(decision, None, str(error))
        self._wake()
