"""Asks the API server which namespaces may use which queues, where settings say so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
import structlog

from kai_py.api.keys import RUN_AI_GROUP
from kai_py.cluster.access import AccessBook, Pair
from kai_py.errors import ApiError
from kai_py.kube.client import ApiClient

_log = structlog.get_logger()

PATH: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
VERB: Final = "use"
#: Answers are asked for again after so many seconds: a right that was taken away ends then.
REFRESH: Final = 60.0
#: Somebody who has just come waits no longer than this for being asked about, in seconds.
TURN: Final = 0.2
#: Reviews in flight.
CONCURRENCY: Final = 8


class _Status(msgspec.Struct):
    allowed: bool = False
    denied: bool = False


class _Review(msgspec.Struct):
    status: _Status = msgspec.field(default_factory=_Status)


def review_of(queue: str, namespace: str) -> dict[str, Any]:
    """The question whether the service accounts of a namespace may use a queue.

    The subject is the namespace's default service account with the groups that every one of them has, so that one
    ClusterRoleBinding for the group ``system:serviceaccounts:<namespace>`` opens a queue for a team.
    """
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": f"system:serviceaccount:{namespace}:default",
            "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
            "resourceAttributes": {"group": RUN_AI_GROUP, "resource": "queues", "name": queue, "verb": VERB},
        },
    }


async def may_use(client: ApiClient, queue: str, namespace: str) -> bool:
    """Whether the service accounts of a namespace may use a queue.

    Raises:
        ApiError: there was no answer.
    """
    answer = msgspec.json.decode(await client.post(PATH, review_of(queue, namespace)), type=_Review)
    return answer.status.allowed and not answer.status.denied


class QueueReviews:
    """Keeps the answers that the book of access needs.

    Args:
        client: the API server.
        book: says what is wanted.
        wake: called when an answer is new.
    """

    def __init__(self, client: ApiClient, book: AccessBook, wake: Callable[[], None]) -> None:
        self._client = client
        self._book = book
        self._wake = wake

    async def run(self) -> None:
        """Ask, until cancelled."""
        age = 0.0
        while True:
            await asyncio.sleep(TURN)
            age += TURN
            if not self._book.reviewing:
                continue
            if age >= REFRESH:
                age = 0.0
                self._book.forget_missing()
                await self.ask([*self._book.reviews, *self._book.wanted])
            elif self._book.wanted:
                await self.ask(list(self._book.wanted))

    async def ask(self, pairs: Iterable[Pair]) -> None:
        """Ask about some pairs; where there is no answer, what was answered before holds, and nobody new comes in."""
        slots = asyncio.Semaphore(CONCURRENCY)
        found: dict[Pair, bool] = {}

        async def one(pair: Pair) -> None:
            async with slots:
                try:
                    found[pair] = await may_use(self._client, *pair)
                except ApiError as error:
                    _log.warning("access not reviewed", queue=pair[0], namespace=pair[1], error=str(error))

        await asyncio.gather(*(one(pair) for pair in dict.fromkeys(pairs)))
        if self._book.reviewing and self._book.settle({**self._book.reviews, **found}):
            self._wake()
