"""Keeps reservation pods and those that share their devices in step: none too many, none too few, none for another GPU.

What a crash, a deletion by somebody else or a node that was away has left is found here, by what is there and not by
what was meant to be done.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from math import inf
from typing import Final

import structlog

from kai_py.api.keys import GPU_GROUP_LABEL
from kai_py.cluster.reservations import Reservation, Seat, name_of
from kai_py.cluster.store import Store
from kai_py.core.tables.pods import PodKey
from kai_py.kube.client import ApiClient
from kai_py.kube.listing import list_all
from kai_py.kube.pods import Outcome
from kai_py.kube.writer import Writer
from kai_py.operators.kinds import PODS
from kai_py.operators.reservations import ReservationKeeper
from kai_py.operators.sweeping import Suspects, Sweeper
from kai_py.telemetry.events import EventText, pod

_log = structlog.get_logger()

#: How often to look, in seconds. What was wrong the last time too is put right.
EVERY: Final = 2.0
#: So often a device is asked for again that those who share it have lost; then they are ended.
TRIES: Final = 3

_FINISHED: Final = ("Succeeded", "Failed")


class SpareReservations(Sweeper):
    """Takes away reservation pods that nobody needs, and has lost ones made again.

    Args:
        store: the memory.
        client: to ask the server who is on a node, before something is taken away.
        writer: the door to the API server.
        keeper: makes reservation pods.
        leading: whether we may write.
        tell: called with Events.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        client: ApiClient,
        writer: Writer,
        keeper: ReservationKeeper,
        *,
        leading: Callable[[], bool],
        tell: Callable[[EventText], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(EVERY, leading)
        self._store = store
        self._book = store.reservations
        self._client = client
        self._writer = writer
        self._keeper = keeper
        self._tell = tell
        self._clock = clock
        self._surplus = Suspects[PodKey]()
        self._lost = Suspects[Seat]()
        self._tries: dict[Seat, int] = {}

    async def look(self) -> None:
        """Put right what was wrong the last time, too."""
        surplus = {one.key: one for one in self._book.surplus(self._clock()) if self._ours_to_take(one)}
        # Where nobody was shown a device, nothing ever stood for it: its pods came while the setting was ``trusted``.
        lost = {seat for seat in self._book.unguarded() if seat in self._book.shown and self._settled(seat)}
        if not self._book.enabled:
            lost = set()
        for stray in list(self._book.strays()) if self._book.enabled else ():
            await self._one(stray.seat, self._end_all(stray))
        for key in sorted(self._surplus.again(surplus)):
            await self._one(surplus[key].seat, self._remove(surplus[key]))
        for seat in sorted(self._lost.again(lost)):
            await self._one(seat, self._restore(seat))
        self._tries = {seat: tries for seat, tries in self._tries.items() if not self._holds(seat)}

    def forget(self) -> None:
        """See :meth:`Sweeper.forget`."""
        self._surplus.clear()
        self._lost.clear()

    async def _one(self, seat: Seat, work: Awaitable[None]) -> None:
        await self.isolated(work, "reservation not put right", node=seat.node, device=seat.group)

    def _ours_to_take(self, one: Reservation) -> bool:
        """Others' are left alone where settings do not say that GPUs are held; ours go whatever they say now."""
        return self._book.enabled or one.maker == self._book.maker

    async def _remove(self, one: Reservation) -> None:
        """Delete a reservation pod, unless somebody has come to need it meanwhile."""
        if not one.failed and await self._sharers_on_server(one.seat):
            return
        if self._book.users(one.seat) and not one.failed:
            return
        if (await self._writer.delete(*one.key)).outcome is Outcome.NOT_FOUND:
            self._store.drop_pod(one.key)  # it was made and deleted before we had the answer
        _log.info("device given back", node=one.seat.node, device=one.seat.group, pod=one.key.name)

    async def _sharers_on_server(self, seat: Seat) -> bool:
        """Whether the server knows pods that share a device, and that the watch may not have shown yet."""
        found = await list_all(self._client, PODS, fieldSelector=f"spec.nodeName={seat.node}")
        return any(
            one["metadata"]["namespace"] != self._book.namespace
            and (one.get("status") or {}).get("phase") not in _FINISHED
            and seat.group in (one["metadata"].get("labels") or {}).values()
            and any(key.split("/")[0] == GPU_GROUP_LABEL for key in one["metadata"].get("labels") or {})
            for one in found
        )

    def _holds(self, seat: Seat) -> bool:
        """Whether a device need not be asked for again: it is held, or nobody shares it."""
        there = self._book.at(seat)
        return (there is not None and there.stands and bool(there.device)) or not self._book.users(seat)

    def _settled(self, seat: Seat) -> bool:
        """Whether pods run that share a device; those on their way have it reserved themselves."""
        facts = self._store.pods.facts
        users = [facts[key] for key in self._book.users(seat) if key in facts]
        ours = [one for one in users if one.bound and one.place is not None and one.leaving_since == inf]
        return bool(ours) and seat.node in self._store.nodes

    async def _restore(self, seat: Seat) -> None:
        """Have a device held again whose reservation pod is gone while pods share it."""
        tries = self._tries[seat] = self._tries.get(seat, 0) + 1
        if tries > TRIES:
            await self._end(seat, "the GPU that it shares was given to somebody else")
            return
        await self._keeper.reserve(seat, again=True)
        _log.warning("lost device reserved again", node=seat.node, device=seat.group, pod=name_of(seat))

    async def _end_all(self, stray: Reservation) -> None:
        """A lost device has not come back: another GPU stands for it now, and theirs may be anybody's."""
        await self._end(stray.seat, f"the GPU that it shares is not reserved any more, but {stray.device} is")
        await self._writer.delete(*stray.key)

    async def _end(self, seat: Seat, why: str) -> None:
        """End all that share a device, as KAI does: nobody can tell whom they share it with."""
        for key in sorted(self._book.users(seat)):
            facts = self._store.pods.facts.get(key)
            if facts is None or not facts.bound or facts.place is None or facts.leaving_since != inf:
                continue
            now = datetime.fromtimestamp(self._clock(), UTC)
            await self._writer.mark_disruption_target(*key, f"{why}.", now)
            await self._writer.delete(*key)
            self._tell(EventText(pod(f"{key.namespace}/{key.name}", key.uid), "Warning", "DeviceLost", "Sharing", why))
            _log.warning("pod ended", pod=str(key), why=why)
