"""Faults on demand: a test says what shall go wrong next, and how often."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kai_py.minicluster.refusals import RefusedError
from kai_py.minicluster.store import Store

_REASONS = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


class ConnectionCut(Exception):  # noqa: N818  # not an error of ours
    """The connection is to be closed without an answer."""


@dataclass(slots=True)
class _Rule:
    verb: str
    path: re.Pattern[str]
    left: int
    status: int
    delay: float
    cut: bool
    after: bool
    retry_after: int | None
    hits: int = 0


class FaultInjector:
    """What shall go wrong. Rules are tried in the order they were added; the first that matches is used up by one."""

    def __init__(self, store: Store, *, down: Callable[[], Awaitable[None]], up: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._down = down
        self._up = up
        self._rules: list[_Rule] = []

    def answer(
        self,
        status: int,
        *,
        verb: str = ".*",
        path: str = ".*",
        times: int = 1,
        after: bool = False,
        retry_after: int | None = None,
    ) -> None:
        """Answer the next requests with an error.

        Args:
            status: of the answer.
            verb: regular expression for the HTTP method.
            path: regular expression to be found in path and query.
            times: how many requests.
            after: carry out the request first, so that only its answer is lost.
            retry_after: seconds for the ``Retry-After`` header.
        """
        self._add(verb, path, times, status=status, after=after, retry_after=retry_after)

    def cut(self, *, verb: str = ".*", path: str = ".*", times: int = 1, after: bool = False) -> None:
        """Close the connection of the next requests without an answer; with ``after``, once they are carried out."""
        self._add(verb, path, times, cut=True, after=after)

    def delay(self, seconds: float, *, verb: str = ".*", path: str = ".*", times: int = 1) -> None:
        """Let the next requests wait before they are carried out."""
        self._add(verb, path, times, delay=seconds)

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self._rules.clear()

    @property
    def pending(self) -> int:
        """How many faults are still to come."""
        return sum(rule.left for rule in self._rules)

    def break_watches(self) -> None:
        """End every watch now. Clients resume from where they were."""
        for collection in self._store.collections.values():
            collection.disconnect()

    def compact(self) -> None:
        """Forget all history now: whoever resumes from an older resourceVersion gets 410."""
        self._store.revision += 1
        for collection in self._store.collections.values():
            collection.compact(self._store.revision)

    async def pause(self) -> None:
        """Take the server down: connections break, new ones are refused. What is stored stays."""
        await self._down()

    async def resume(self) -> None:
        """Take the server up again, at the same address."""
        await self._up()

    def _add(
        self,
        verb: str,
        path: str,
        times: int,
        *,
        status: int = 0,
        delay: float = 0.0,
        cut: bool = False,
        after: bool = False,
        retry_after: int | None = None,
    ) -> None:
        self._rules.append(
            _Rule(verb, re.compile(path), times, status, delay, cut, after=after, retry_after=retry_after)
        )

    async def before(self, verb: str, path: str) -> Callable[[], None] | None:
        """Let a request meet its fault.

        Returns:
            What to call once the request is carried out, if its answer is to be lost.

        Raises:
            RefusedError: the answer that was asked for.
            ConnectionCut: close without an answer.
        """
        rule = self._match(verb, path) if self._rules else None
        if rule is None:
            return None
        if rule.delay:
            await asyncio.sleep(rule.delay)
            return None
        if rule.after:
            return lambda: _strike(rule)
        _strike(rule)
        return None

    def _match(self, verb: str, path: str) -> _Rule | None:
        for rule in self._rules:
            if re.fullmatch(rule.verb, verb) and rule.path.search(path):
                rule.left -= 1
                if not rule.left:
                    self._rules.remove(rule)
                return rule
        return None


def _strike(rule: _Rule) -> None:
    if rule.cut:
        raise ConnectionCut
    raise RefusedError(
        rule.status,
        _REASONS.get(rule.status, "Unknown"),
        f"injected fault: {rule.status}",
        retry_after=rule.retry_after,
    )
