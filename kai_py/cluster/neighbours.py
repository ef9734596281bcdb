"""Who is meant by what pods ask of each other: selectors matched against sets of labels and not against single pods.

Matching is kept up to date: a new set of labels is held against all matchers, a new matcher against all sets.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from kai_py.api.meta import NO_STRINGS
from kai_py.cluster.classes import ClassBook
from kai_py.cluster.encode.neighbours import NOTHING, Asks, Matcher
from kai_py.cluster.labels import LabelBook
from kai_py.core.resources import Rows
from kai_py.core.tables.classes import ClassTable
from kai_py.core.tables.neighbours import Kind, NeighbourTable, Spread, Term, Wish
from kai_py.core.tables.pods import NONE, PodTable

#: Every namespace has its name as a label, which the API server sees to.
_NAME_LABEL: Final = "kubernetes.io/metadata.name"
#: So many combinations of matchers are remembered before those that nobody needs are thrown away.
_COMBINATIONS: Final = 4096


@dataclass(frozen=True)
class Tables:
    """Tables of a snapshot with neighbours worked in."""

    pods: PodTable
    classes: ClassTable
    neighbours: NeighbourTable | None


class _Made(NamedTuple):
    """What was made last, and from what."""

    revision: tuple[int, int]
    source: ClassTable
    class_idx: Rows
    classes: ClassTable
    neighbours: NeighbourTable


class NeighbourBook:
    """Matchers in use, and which sets of labels each of them selects.

    Args:
        classes: what pods ask for.
        labels: of all pods.
    """

    def __init__(self, classes: ClassBook, labels: LabelBook) -> None:
        self._classes = classes
        self._labels = labels
        self._fresh = labels.follow()
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._asks: frozenset[Asks] = frozenset()
        self._asks_revision = -1
        self._uses: Counter[Matcher] = Counter()
        self._number: dict[Matcher, int] = {}
        self._free: list[int] = []
        #: By number of a matcher: the sets that it selects. By number of a set: the matchers that select it.
        self._sets: dict[int, set[int]] = {}
        self._hits: dict[int, set[int]] = {}
        self._combinations: dict[tuple[int, ...], int] = {(): 0}
        self._combination: Rows = np.zeros(1, dtype=np.int32)
        self._stale: set[int] = set()
        self._revision = 0
        self._made: _Made | None = None

    # -- namespaces ----------------------------------------------------------------------------------

    def put_namespace(self, name: str, labels: Mapping[str, str]) -> bool:
        """Take in a namespace; tells whether that changes who is meant."""
        before = self._of_namespace(name)
        self._namespaces[name] = dict(labels)
        return self._namespace_changed(before, name)

    def drop_namespace(self, name: str) -> bool:
        """Forget a namespace."""
        before = self._of_namespace(name)
        self._namespaces.pop(name, None)
        return self._namespace_changed(before, name)

    def _namespace_changed(self, before: Mapping[str, str], name: str) -> bool:
        if before == self._of_namespace(name):
            return False
        selecting = [one for one in self._number if one.namespace_selector is not None]
        for matcher in selecting:
            number = self._number[matcher]
            self._unmatch(number)
            self._match(matcher, number)
        return bool(selecting)

    def _of_namespace(self, name: str) -> Mapping[str, str]:
        return {_NAME_LABEL: name, **self._namespaces.get(name, NO_STRINGS)}

    # -- the snapshot --------------------------------------------------------------------------------

    def constrain(self, pods: PodTable, classes: ClassTable, label_sets: Rows, generation: int) -> Tables:
        """Give pods that matter to each other classes of their own; the very same tables where nobody does.

        Args:
            pods: all pods.
            classes: their classes, by the numbers of the class book.
            label_sets: ``(P,)`` numbers of their labels; ``NONE`` = none that matter.
            generation: another number whenever ``pods`` have changed.
        """
        if not self._classes.asking:
            self._rest()
            return Tables(pods, classes, None)
        self._settle()
        made, revision = self._made, (generation, self._revision)
        if made is None or made.revision != revision or made.source is not classes:
            made = self._made = _Made(revision, classes, *self._make(pods, classes, label_sets))
        return Tables(dataclasses.replace(pods, class_idx=made.class_idx), made.classes, made.neighbours)

    def _make(self, pods: PodTable, classes: ClassTable, label_sets: Rows) -> tuple[Rows, ClassTable, NeighbourTable]:
        asks = [NOTHING, *sorted(self._asks, key=repr)]
        row_of = {one: row for row, one in enumerate(asks)}
        of_class = np.zeros(len(classes), dtype=np.int64)
        for number, one in self._classes.asking.items():
            of_class[number] = row_of[one]
        combined = np.where(label_sets == NONE, 0, self._combination[label_sets])
        count = len(self._combinations)
        pairs = of_class[pods.class_idx] * count + combined
        rows = np.flatnonzero(pairs)
        span = len(asks) * count
        found, inverse = np.unique(pods.class_idx[rows] * span + pairs[rows], return_inverse=True)
        old, pair = np.divmod(found, span)
        distinct, kind = np.unique(pair, return_inverse=True)
        class_idx = pods.class_idx.copy()
        class_idx[rows] = len(classes) + inverse
        more = [
            dataclasses.replace(classes.classes[row], kind=own)
            for row, own in zip(old.tolist(), kind.tolist(), strict=True)
        ]
        matched = list(self._combinations)
        kinds = tuple(
            self._kind(asks[ask], frozenset(matched[combination]))
            for ask, combination in (divmod(one, count) for one in distinct.tolist())
        )
        table = ClassTable(
            (*classes.classes, *more),
            np.concatenate([classes.request, classes.request[old]]),
            np.concatenate([classes.accounted, classes.accounted[old]]),
        )
        texts = {number: str(matcher) for matcher, number in self._number.items()}
        numbers = range(max(texts, default=-1) + 1)
        return class_idx, table, NeighbourTable(kinds, tuple(texts.get(number, "") for number in numbers))

    def _kind(self, asks: Asks, matched: frozenset[int]) -> Kind:
        number = self._number
        return Kind(
            matched=matched,
            affinity=tuple(Term(key, number[matcher]) for key, matcher in asks.affinity),
            anti=tuple(Term(key, number[matcher]) for key, matcher in asks.anti),
            wishes=tuple(Wish(weight, Term(key, number[matcher])) for weight, (key, matcher) in asks.wishes),
            spreads=tuple(
                Spread(one.key, NONE if one.matcher is None else number[one.matcher], *one[2:]) for one in asks.spreads
            ),
            ports=asks.ports,
        )

    # -- matching ------------------------------------------------------------------------------------

    def _rest(self) -> None:
        """Nobody asks for anything: there is nothing to keep up to date."""
        if self._number:
            self._update(frozenset())
        self._fresh.clear()
        self._made = None

    def _settle(self) -> None:
        """Match what is new."""
        if self._asks_revision != self._classes.asks_revision:
            self._asks_revision = self._classes.asks_revision
            self._update(frozenset(self._classes.asking.values()))
        for label_set in self._fresh:
            self._match_set(label_set)
        self._fresh.clear()
        if self._stale:
            self._combine()

    def _update(self, asks: frozenset[Asks]) -> None:
        """Take up the matchers of new asks, and let go those that nobody needs any more."""
        if asks == self._asks:
            return
        for one in asks - self._asks:
            self._uses.update(one.matchers())
        for one in self._asks - asks:
            self._uses.subtract(one.matchers())
        self._asks = asks
        self._revision += 1
        for matcher in [one for one in self._number if not self._uses[one]]:
            number = self._number.pop(matcher)
            self._unmatch(number)
            self._free.append(number)
            del self._uses[matcher]
        for matcher in self._uses:
            if matcher not in self._number:
                number = self._number[matcher] = self._free.pop() if self._free else len(self._number)
                self._match(matcher, number)

    def _match(self, matcher: Matcher, number: int) -> None:
        """Find the sets that a matcher selects."""
        found = self._sets[number] = set()
        if matcher.selector is None:
            return
        covered: dict[str, bool] = {}
        for label_set in range(len(self._labels)):
            namespace = self._labels.namespace(label_set)
            if namespace not in covered:
                covered[namespace] = bool(namespace) and matcher.covers(namespace, self._of_namespace)
            if covered[namespace] and matcher.selector.matches(self._labels.labels(label_set)):
                found.add(label_set)
                self._hits.setdefault(label_set, set()).add(number)
        self._stale |= found
        self._revision += 1

    def _unmatch(self, number: int) -> None:
        """A matcher selects nobody any more."""
        found = self._sets.pop(number, set())
        for label_set in found:
            self._hits[label_set].discard(number)
        self._stale |= found
        self._revision += 1

    def _match_set(self, label_set: int) -> None:
        """Find the matchers that select a set whose number is new."""
        for number in self._hits.pop(label_set, ()):
            self._sets[number].discard(label_set)
        namespace = self._labels.namespace(label_set)
        if namespace:
            labels = self._labels.labels(label_set)
            hits = {
                number
                for matcher, number in self._number.items()
                if matcher.selector is not None
                and matcher.selector.matches(labels)
                and matcher.covers(namespace, self._of_namespace)
            }
            for number in hits:
                self._sets[number].add(label_set)
            if hits:
                self._hits[label_set] = hits
        self._stale.add(label_set)

    def _combine(self) -> None:
        """Number the combinations of matchers that select some set."""
        if len(self._combination) < len(self._labels):
            more = np.zeros(max(len(self._labels), 2 * len(self._combination)), dtype=np.int32)
            more[: len(self._combination)] = self._combination
            self._combination = more
        if len(self._combinations) > _COMBINATIONS + len(self._hits):
            self._combinations = {(): 0}
            self._combination = np.zeros_like(self._combination)
            self._stale = set(self._hits)
        for label_set in self._stale:
            combination = tuple(sorted(self._hits.get(label_set, ())))
            number = self._combinations.setdefault(combination, len(self._combinations))
            if self._combination[label_set] != number:
                self._combination[label_set] = number
                self._revision += 1
        self._stale.clear()
