"""Events (events.k8s.io/v1): best effort, aggregated, and never in the way of a decision."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import structlog

from kai_py.errors import ApiError, NotFoundError, ThrottledError, UnavailableError
from kai_py.kube.backoff import Backoff
from kai_py.kube.client import ApiClient

_log = structlog.get_logger()

#: The API's limit, in bytes.
NOTE_LIMIT: Final = 1024
#: Events whose notes agree so far are one series. Counts, which change all the time, mostly come later in the text.
_SAME_NOTE: Final = 32
_TRIES: Final = 3
#: While more important writes wait, so many seconds lie between two Events at least: an Event costs the API server
#: about what a binding does, and nobody waits for it.
_CROWDED: Final = 0.2
_ROOT: Final = "/apis/events.k8s.io/v1/namespaces"

Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Reference:
    """The object that an Event is about. ``namespace`` is empty for cluster-scoped kinds."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""

    def document(self) -> dict[str, str]:
        """As the API has it."""
        fields = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
            "uid": self.uid,
        }
        return {field: value for field, value in fields.items() if value}


@dataclass
class _Series:
    """One Event object and what is still to be said about it."""

    regarding: Reference
    type: str
    reason: str
    action: str
    note: str
    related: Reference | None
    first_at: datetime
    last_at: datetime
    seen_at: float
    count: int = 1
    name: str = ""
    tries: int = 0

    @property
    def collection(self) -> str:
        return f"{_ROOT}/{self.regarding.namespace or 'default'}/events"


class EventRecorder:
    """Takes events from the hot path and sends them at its own pace.

    Events with the same object, type, reason and beginning of the note are one series within ``window``: what has not
    been sent yet is counted, what has been sent is updated. When more are waiting than ``capacity``, the oldest are
    dropped: the newest news is worth most.

    Args:
        client: the API server.
        controller: the scheduler's name.
        instance: which of its replicas.
        capacity: how many series may wait.
        per_second: events sent per second in the long run; each costs the API server about what a bind does.
        burst: how many may be sent at once after a quiet time.
        window: seconds after which a repetition is a new Event.
        clock: monotonic seconds.
        sleep: how to wait; tests replace it.

    Attributes:
        sent: requests that succeeded.
        dropped: series given up, because too many were waiting.
        failed: series given up, because the server refused them.
    """

    def __init__(
        self,
        client: ApiClient,
        controller: str,
        instance: str,
        *,
        capacity: int = 4096,
        per_second: float = 50.0,
        burst: int = 500,
        window: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.sent = self.dropped = self.failed = 0
        self._client = client
        self._controller = controller
        self._instance = instance[:128]
        self._capacity = capacity
        self._per_second = per_second
        self._burst = burst
        self._window = window
        self._clock = clock
        self._sleep = sleep
        self._waiting: OrderedDict[Key, _Series] = OrderedDict()
        self._known: OrderedDict[Key, _Series] = OrderedDict()
        self._wake = asyncio.Event()
        self._tokens = float(burst)
        self._filled_at = clock()

    def record(
        self,
        regarding: Reference,
        reason: str,
        note: str,
        *,
        action: str,
        type: Literal["Normal", "Warning"] = "Normal",  # noqa: A002  # the API's own word
        related: Reference | None = None,
    ) -> None:
        """Note that something has happened. Never waits and never raises.

        Args:
            regarding: the object.
            reason: why, in CamelCase, e.g. ``FailedScheduling``.
            note: the sentence for people; what exceeds 1024 bytes is cut off.
            action: what we did or tried to, e.g. ``Scheduling``.
            type: ``Warning`` for what should not be.
            related: another object that matters, e.g. the preemptor.
        """
        now, wall = self._clock(), datetime.now(UTC)
        key = (
            regarding.uid or f"{regarding.kind}/{regarding.namespace}/{regarding.name}",
            type,
            reason,
            note[:_SAME_NOTE],
        )
        series = self._known.get(key)
        if series is None or now - series.seen_at > self._window:
            series = _Series(regarding, type, reason, action, shorten(note), related, wall, wall, now)
        else:
            series.count += 1
            series.last_at, series.seen_at = wall, now
        self._known[key] = series
        self._known.move_to_end(key)
        self._waiting[key] = series
        self._limit()
        self._wake.set()

    @property
    def backlog(self) -> int:
        """How many series wait to be sent."""
        return len(self._waiting)

    async def run(self, crowded: Callable[[], bool] = lambda: False) -> None:
        """Send what is recorded, until cancelled.

        Args:
            crowded: whether decisions wait to be sent. Events give way to them, but do not stop.
        """
        backoff = Backoff(first=1.0)
        while True:
            while not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            if crowded():
                await self._sleep(_CROWDED)
            await self._take_token()
            if not self._waiting:
                continue
            key, series = self._waiting.popitem(last=False)
            try:
                await self._send(series)
            except (UnavailableError, ThrottledError) as error:
                self._retry(key, series)
                await self._sleep(max(backoff.delay(), error.retry_after if isinstance(error, ThrottledError) else 0.0))
            except ApiError as error:
                # For instance: the namespace is being deleted. There will be no other answer.
                self._give_up(key, error)
            else:
                self.sent += 1
                series.tries = 0
                backoff.reset()

    async def _send(self, series: _Series) -> None:
        """Create the Event, or bring its series up to date."""
        if series.name:
            patch = {"series": {"count": series.count, "lastObservedTime": _micro_time(series.last_at)}}
            try:
                await self._client.patch(f"{series.collection}/{series.name}", patch)
            except NotFoundError:
                series.name = ""  # its hour has passed, and the server has removed it
            else:
                return
        name = f"{series.regarding.name[:200]}.{secrets.token_hex(8)}"
        await self._client.post(series.collection, self._document(series, name))
        series.name = name

    def _document(self, series: _Series, name: str) -> dict[str, Any]:
        document: dict[str, Any] = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": series.regarding.namespace or "default"},
            "eventTime": _micro_time(series.first_at),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "type": series.type,
            "reason": series.reason,
            "action": series.action,
            "note": series.note,
            "regarding": series.regarding.document(),
        }
        if series.related is not None:
            document["related"] = series.related.document()
        if series.count > 1:
            document["series"] = {"count": series.count, "lastObservedTime": _micro_time(series.last_at)}
        return document

    async def _take_token(self) -> None:
        """Wait until the rate allows one more request."""
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        self._tokens -= 1
        if self._tokens < 0:
            await self._sleep(-self._tokens / self._per_second)

    def _retry(self, key: Key, series: _Series) -> None:
        series.tries += 1
        if series.tries >= _TRIES:
            series.tries = 0
            self.failed += 1
            return
        self._waiting.setdefault(key, series)
        self._waiting.move_to_end(key, last=False)
        self._limit()

    def _give_up(self, key: Key, error: ApiError) -> None:
        self.failed += 1
        self._known.pop(key, None)
        _log.debug("event refused", error=str(error))

    def _limit(self) -> None:
        """Forget the oldest of what is too much."""
        while len(self._waiting) > self._capacity:
            self._waiting.popitem(last=False)
            self.dropped += 1
        while len(self._known) > 4 * self._capacity:
            self._known.popitem(last=False)


def shorten(note: str) -> str:
    """Make of a note what the API takes: valid UTF-8, cut between two characters if it is too long."""
    encoded = note.encode(errors="replace")
    if len(encoded) <= NOTE_LIMIT:
        return encoded.decode()
    ellipsis = "…"
    return encoded[: NOTE_LIMIT - len(ellipsis.encode())].decode(errors="ignore") + ellipsis


def _micro_time(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
