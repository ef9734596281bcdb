"""Writes what users see, and what the next leader has to know. On change only, after binds.

Users see conditions of pods and podgroups, and the numbers of queues; the next leader reads annotations of podgroups
and nominations of pods.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import structlog

from kai_py.api.podgroup import PodGroup
from kai_py.cluster.decisions import pod_of
from kai_py.cluster.store import Store
from kai_py.core.resources import ResourceAxis
from kai_py.core.result import Bind, Diagnosis, Reason
from kai_py.core.tables.pods import PodKey
from kai_py.errors import ApiError, LeaseLostError
from kai_py.kube.pods import PodCondition
from kai_py.kube.writer import Writer
from kai_py.operators.kinds import PODGROUPS, QUEUES
from kai_py.operators.queue_status import QueueStatuses
from kai_py.telemetry.conditions import changed, pod_condition, scheduling_conditions
from kai_py.telemetry.record import Report
from kai_py.telemetry.told import Item, News

_log = structlog.get_logger()

#: Status writes in flight: few, so that they never crowd out binds.
CONCURRENCY: Final = 4

Job = Callable[[], Awaitable[object]]


class StatusWriter:
    """A queue of status writes, at most one per object: a newer one replaces what has not been sent.

    Args:
        store: what the objects say already.
        writer: the door to the API server.
        node_pool: name under which podgroup conditions are kept.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        *,
        node_pool: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._writer = writer
        self._node_pool = node_pool
        self._clock = clock
        self._queues = QueueStatuses()
        self._jobs: OrderedDict[object, Job] = OrderedDict()
        self._ready = asyncio.Semaphore(0)

    def take(self, report: Report, axis: ResourceAxis) -> None:
        """Note what a cycle has to tell about pods and podgroups."""
        for item in report.news:
            in_line = report.in_line.get(item.diagnosis.queue, 0) if item.diagnosis is not None else 0
            self._podgroup(item, axis, in_line)
            for pod in item.pods:
                self._pod(pod, item, axis, in_line)

    def queues(self, statuses: dict[str, dict[str, Any]]) -> None:
        """Note the numbers of queues; only what differs from what was written is."""
        for name, status in self._queues.changes(statuses, self._clock()):
            self._put(("queue", name), partial(self._writer.patch_status, QUEUES, "", name, status))

    @property
    def pending(self) -> bool:
        """Whether numbers of queues wait to be written with a later cycle."""
        return self._queues.pending

    def podgroup_status(self, name: tuple[str, str], status: dict[str, Any]) -> None:
        """Note a status for a podgroup."""
        self._put(("podgroup", name), partial(self._writer.patch_status, PODGROUPS, *name, status))

    def memory(self) -> None:
        """Note what has to outlive this process: times in annotations of podgroups, held places as nominations."""
        for name, stamps in self._store.carryover.stamps():
            self._put(("stamps", name), partial(self._writer.patch_metadata, PODGROUPS, *name, annotations=stamps))
        for key in self._store.held.unwritten():
            self._put(("nomination", key), partial(self._nominate, key))

    async def _nominate(self, key: PodKey) -> None:
        facts, node = self._store.pods.facts.get(key), self._store.held.due(key)
        if facts is None or facts.node or node is None:
            return  # gone, or it has found a place meanwhile: binding clears the nomination
        self._store.held.wrote(key, node)
        await self._writer.nominate(key.namespace, key.name, key.uid, node)

    def _podgroup(self, item: Item, axis: ResourceAxis, in_line: int) -> None:
        namespace, _, name = item.podgroup.partition("/")
        malformed = (namespace, name) in self._store.groups.malformed
        podgroup = self._store.groups.objects.get((namespace, name))
        if podgroup is None and not malformed:
            return
        conditions = scheduling_conditions(
            _existing(podgroup) if podgroup is not None else [],
            item.diagnosis,
            now=self._clock(),
            node_pool=self._node_pool,
            axis=axis,
            waiting=in_line,
            refresh=item.news is News.NUMBERS,
        )
        if conditions is not None:
            self.podgroup_status((namespace, name), {"schedulingConditions": conditions})

    def _pod(self, pod: str, item: Item, axis: ResourceAxis, in_line: int) -> None:
        key = self._store.pod_key(pod)
        if key is None or item.diagnosis is None:
            return
        written = pod_condition(item.diagnosis, now=self._clock(), axis=axis, waiting=in_line)
        told = self._store.pods.facts[key].told
        old = {"type": "PodScheduled", "status": "False", "reason": told[0], "message": told[1]} if told else None
        if written is not None and changed(old, written):
            self._put(key, partial(self._write_pod, key, written))

    def preparing(self, bind: Bind, reason: Reason) -> None:
        """Note why a pod that has a node is not bound yet."""
        key = pod_of(bind)
        written = pod_condition(Diagnosis(bind.podgroup, "", (reason,)), now=self._clock())
        if written is not None:
            self._put(key, partial(self._write_pod, key, written, sent=True))

    async def _write_pod(self, key: PodKey, written: dict[str, Any], *, sent: bool = False) -> None:
        facts = self._store.pods.facts.get(key)
        if facts is None or facts.bound or (facts.node and not sent):
            return  # it has found a place meanwhile
        condition = PodCondition(
            written["type"],
            written["status"],
            written["reason"],
            written["message"],
            transitioned_at=None if facts.told else datetime.fromtimestamp(self._clock(), UTC),
        )
        await self._writer.patch_condition(key.namespace, key.name, key.uid, condition)

    def _put(self, about: object, job: Job) -> None:
        if about not in self._jobs:
            self._ready.release()
        self._jobs[about] = job

    async def run(self, quiet: Callable[[], Awaitable[None]]) -> None:
        """Write, until cancelled.

        Args:
            quiet: awaited before each write; resolves when no decision is waiting to be sent.
        """
        async with asyncio.TaskGroup() as workers:
            for _ in range(CONCURRENCY):
                workers.create_task(self._work(quiet))

    async def _work(self, quiet: Callable[[], Awaitable[None]]) -> None:
        while True:
            await self._ready.acquire()
            await quiet()
            about, job = self._jobs.popitem(last=False)
            try:
                await job()
            except LeaseLostError:
                continue  # the next leader tells
            except ApiError as error:
                _log.info("status not written", about=str(about), error=str(error))
            except Exception:  # the edge of the loop: one status must not end the others
                _log.exception("status not written", about=str(about))


def _existing(podgroup: PodGroup) -> list[dict[str, Any]]:
    return [one.to_dict() for one in podgroup.status.scheduling_conditions]
