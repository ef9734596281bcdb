"""The scheduler as a whole: its parts started and stopped in order, and each cycle's result handed on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import structlog

from kai_py.kube.client import ApiClient
from kai_py.operators.garbage import set_memory_apart
from kai_py.operators.intake import Intake
from kai_py.operators.loop import Done
from kai_py.operators.parts import Parts
from kai_py.operators.reflectors import until_answered
from kai_py.operators.watched import watched
from kai_py.telemetry.decision_log import DecisionLog

_log = structlog.get_logger()

#: Cycles wait for the owners of pods for so long at first; seconds. Later, only the pods that need them wait.
PATIENCE_WITH_OWNERS: Final = 30.0
#: What is written at the end may take so long; seconds.
GOODBYE: Final = 3.0


class Shell:
    """A running scheduler; kopf's handlers get it as their memo.

    Args:
        parts: all that it consists of.

    Attributes:
        failed: gets the error of a part that ends before :meth:`stop`.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.failed = parts.supervisor.failed
        parts.reconfiguration.apply()
        reflectors, owners, store = parts.reflectors.all, parts.owners.reflectors, parts.store
        parts.metrics.watches.of(lambda: watched([*reflectors, *owners.values()], store))
        if parts.leadership is not None:
            parts.leadership.on_change(started=self._started_leading, lost=parts.metrics.stop_leading)

    # -- what others ask ---------------------------------------------------------------------------------

    @property
    def client(self) -> ApiClient:
        """The API server."""
        return self._parts.client

    @property
    def intake(self) -> Intake:
        """Takes in what kopf watches."""
        return self._parts.intake

    @property
    def decisions(self) -> DecisionLog:
        """What was decided lately, and why."""
        return self._parts.reporter.decisions

    @property
    def staleness(self) -> float:
        """Seconds since the most silent watch has heard from the server."""
        return self._parts.reflectors.staleness

    def leading(self) -> bool:
        """Whether we may decide and write at this moment."""
        return self._parts.leading()

    # -- life cycle --------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Fill the memory, then begin to decide."""
        parts, spawn = self._parts, self._parts.supervisor.spawn
        spawn(parts.recorder.run(lambda: parts.dispatcher.crowded), "events")
        spawn(parts.owners.run(), "owners")
        await parts.reflectors.fill(spawn)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_WITH_OWNERS):
                await parts.owners.caught_up()
        await until_answered(parts.audit.look)
        set_memory_apart()
        if parts.leadership is not None:
            spawn(parts.leadership.run(), "leader election")
        else:
            parts.metrics.begin_to_lead()
        parts.reconfiguration.follow()
        for name, run in self._loops().items():
            spawn(run(), name)
        parts.cycles.wake()
        store = parts.store
        _log.info("ready", nodes=len(store.nodes), pods=len(store.pods), queues=len(store.queues.queues))

    def _loops(self) -> Mapping[str, Callable[[], Coroutine[Any, Any, None]]]:
        """What runs as soon as the memory is filled, by the name of the task."""
        parts = self._parts
        return {
            "audit": parts.audit.run,
            "binder": parts.dispatcher.run,
            "claims": parts.unused_claims.run,
            "reservations": parts.spare_reservations.run,
            "templates for parts of GPUs": parts.share_templates.run,
            "statuses": partial(parts.statuses.run, parts.dispatcher.idle),
            "podgroups": parts.podgroups.run,
            "gang statuses": parts.gangs.run,
            "provisioning": parts.provisioning.run,
            "usage": partial(parts.usage.run, parts.leading),
            "access reviews": parts.queue_reviews.run,
            **({"last settings": parts.last_settings.run} if parts.last_settings is not None else {}),
            **({"shadow": parts.shadow.run} if parts.shadow is not None else {}),
            "cycles": partial(parts.cycles.run, self._cycle_done),
        }

    async def stop(self) -> None:
        """End everything; what was sent is left to its answer, what was not is decided again by the next leader."""
        if self.leading():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE):
                    await self._parts.usage.save()
        await self._parts.supervisor.stop()

    def _started_leading(self) -> None:
        self._parts.reporter.lead_anew()
        self._parts.usage.lead_anew()
        self._parts.metrics.begin_to_lead()
        self._parts.cycles.wake()

    def _cycle_done(self, done: Done) -> None:
        """Send the decisions, then tell."""
        parts = self._parts
        done = replace(done, result=parts.provisioning.take(done.snapshot, done.result))
        parts.metrics.snapshot_seconds.observe(done.snapshot_seconds)
        parts.store.carryover.remember(done.result, parts.clock())
        parts.dispatcher.submit(done.result.decisions)
        parts.reporter.cycle(done)
