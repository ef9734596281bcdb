"""Leader election on a Lease, with a fence: who may have lost the lease sends no more decisions.

The protocol is client-go's, so that tools which show leases understand ours. One replica holds the lease and renews
it; the others watch it, and take it over when they have seen no renewal for its whole duration, by their own clock.
The holder must stop earlier than that: its fence closes at the renew deadline, counted from the start of the last
renewal that is known to have succeeded. Time passes on no two machines in the same way, but a monotonic clock loses
no third of ten seconds, and only differences of one clock are ever compared: what the lease says about the time of day
is for people.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
import structlog

from kai_py.errors import ApiError, ConflictError, LeaseLostError, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.resource import ResourceKind

_log = structlog.get_logger()

#: Who takes over a lease that was given back waits for so long at most: what its holder sent last may still be on its
#: way, and then to us by the watch. Seconds.
HANDOVER: Final = 1.0
#: A Lease's times have microseconds.
_MICRO_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"


def awake_or_asleep() -> float:
    """Monotonic seconds that also pass while the machine is suspended, where the system can tell.

    A leader whose machine was put to sleep would otherwise wake up with a lease that it believes to be fresh.
    """
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot is None else time.clock_gettime(boot)


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds. ``duration`` > ``renew_deadline`` > ``retry``; the defaults are client-go's.

    Attributes:
        duration: others may take over when they have seen no renewal for so long. The API knows whole seconds: parts of
            one are rounded up.
        renew_deadline: the holder stops when it has not renewed for so long.
        retry: between two renewals, and between two attempts to become the holder.
    """

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not self.duration > self.renew_deadline > self.retry > 0:
            raise ValueError("a lease needs duration > renew_deadline > retry > 0")


class LeaseSpec(msgspec.Struct, rename="camel"):
    """A Lease's spec, as far as the protocol uses it."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(msgspec.Struct):
    """A Lease. ``metadata`` is kept whole: what others have put there survives our updates."""

    metadata: dict[str, Any]
    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)
    kind: str = "Lease"
    api_version: str = msgspec.field(default="coordination.k8s.io/v1", name="apiVersion")


LEASES: Final = ResourceKind("coordination.k8s.io", "v1", "leases", Lease)
_LEASE = msgspec.json.Decoder(Lease)


class Leadership:
    """Our claim to a lease. ``check`` is the fence; ``run`` keeps the claim alive.

    Args:
        client: the API server.
        namespace: of the Lease.
        name: of the Lease; it is created if need be.
        identity: who we are; unique among the replicas, also after a restart.
        times: see there.
        on_started: called when we become the leader.
        on_lost: called when we are not any more; ``check`` raises already.
        clock: monotonic seconds.
        sleep: how to wait; tests replace it.

    Attributes:
        holder: who held the lease when we last looked; empty if nobody.
    """

    def __init__(
        self,
        client: ApiClient,
        namespace: str,
        name: str,
        identity: str,
        *,
        times: LeaseTimes = LeaseTimes(),
        on_started: Callable[[], None] = lambda: None,
        on_lost: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = awake_or_asleep,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.identity = identity
        self.holder = ""
        self._client = client
        self._collection = LEASES.path(namespace)
        self._path = LEASES.path(namespace, name)
        self._fresh_metadata = {"namespace": namespace, "name": name}
        self._times = times
        self._on_started = on_started
        self._on_lost = on_lost
        self._clock = clock
        self._sleep = sleep
        self._seen: Lease | None = None
        self._must_read = True
        self._given_back = False
        self._seen_at = 0.0
        self._leading = False
        self._valid_until = 0.0

    def on_change(self, *, started: Callable[[], None], lost: Callable[[], None]) -> None:
        """Set what is called when we become the leader, and when we are not any more."""
        self._on_started, self._on_lost = started, lost

    @property
    def is_leader(self) -> bool:
        """Whether decisions may be sent at this very moment."""
        return self._leading and self._clock() < self._valid_until

    def check(self) -> None:
        """The fence.

        Raises:
            LeaseLostError: we are not the leader, or have not renewed in time. It does not matter whether anybody
                has noticed: the clock alone decides.
        """
        if not self.is_leader:
            raise LeaseLostError(f"{self.identity} does not hold the lease {self._path}")

    async def run(self) -> None:
        """Wait for the lease, lead, and start over when it is lost; until cancelled, when the lease is released."""
        try:
            while True:
                await self._acquire()
                await self._lead()
        finally:
            self._stop()
            await self._release()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Leadership]:
        """Run in the background for as long as the block lasts."""
        task = asyncio.create_task(self.run(), name="leader election")
        try:
            yield self
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _acquire(self) -> None:
        while not await self._attempt(within=self._times.renew_deadline):
            await self._sleep(self._pause())
        if self._given_back:
            # Of a lease that ran out, as much time has passed since its holder's fence closed.
            times = self._times
            await self._sleep(min(HANDOVER, times.duration - times.renew_deadline, times.renew_deadline / 2))
        self._leading = True
        _log.info("leading", identity=self.identity, lease=self._path)
        self._on_started()

    def _pause(self) -> float:
        """Seconds until the next try: at the latest when the lease runs out, or one more retry would be lost."""
        # Jitter, so that replicas that were started together do not collide each time.
        pause = self._times.retry * random.uniform(1.0, 1.2)  # noqa: S311  # not a secret
        left = self._expiry(self._seen) - self._clock() if self._seen is not None and self.holder else 0.0
        return min(pause, left) if left > 0 else pause

    async def _lead(self) -> None:
        """Renew until the deadline passes without success, or somebody else holds the lease."""
        while (left := self._valid_until - self._clock()) > 0:
            await self._sleep(min(self._times.retry, left))
            left = self._valid_until - self._clock()
            if left <= 0:
                break
            # One request that hangs, on a connection that is dead without anybody's knowing, must not cost the lease.
            renewed = await self._attempt(within=min(left, self._times.renew_deadline / 2))
            if not renewed and self.holder != self.identity:
                break
        self._stop()

    def _stop(self) -> None:
        if self._leading:
            self._leading = False
            _log.warning("no longer leading", identity=self.identity, lease=self._path, holder=self.holder)
            self._on_lost()

    async def _attempt(self, *, within: float) -> bool:
        """Try to take or renew the lease once; whatever goes wrong is a failure and will be tried again."""
        began = self._clock()
        try:
            async with asyncio.timeout(within):
                if not await self._take_or_renew():
                    return False
        except ConflictError:
            _log.info("lease changed under our hands", lease=self._path)
        except (ApiError, TimeoutError, msgspec.MsgspecError) as error:
            _log.warning("lease not renewed", lease=self._path, error=str(error) or type(error).__name__)
        else:
            self._must_read = False
            # From the start of the request: how long its answer took is lost to us, but not to those who watch.
            self._valid_until = began + self._times.renew_deadline
            return True
        self._must_read = True
        return False

    async def _take_or_renew(self) -> bool:
        """Write our claim, if nobody else's is valid.

        Raises:
            ConflictError: somebody was faster.
        """
        # A holder renews from what it wrote last: half the requests, and the resourceVersion notices any other writer.
        lease = await self._read() if self._must_read else self._seen
        if lease is None:
            new = Lease(metadata=self._fresh_metadata, spec=self._claim(None))
            self._observe(await self._client.post(self._collection, new))
            return True
        if not self._may_take(lease):
            return False
        self._given_back = not lease.spec.holder_identity
        claim = Lease(metadata=lease.metadata, spec=self._claim(lease.spec))
        self._observe(await self._client.put(self._path, claim))
        return True

    async def _read(self) -> Lease | None:
        try:
            return self._observe(await self._client.get(self._path))
        except NotFoundError:
            return None

    def _observe(self, body: bytes) -> Lease:
        """Remember a lease that the server has sent, and since when it looks like this."""
        lease = _LEASE.decode(body)
        if self._seen is None or lease.spec != self._seen.spec:
            self._seen_at = self._clock()
        self._seen = lease
        self.holder = lease.spec.holder_identity or ""
        return lease

    def _may_take(self, lease: Lease) -> bool:
        """Whether the lease is free, ours, or has not been renewed for its duration, by our clock."""
        if self.holder in ("", self.identity):
            return True
        return self._clock() >= self._expiry(lease)

    def _expiry(self, lease: Lease) -> float:
        """When a lease that is not renewed any more may be taken, by our clock."""
        return self._seen_at + (lease.spec.lease_duration_seconds or self._times.duration)

    def _claim(self, before: LeaseSpec | None) -> LeaseSpec:
        now = datetime.now(UTC).strftime(_MICRO_TIME)
        ours = before is not None and before.holder_identity == self.identity
        transitions = (before.lease_transitions or 0) if before else 0
        return LeaseSpec(
            holder_identity=self.identity,
            # Whole seconds. Rounded down, others could take over before our own deadline.
            lease_duration_seconds=math.ceil(self._times.duration),
            acquire_time=before.acquire_time if before and ours else now,
            renew_time=now,
            lease_transitions=transitions if ours or before is None else transitions + 1,
        )

    async def _release(self) -> None:
        """Give the lease back, so that the next leader need not wait for it to run out. Best effort."""
        if self.holder != self.identity:
            return
        try:
            async with asyncio.timeout(self._times.retry):
                lease = await self._read()
                if lease is not None and self.holder == self.identity:
                    spec = self._claim(lease.spec)
                    spec.holder_identity, spec.lease_duration_seconds = "", 1
                    self._observe(await self._client.put(self._path, Lease(metadata=lease.metadata, spec=spec)))
        except (ApiError, TimeoutError, msgspec.MsgspecError) as error:
            _log.warning("lease not released", lease=self._path, error=str(error) or type(error).__name__)
