"""Pods with claims on their way to their nodes: first all claims of those that start together, then their bindings.

Claims are those on devices, and those on volumes that pods get with their nodes. GPUs that pods share are held for them
in the same way: first all of them, then the bindings.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog

from kai_py.cluster.binding_conditions import preparation
from kai_py.cluster.claim_objects import Devices, Name
from kai_py.cluster.decisions import pod_of
from kai_py.cluster.store import Store
from kai_py.core.result import Bind, Granted, Reason, ReasonCode
from kai_py.core.tables.pods import PodKey
from kai_py.errors import ClaimRefusedError, KaiError, LeaseLostError, ShareRefusedError
from kai_py.operators.claims import ClaimKeeper
from kai_py.operators.reservations import ReservationKeeper
from kai_py.operators.volumes import VolumeKeeper, claims_of

_log = structlog.get_logger()

#: So long the watch may take to show what we wrote. Others' earlier writes are known then; seconds.
SHOWN_WITHIN: Final = 1.0
#: How often waiting starts are looked at when nothing happens, in seconds.
LOOK: Final = 1.0

Job = Callable[[], Awaitable[None]]


@dataclass(eq=False)
class Start:
    """Pods that start together.

    Attributes:
        binds: of one podgroup in one cycle.
        expected: their claims, and the devices that each has, or is about to have.
        left: claims that are not written yet.
        refusal: why they do not start; None as long as they may.
        blame: the node is at fault.
        until: when the watch need not have shown our writes any more, seconds since the epoch.
        told: what they wait for, as far as that has been said.
        asked: when all was written, seconds since the epoch.
        awaited: claims and reservation pods whose changes are waited for.
    """

    binds: tuple[Bind, ...]
    expected: dict[Name, Devices | None]
    left: int
    refusal: KaiError | None = None
    blame: bool = False
    until: float = 0.0
    told: Reason | None = None
    asked: float = 0.0
    awaited: frozenset[Name] = frozenset()
    keys: tuple[PodKey, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.keys = tuple(map(pod_of, self.binds))


class Starts:
    """Carries starts through: claims, what is to be waited for, bindings; or all the way back.

    Args:
        store: the memory.
        keeper: writes claims.
        volumes: asks for volumes.
        shares: has shared GPUs held.
        enqueue: takes a job for whoever has time; with ``first``, before all that waits already.
        bind: sends a binding.
        refuse: takes back the decision about a pod, after its claims have been given back.
        waits: called with pods whose devices or volumes are being prepared, and what is missing, when that is news.
        parked: called when a start that was about to be sent has to wait for longer.
        timeout: seconds that devices may take to be prepared; asked each time.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        keeper: ClaimKeeper,
        volumes: VolumeKeeper,
        shares: ReservationKeeper,
        *,
        enqueue: Callable[..., None],
        bind: Callable[[Bind], Awaitable[None]],
        refuse: Callable[[Bind, KaiError, bool], None],
        waits: Callable[[Sequence[Bind], Reason], None],
        parked: Callable[[], None],
        timeout: Callable[[], float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._objects = store.claims.objects
        self._keeper = keeper
        self._volumes = volumes
        self._shares = shares
        self._enqueue = enqueue
        self._bind = bind
        self._refuse = refuse
        self._waits = waits
        self._parked = parked
        self._timeout = timeout
        self._clock = clock
        self._waiting: defaultdict[Name, set[Start]] = defaultdict(set)
        self._brief: set[Start] = set()
        #: Of pods that are sent off; they may be forgotten before their claims have been given back.
        self._claims_of: dict[PodKey, tuple[Name, ...]] = {}
        #: Pods whose status says, thanks to us, what devices take of their nodes.
        self._told: set[PodKey] = set()
        self._any = asyncio.Event()

    @property
    def brief(self) -> int:
        """Starts that only wait for the watch: they are about to be sent."""
        return len(self._brief)

    def needs_claims(self, binds: Iterable[Bind]) -> bool:
        """Whether any of these pods has claims."""
        return any(
            bind.claims or bind.volumes or self._shares.needs(bind) or self._store.claims.needed_by(pod_of(bind))
            for bind in binds
        )

    def begin(self, binds: Iterable[Bind]) -> None:
        """Get the claims of pods that start together, then bind them. The decisions have been assumed."""
        whole = tuple(binds)
        for key in map(pod_of, whole):
            self._claims_of[key] = self._store.claims.needed_by(key)
        names = {name: None for key in map(pod_of, whole) for name in self._claims_of[key]}
        expected = {name: self._objects.devices(name) for name in names}
        unmade = [(pod_of(bind), one) for bind in whole for one in bind.claims if one.extended and not one.uid]
        with_volumes = [bind for bind in whole if bind.volumes]
        sharing = [bind for bind in whole if self._shares.needs(bind)]
        telling = [bind for bind in whole if self._store.claims.has_to_tell(pod_of(bind), bind.of_node)]
        others = len(unmade) + len(with_volumes) + len(sharing) + len(telling)
        start = Start(whole, expected, len(expected) + others)
        for name in list(expected):
            self._enqueue(partial(self._secure, start, name))
        for key, granted in unmade:
            self._enqueue(partial(self._make, start, key, granted))
        for bind in with_volumes:
            self._enqueue(partial(self._ask, start, bind))
        for bind in sharing:
            self._enqueue(partial(self._prepare, start, bind))
        for bind in telling:
            self._enqueue(partial(self._tell, start, bind))

    def look(self, names: Iterable[Name]) -> None:
        """Claims have changed: whoever waits for them may go on."""
        if self._waiting:
            for start in {start for name in names for start in self._waiting.get(name, ())}:
                self._look(start)

    async def run(self) -> None:
        """Look at all who wait now and then, until cancelled: time passes, and pods go."""
        while True:
            await self._any.wait()
            await asyncio.sleep(LOOK)
            for start in self._all():
                self._look(start)
            if not self._waiting:
                self._any.clear()

    async def give_back(self, *keys: PodKey) -> None:
        """Pods were not bound: give their claims back. What cannot be written now is left to who sweeps."""
        users: defaultdict[Name, list[PodKey]] = defaultdict(list)
        for key in keys:
            for name in self._claims_of.pop(key, ()):
                users[name].append(key)
        for name, pods in users.items():
            try:
                await self._keeper.give_back(name, frozenset(key.uid for key in pods))
                if any(name == self._store.claims.special(key) for key in pods):
                    await self._keeper.discard(name)
            except ClaimRefusedError as error:
                _log.warning("claim not given back", claim="/".join(name), why=str(error))
        for key in self._told.intersection(keys):
            self._told.discard(key)
            try:
                await self._keeper.tell(key, ())
            except ClaimRefusedError as error:  # the next start says what is true then
                _log.info("status of pod not corrected", pod=str(key), why=str(error))

    def holds(self, key: PodKey) -> bool:
        """Whether claims were got for a pod that is not bound yet."""
        return bool(self._claims_of.get(key))

    def done(self, key: PodKey) -> None:
        """A pod was bound: its claims are its own."""
        self._shares.done(key)
        self._claims_of.pop(key, None)
        self._told.discard(key)

    # -- steps -------------------------------------------------------------------------------------

    async def _make(self, start: Start, key: PodKey, granted: Granted) -> None:
        """Make the claim on a pod's extended resources, and get it."""

        async def make() -> None:
            try:
                name = await self._keeper.make(key, granted)
            finally:
                if (made := self._store.claims.special(key)) is not None and made not in self._claims_of[key]:
                    self._claims_of[key] = (*self._claims_of[key], made)
            start.expected[name] = self._objects.devices(name)
            await self._keeper.secure(name, (key,), start.expected[name])

        await self._through(start, f"ResourceClaim {granted.claim}", make)

    async def _secure(self, start: Start, name: Name) -> None:
        """Get one claim."""
        users = [key for key in start.keys if name in self._claims_of[key]]
        what = f"ResourceClaim {'/'.join(name)}"
        await self._through(start, what, lambda: self._keeper.secure(name, users, start.expected[name]))

    async def _ask(self, start: Start, bind: Bind) -> None:
        """Ask for the volumes of one pod."""
        await self._through(start, f"volumes of pod {bind.pod}", lambda: self._volumes.ask(bind))

    async def _prepare(self, start: Start, bind: Bind) -> None:
        """Have the devices held that one pod shares."""
        await self._through(start, f"shared GPU of pod {bind.pod}", lambda: self._shares.prepare(bind))

    async def _tell(self, start: Start, bind: Bind) -> None:
        """Say in a pod's status what its devices take of its node."""
        key = pod_of(bind)
        self._told.add(key)
        await self._through(start, f"status of pod {bind.pod}", lambda: self._keeper.tell(key, bind.of_node))

    async def _through(self, start: Start, what: str, work: Job) -> None:
        """Do one thing that is needed; with the last one, go on."""
        if start.refusal is None:
            try:
                await work()
            except (ClaimRefusedError, LeaseLostError) as error:
                start.refusal = error
                start.blame |= isinstance(error, ShareRefusedError) and error.blame
            except Exception as error:  # the edge of the loop: one claim must not stop the others
                _log.exception("claim passed over", about=what)
                start.refusal = ClaimRefusedError(f"{what}: internal error: {error}")
        start.left -= 1
        if not start.left:
            start.asked = self._clock()
            start.until = start.asked + SHOWN_WITHIN
            start.awaited = frozenset((*start.expected, *claims_of(start.binds), *self._shares.names(start.binds)))
            for one in start.awaited:
                self._waiting[one].add(start)
            self._brief.add(start)
            self._any.set()
            self._look(start)

    def _look(self, start: Start) -> None:
        """Go on, go back, or wait."""
        if start.refusal is None:
            missing = self._missing(start)
            if missing is None:
                return
            if missing:
                if missing != start.told:
                    start.told = missing
                    self._brief.discard(start)
                    self._waits(start.binds, missing)
                    self._parked()
                return
        self._brief.discard(start)
        for name in start.awaited:
            self._waiting[name].discard(start)
            if not self._waiting[name]:
                del self._waiting[name]
        if start.refusal is not None:
            self._enqueue(partial(self._go_back, start), first=True)
            return
        for bind in start.binds:
            self._enqueue(partial(self._bind, bind), first=True)

    def _missing(self, start: Start) -> Reason | tuple[()] | None:
        """What a start still lacks; None = look again later. What is wrong becomes its refusal."""
        for bind, key in zip(start.binds, start.keys, strict=True):
            if self._store.assumptions.get(key) is None:
                start.refusal = ClaimRefusedError(f"pod {key} is gone, or on a node already")
                return ()
            if bind.node not in self._store.nodes:
                start.refusal = ClaimRefusedError(f"node {bind.node} is gone")
                return ()
        now = self._clock()
        missing: Reason | tuple[()] = ()
        for name, expected in start.expected.items():
            claim = self._objects.by_name.get(name)
            if claim is None or self._objects.devices(name) != expected:
                return self._lost(start, name, "its devices were taken back")
            if (why := self._keeper.contested(name)) is not None:
                return self._lost(start, name, why)
            if not self._objects.shown(name) and now < start.until:
                return None
            found = preparation(claim, now, self._timeout())
            if found.failed:
                start.blame = True
                return self._lost(start, name, found.failed)
            if found.missing:
                details = {"claim": "/".join(name), "missing": found.missing}
                missing = missing or Reason(ReasonCode.DEVICES_PREPARED, details)
        return missing or self._missing_volumes(start, now) or self._missing_devices(start, now)

    def _missing_devices(self, start: Start, now: float) -> Reason | tuple[()]:
        for bind in start.binds:
            try:
                if missing := self._shares.missing(bind, now - start.asked):
                    return missing
            except ShareRefusedError as error:
                start.refusal, start.blame = error, error.blame
                return ()
        return ()

    def _missing_volumes(self, start: Start, now: float) -> Reason | tuple[()]:
        for bind in start.binds:
            try:
                if claim := self._volumes.missing(bind, now - start.asked):
                    return Reason(ReasonCode.VOLUME_PREPARED, {"claim": claim})
            except ClaimRefusedError as error:
                start.refusal = error
                return ()
        return ()

    def _lost(self, start: Start, name: Name, why: str) -> tuple[()]:
        start.refusal = ClaimRefusedError(f"ResourceClaim {'/'.join(name)}: {why}")
        return ()

    async def _go_back(self, start: Start) -> None:
        """Give back all claims of pods that do not start, then the pods themselves."""
        assert start.refusal is not None
        if not isinstance(start.refusal, LeaseLostError):
            try:
                facts = self._store.pods.facts
                # Somebody else may have bound one.
                await self.give_back(*(key for key in start.keys if key not in facts or not facts[key].bound))
            except LeaseLostError as error:
                start.refusal = error
            except Exception:  # the edge of the loop
                _log.exception("claims not given back", pods=[str(key) for key in start.keys])
        for bind in start.binds:
            self.done(pod_of(bind))
            self._refuse(bind, start.refusal, start.blame)

    def _all(self) -> set[Start]:
        return {start for starts in self._waiting.values() for start in starts}
