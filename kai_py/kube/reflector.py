"""Keeps a sink up to date with all objects of one kind: list once, then watch for as long as the process lives."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Final, Generic, Protocol, TypeVar

import msgspec
import structlog

from kai_py.errors import (
    ApiError,
    ForbiddenError,
    GoneError,
    KaiError,
    MalformedObjectError,
    NotFoundError,
    ThrottledError,
    UnavailableError,
)
from kai_py.kube.backoff import Backoff
from kai_py.kube.client import JSON, ApiClient, Params
from kai_py.kube.resource import ResourceKind
from kai_py.kube.wire import Batch, EventType, Lines, OnMalformed, read_events, read_page

_log = structlog.get_logger()

T = TypeVar("T", bound=msgspec.Struct)

PAGE_SIZE: Final = 500
#: A watch is renewed by the server after a time in this range, so that all watches do not end together.
WATCH_SECONDS: Final = (300, 600)
#: After a time in this range everything is listed again, with the next watch. By its contract a watch loses nothing; if
#: one does (a proxy, a bug), nobody would ever know.
RELIST_SECONDS: Final = (1800, 3600)
#: The server sends a bookmark about every minute; without any byte for this long the connection is dead.
SILENCE_SECONDS: Final = 150.0
#: How often to look for a kind that is not installed.
ABSENT_SECONDS: Final = 30.0
#: A watch that ends sooner and empty counts as a failure, or a broken proxy would be asked in a tight loop.
_SHORT_SECONDS: Final = 1.0

_METADATA_LIST: Final = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"


class Sink(Protocol[T]):
    """Where objects go. Both methods are called from the event loop, must not block, and must not raise."""

    def replace(
        self, resource: ResourceKind[T], objects: Sequence[T], unreadable: AbstractSet[tuple[str, str]]
    ) -> None:
        """These are all objects of the kind, at one moment.

        What the sink knows besides them is deleted. An object may have been deleted and made again under the same
        name meanwhile: compare uids. ``unreadable`` are ``(namespace, name)`` of objects that exist but could not be
        decoded: keep what is known of them.
        """

    def apply(self, resource: ResourceKind[T], events: Sequence[tuple[EventType, T]]) -> None:
        """This has happened since, in this order. After a reconnection an event may be repeated."""


class PagedSink(Sink[T], Protocol):
    """A sink that takes a list page by page, so that nobody holds all of its objects at once."""

    def forget_others(
        self, resource: ResourceKind[T], uids: AbstractSet[str], unreadable: AbstractSet[tuple[str, str]]
    ) -> None:
        """A list is complete: its objects have been applied as ADDED, and what is not among them is deleted."""


class Reflector(Generic[T]):
    """Lists and watches one kind. ``run`` it as a task; it ends when that is cancelled.

    It survives whatever the server does: refusals, restarts, broken connections, forgotten versions.

    Args:
        client: the API server.
        resource: what to watch; its struct must have ``metadata``.
        sink: told about everything; an exception of the sink is a bug and ends ``run``.
        namespace: only objects in it; empty for all.
        field_selector: only objects that match it.
        label_selector: only objects that match it.
        metadata_only: ask for metadata alone; the struct should be ``PartialObject``.
        paged: the sink, if it wants each page of a list as it comes. 50,000 pods at once cost 270 MB.
        optional: the kind need not be served. While it is not, it counts as synced, with no objects.
        dispensable: nor need we be allowed to read it: the same.
        on_malformed: told about objects that cannot be decoded; by default they are logged.
        clock: monotonic seconds.
        sleep: how to wait; tests replace it.

    Attributes:
        synced: set as soon as the sink has been given a complete list.
        last_error: why the last try failed; None while all is well.
        resource_version: up to where we have seen the history; empty before the first list.
        relists: how many complete lists the sink has been given.
        served: whether the last list was answered: the kind is there, and we may read it.
        unreadable: keys of objects that exist and cannot be decoded as they are now.
    """

    def __init__(
        self,
        client: ApiClient,
        resource: ResourceKind[T],
        sink: Sink[T],
        *,
        paged: PagedSink[T] | None = None,
        namespace: str = "",
        field_selector: str = "",
        label_selector: str = "",
        metadata_only: bool = False,
        optional: bool = False,
        dispensable: bool = False,
        on_malformed: OnMalformed | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self.last_error: KaiError | None = None
        self.resource_version = ""
        self.relists = 0
        self.served = True
        self.unreadable: AbstractSet[tuple[str, str]] = frozenset()
        self._client = client
        self._sink = sink
        self._paged = paged
        self._path = resource.path(namespace)
        selectors = {"fieldSelector": field_selector, "labelSelector": label_selector}
        self._selectors = {key: value for key, value in selectors.items() if value}
        self._metadata_only = metadata_only
        self._optional = optional or dispensable
        self._dispensable = dispensable
        self._on_malformed = on_malformed or _log_malformed
        self._clock = clock
        self._sleep = sleep
        self._backoff = Backoff()
        self._listed_in_vain = False
        self._heard_at: float | None = None
        self._list_again_at = 0.0

    @property
    def staleness(self) -> float:
        """Seconds since the server has last told us anything about this kind; infinite before the first list."""
        return float("inf") if self._heard_at is None else self._clock() - self._heard_at

    async def run(self) -> None:
        """List and watch, for ever."""
        while True:
            try:
                if not self.resource_version or self._clock() >= self._list_again_at:
                    await self._list()
                if await self._watch():
                    self._restarts("ended")
                    self._backoff.reset()
                else:
                    self._restarts("empty")
                    await self._sleep(self._backoff.delay())
            except GoneError as error:
                # Our version has been compacted away. That is no failure: list again, and at once, unless the
                # list before this has led nowhere either.
                self._note(error)
                self.resource_version = ""
                if self._listed_in_vain:
                    await self._sleep(self._backoff.delay())
                self._listed_in_vain = True
            except NotFoundError as error:
                await self._absent(error)
            except ForbiddenError as error:
                # Who is not recognised (401) may well be allowed to.
                known = error.status != 401
                await (self._absent(error) if self._dispensable and known else self._trouble(error))
            except ThrottledError as error:
                self._note(error)
                await self._sleep(max(error.retry_after, self._backoff.delay()))
            except (ApiError, MalformedObjectError) as error:
                await self._trouble(error)

    async def _list(self) -> None:
        """Read all pages and hand them over. A 410 between pages surfaces and starts over."""
        objects: list[T] = []
        uids: set[str] = set()
        unreadable: set[tuple[str, str]] = set()
        params: dict[str, str | int] = {**self._selectors, "limit": PAGE_SIZE}
        while True:
            body = await self._client.get(self._path, params=params, accept=self._accept(_METADATA_LIST))
            page = read_page(self.resource.struct, body, self._on_malformed)
            unreadable |= page.unreadable
            if self._paged is None:
                objects += page.objects
            else:
                uids.update(obj.metadata.uid for obj in page.objects)  # type: ignore[attr-defined]  # see the class
                self._paged.apply(self.resource, [("ADDED", obj) for obj in page.objects])
            if not page.next_token:
                break
            params["continue"] = page.next_token
        self.served = True
        if self._paged is None:
            self._sink.replace(self.resource, objects, unreadable)
        else:
            self._paged.forget_others(self.resource, uids, unreadable)
        self.resource_version = page.resource_version
        self._list_again_at = self._clock() + random.randint(*RELIST_SECONDS)  # noqa: S311  # jitter, not a secret
        self.relists += 1
        self.unreadable = frozenset(unreadable)
        self._heard()
        self.synced.set()

    async def _watch(self) -> bool:
        """Follow one watch to its end; tells whether it was of any use."""
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311  # jitter, not a secret
        params: Params = {
            **self._selectors,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self.resource_version,
            "timeoutSeconds": seconds,
        }
        began = self._clock()
        useful = False
        lines = Lines()
        stream = self._client.stream(
            self._path, params=params, accept=self._accept(_METADATA), total=seconds + 30, silence=SILENCE_SECONDS
        )
        async with stream as pieces:
            async for piece in pieces:
                useful = self._take(lines.feed(piece)) or useful
        return useful or self._clock() - began >= _SHORT_SECONDS

    def _take(self, lines: Sequence[bytes]) -> bool:
        """Hand over what the lines say; tells whether they have said anything.

        Raises:
            ApiError: the watch has ended with an error.
        """
        if not lines:
            return False
        batch = read_events(self.resource.struct, lines, self._on_malformed)
        if batch.events:
            self._sink.apply(self.resource, batch.events)
        self._note_unreadable(batch)
        if batch.resource_version:
            # Only now: a version that the sink has not seen must not be resumed from.
            self.resource_version = batch.resource_version
            self._listed_in_vain = False
            self._backoff.reset()
            self._heard()
        if batch.error is not None:
            raise batch.error
        return bool(batch.resource_version)

    def _note_unreadable(self, batch: Batch[T]) -> None:
        """Keep count of what cannot be decoded. Mostly nothing is, and nothing has to be done."""
        if self.unreadable:
            self.unreadable -= {obj.metadata.key for _, obj in batch.events}  # type: ignore[attr-defined]  # see above
        if batch.unreadable:
            there = {key for key, exists in batch.unreadable.items() if exists}
            self.unreadable = (self.unreadable - batch.unreadable.keys()) | there

    async def _trouble(self, error: KaiError) -> None:
        """Mostly an UnavailableError. The others (forbidden, malformed list) may be mended by an administrator."""
        self._note(error)
        await self._sleep(self._backoff.delay())

    async def _absent(self, error: NotFoundError | ForbiddenError) -> None:
        """The kind is not served, or not to us: there are no objects of it. That may change at any time."""
        self.resource_version = ""
        self._note(error)
        if not self._optional:
            await self._sleep(self._backoff.delay())
            return
        self.served = False
        self.unreadable = frozenset()
        self._sink.replace(self.resource, [], set())
        self._heard_at = self._clock()
        self.synced.set()
        await self._sleep(ABSENT_SECONDS)

    def _accept(self, metadata_form: str) -> str:
        return metadata_form if self._metadata_only else JSON

    def _heard(self) -> None:
        self._heard_at = self._clock()
        self.last_error = None

    def _restarts(self, cause: str) -> None:
        self._client.observer.restarted(self.resource.full_name, cause)

    def _note(self, error: KaiError) -> None:
        if self.served:  # else there is no watch: we only look now and then whether there is anything to watch
            self._restarts(error.code)
        if type(error) is not type(self.last_error) and not (self._optional and isinstance(error, NotFoundError)):
            # Once per kind of trouble: during an outage every try fails with the same words.
            level = "info" if isinstance(error, GoneError | UnavailableError) else "warning"
            getattr(_log, level)("watch interrupted", resource=str(self.resource), error=str(error))
        self.last_error = error


def _log_malformed(kind: str, name: str, error: MalformedObjectError) -> None:
    _log.warning("malformed object ignored", kind=kind, object=name, error=str(error))
