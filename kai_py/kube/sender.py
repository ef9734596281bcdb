"""Sends writes: asks the fence before each, and repeats what the server could not take just now."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from kai_py.errors import ApiError, ThrottledError, UnavailableError
from kai_py.kube.backoff import Backoff
from kai_py.kube.client import JSON, ApiClient, Body, Fence

#: Tries of one write, the first included. With the waits between them they span about ten seconds.
TRIES: Final = 6
#: A longer Retry-After is not waited out: the caller has better things to do.
LONGEST_WAIT: Final = 30.0


class Sender:
    """Retries around an ``ApiClient``.

    Only two refusals are repeated here: 429, which the server has not executed, after the time it asks for; and a
    missing or 5xx answer, after which it may have been executed, hence only what is idempotent. Conflicts and the
    like are answers about the cluster, and go to the caller.

    Args:
        client: the API server.
        fence: raises ``LeaseLostError`` when we must not write; called at the last moment before every sending.
        sleep: how to wait; tests replace it.
    """

    def __init__(
        self, client: ApiClient, fence: Fence, *, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._client = client
        self._fence = fence
        self._sleep = sleep

    async def send(
        self, method: str, path: str, body: Body | None, *, content_type: str = JSON, idempotent: bool = True
    ) -> bytes:
        """Send a write until it is answered.

        Args:
            method: an HTTP method.
            path: absolute and quoted.
            body: see ``ApiClient.request``.
            content_type: of the body.
            idempotent: whether executing it twice is as good as once.

        Returns:
            The body of the answer, unparsed.

        Raises:
            LeaseLostError: the fence is closed; this try has not been sent (an earlier one may have been executed).
            ApiError: the last refusal.
        """
        backoff = Backoff(first=0.2, ceiling=5.0)
        for tries_left in range(TRIES - 1, -1, -1):
            try:
                return await self._client.request(method, path, body=body, content_type=content_type, fence=self._fence)
            except ThrottledError as error:
                if is_about_budget(error) or not tries_left or error.retry_after > LONGEST_WAIT:
                    raise
                # The jitter comes on top: the server has said the least it wants.
                await self._sleep(error.retry_after + backoff.delay())
            except UnavailableError as error:
                if is_about_budget(error) or not idempotent or not tries_left:
                    raise
                await self._sleep(backoff.delay())
        raise AssertionError("the last try returns or raises")

    async def get(self, path: str) -> bytes:
        """The same, unparsed."""
        return await self._client.get(path)

    async def get_object(self, path: str) -> dict[str, object]:
        """Read an object, to find out what a write has met. Reading needs no lease."""
        return await self._client.get_object(path)


def is_about_budget(error: ApiError) -> bool:
    """Whether a PodDisruptionBudget says no: 429 when it is used up, 500 when several select the pod."""
    by_cause = any(reason == "DisruptionBudget" for reason, _, _ in error.causes)
    return by_cause or (error.status == 500 and "PodDisruptionBudget" in str(error))
