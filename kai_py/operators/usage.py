"""Usage over time: recorded after each cycle, kept in a ConfigMap, read by whoever leads next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from kai_py.cluster.queues import QueueBook
from kai_py.cluster.usage import USAGE_KEY, USAGE_NAME, UsageBook, window_of
from kai_py.core.result import QueueShares
from kai_py.errors import ApiError, ForbiddenError, LeaseLostError, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.writer import Writer
from kai_py.operators.config_maps import put_config_map
from kai_py.operators.kinds import CONFIG_MAPS
from kai_py.settings.fairness import Usage

_log = structlog.get_logger()

NAME: Final = USAGE_NAME
KEY: Final = USAGE_KEY
#: The ConfigMap is written at most so often; a crash forgets no more than this. Seconds.
EVERY: Final = 60.0
#: How often to look whether we lead, in seconds.
TURN: Final = 1.0
#: How often queues are told their usage, in seconds: it moves slowly, and a new table costs every cycle that follows.
REFRESH: Final = 5.0
#: A pause between cycles that is longer than this says nothing about what was held meanwhile. Seconds.
LONGEST: Final = 60.0


class UsageKeeper:
    """Keeps the usage of queues.

    Args:
        client: to read with.
        writer: to write with; its fence keeps all but the leader from it.
        queues: told their usage.
        settings: those in force.
        namespace: of the ConfigMap; None = usage does not outlive the process.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        client: ApiClient,
        writer: Writer,
        queues: QueueBook,
        settings: Callable[[], Usage],
        *,
        namespace: str | None,
        clock: Callable[[], float],
    ) -> None:
        self._client = client
        self._writer = writer
        self._queues = queues
        self._settings = settings
        self._namespace = namespace
        self._clock = clock
        self._last: float | None = None
        self._told = 0.0
        #: Nothing is recorded, and above all nothing written, before what is there was read.
        self._read = namespace is None
        self.book = UsageBook()

    def lead_anew(self) -> None:
        """We lead from now on: what the last leader wrote counts, not what we remember."""
        self._read, self._last = self._namespace is None, None

    def record(self, shares: QueueShares, resources: tuple[str, ...]) -> None:
        """Take in what queues held since the last cycle."""
        settings, now = self._settings(), self._clock()
        if not settings.enabled or not self._read:
            self._last = None
            if not settings.enabled and self._queues.usage:
                self._queues.remember_usage({}, ())
            return
        self.book.window = window_of(settings)
        elapsed = min(max(0.0, now - self._last), LONGEST) if self._last is not None else 0.0
        self._last = now
        self.book.record(
            now, elapsed, resources=resources, queues=shares.names, held=shares.allocated, capacity=shares.total
        )
        if now - self._told >= REFRESH:
            self._told = now
            self.book.retain(self._queues.queues)
            self._queues.remember_usage(self.book.usage(now), self.book.resources)

    async def run(self, leading: Callable[[], bool]) -> None:
        """Read when we begin to lead, then write every minute; until cancelled."""
        waited = 0.0
        while True:
            if leading() and self._settings().enabled:
                if not self._read:
                    await self._load()
                if waited >= EVERY:
                    waited = 0.0
                    await self.save()
            await asyncio.sleep(TURN)
            waited += TURN

    async def _load(self) -> None:
        """Begin with what the last leader knew; with nothing if that cannot be read."""
        try:
            found = await self._client.get_object(CONFIG_MAPS.path(self._namespace or "", NAME))
            self.book.read(msgspec.json.decode(found["data"][KEY]))
        except NotFoundError:
            pass  # nobody has recorded yet
        except ForbiddenError as error:
            _log.warning("usage must not be read, beginning anew", error=str(error))
        except ApiError as error:
            _log.warning("usage not read, trying again", error=str(error))
            return
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            _log.warning("what is known about usage cannot be read, beginning anew", error=str(error))
        self._read = True

    async def save(self) -> None:
        """Write the book down, if we lead and have read it."""
        if self._namespace is None or not self._read or not self._settings().enabled:
            return
        text = msgspec.json.encode(self.book.document()).decode()
        try:
            await put_config_map(self._client, self._writer, self._namespace, NAME, {KEY: text})
        except LeaseLostError:
            return
        except ApiError as error:
            _log.warning("usage not written", error=str(error))
