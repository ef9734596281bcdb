"""Who may use which queue: what stands between a podgroup and another team's share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from kai_py.api.queue import Queue
from kai_py.cluster.encode.selectors import Selector
from kai_py.cluster.namespaces import NAME_LABEL, NamespaceBook
from kai_py.cluster.pods import Blocked
from kai_py.cluster.queues import QueueBook
from kai_py.core.result import ReasonCode
from kai_py.errors import MalformedObjectError

#: Queue and namespace.
Pair = tuple[str, str]
#: What is said where nobody has answered yet.
ASKED: Final = "the API server has not answered yet"


class AccessBook:
    """Tells whether podgroups of a namespace may use a queue.

    Two rules, which must both hold. The queue and every queue above it let the namespace in
    (``spec.allowedNamespaces``; absent = everybody). And where reviews are asked for, the service accounts of the
    namespace may ``use`` the queue by the cluster's own authorisation. Namespaces are the grain, because whoever may
    create pods in one may use any of its service accounts.

    Args:
        queues: all of them.
        namespaces: their labels. One that was not seen is let in by its name alone, never by what it does not have.

    Attributes:
        reviewing: whether the API server is asked as well.
        reviews: what it has answered.
        wanted: pairs that somebody has asked about since it did.
    """

    def __init__(self, queues: QueueBook, namespaces: NamespaceBook) -> None:
        self._queues = queues
        self._namespaces = namespaces
        self.reviewing = False
        self.reviews: Mapping[Pair, bool] = {}
        self.wanted: dict[Pair, None] = {}
        self._selectors: tuple[int, dict[str, Selector | None]] = (-1, {})
        self._verdicts: dict[Pair, Blocked | None] = {}
        self._stamp: object = None
        self._answers = 0

    @property
    def restricts(self) -> bool:
        """Whether anybody is kept from any queue."""
        return self.reviewing or bool(self._restrictions())

    @property
    def queues_revision(self) -> int:
        """Grows with every change of any queue."""
        return self._queues.revision

    def stamp(self) -> object:
        """Another value whenever a verdict may have changed."""
        if not self.restricts:
            return None
        return self._queues.revision, self._namespaces.revision, self._answers, self.reviewing

    def review(self, *, wanted: bool) -> bool:
        """Ask the API server from now on, or no more; tells whether that is new."""
        changed, self.reviewing = self.reviewing != wanted, wanted
        if not wanted:
            self.reviews, self.wanted = {}, {}
        return changed

    def settle(self, answers: Mapping[Pair, bool]) -> bool:
        """Take in all answers that hold; tells whether any is new."""
        for pair in answers:
            self.wanted.pop(pair, None)
        if answers == self.reviews:
            return False
        self.reviews = dict(answers)
        self._answers += 1
        return True

    def forget_missing(self) -> None:
        """Drop answers about queues that are gone."""
        self.reviews = {pair: said for pair, said in self.reviews.items() if pair[0] in self._queues.queues}
        self.wanted = {pair: None for pair in self.wanted if pair[0] in self._queues.queues}

    def refusal(self, queue: str, namespace: str) -> Blocked | None:
        """Why podgroups of a namespace may not use a queue; None if they may, or the queue cannot be used at all."""
        if not self.restricts:
            return None
        if (stamp := self.stamp()) != self._stamp:
            self._stamp, self._verdicts = stamp, {}
        pair = (queue, namespace)
        if pair not in self._verdicts:
            self._verdicts[pair] = self._refusal(queue, namespace)
        return self._verdicts[pair]

    def unusable(self, queue: str) -> Blocked | None:
        """Why nobody can use a queue, whoever it is; None if it exists and its parents are a tree."""
        if queue in self._queues.queues and queue not in self._queues.faults:
            return None
        code = ReasonCode.QUEUE_INVALID if self._queues.is_unsound(queue) else ReasonCode.QUEUE_MISSING
        return code, {"queue": queue}

    def _refusal(self, queue: str, namespace: str) -> Blocked | None:
        if self.unusable(queue) is not None:
            return None
        told = {"queue": queue, "namespace": namespace}
        selectors = self._restrictions()
        for name in path(self._queues.queues, queue):
            if name in selectors and not self._lets_in(selectors[name], namespace):
                return ReasonCode.QUEUE_FORBIDDEN, {**told, "by": name, "selector": str(selectors[name] or "")}
        if not self.reviewing or self.reviews.get((queue, namespace)):
            return None
        if (queue, namespace) not in self.reviews:
            self.wanted[queue, namespace] = None
            return ReasonCode.QUEUE_FORBIDDEN, {**told, "message": ASKED}
        return ReasonCode.QUEUE_FORBIDDEN, {**told, "verb": "use"}

    def _lets_in(self, selector: Selector | None, namespace: str) -> bool:
        if selector is None:
            return False
        by_name = all(key == NAME_LABEL for key in _keys(selector))
        return (by_name or namespace in self._namespaces) and selector.matches(self._namespaces.labels(namespace))

    def _restrictions(self) -> dict[str, Selector | None]:
        """Selectors of the queues that have one; None for what selects nobody, because it cannot be understood."""
        revision, found = self._selectors
        if revision != self._queues.revision:
            found = {
                name: _selector(queue)
                for name, queue in self._queues.queues.items()
                if queue.spec.allowed_namespaces is not None
            }
            self._selectors = self._queues.revision, found
        return found


def path(queues: Mapping[str, Queue], queue: str) -> Iterator[str]:
    """A queue and those above it, from below; ends at the first that is missing or was there before."""
    seen: set[str] = set()
    while queue in queues and queue not in seen:
        seen.add(queue)
        yield queue
        queue = queues[queue].spec.parent_queue


def _selector(queue: Queue) -> Selector | None:
    assert queue.spec.allowed_namespaces is not None
    try:
        where, field = f"Queue {queue.name}", "spec.allowedNamespaces"
        return Selector.of(queue.spec.allowed_namespaces, where=where, field=field)
    except MalformedObjectError:
        return None


def _keys(selector: Selector) -> Iterator[str]:
    yield from (key for key, _ in selector.labels)
    yield from (one.key for one in selector.expressions)
