"""Who is meant by what pods ask of each other: the table of kinds, and pod classes that tell kinds apart."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kai_py.cluster.classes import ClassBook
from kai_py.cluster.encode.neighbours import NOTHING, Asks, Matcher
from kai_py.cluster.labels import LabelBook
from kai_py.cluster.matching import Matching
from kai_py.cluster.namespaces import NamespaceBook
from kai_py.core.resources import Amounts, Rows
from kai_py.core.tables.classes import ClassTable
from kai_py.core.tables.neighbours import Kind, NeighbourTable, Spread, Term, Wish
from kai_py.core.tables.pods import NONE, PodTable


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


class _Kinds(NamedTuple):
    """The kinds that were found last: what each asks and which combination of matchers selects it, as one number."""

    revision: int
    pairs: Amounts
    table: NeighbourTable


class NeighbourBook:
    """What pods ask of each other, and the kinds of pods that this makes.

    Args:
        classes: what pods ask for.
        labels: of all pods.
        namespaces: their labels.
    """

    def __init__(self, classes: ClassBook, labels: LabelBook, namespaces: NamespaceBook) -> None:
        self._classes = classes
        self._namespaces = namespaces
        self._matching = Matching(labels, namespaces.labels)
        self._asks: dict[Asks, int] = {NOTHING: 0}
        self._asks_revision = -1
        #: By number of a class: the row of what it asks.
        self._of_class: Amounts = np.zeros(0, dtype=np.int64)
        self._uses: Counter[Matcher] = Counter()
        self._made: _Made | None = None
        self._kinds: _Kinds | None = None

    # -- namespaces ----------------------------------------------------------------------------------

    def put_namespace(self, name: str, labels: Mapping[str, str]) -> bool:
        """Take in a namespace; tells whether that changes who is meant."""
        before = self._namespaces.labels(name)
        self._namespaces.put(name, labels)
        return self._namespace_changed(before, name)

    def drop_namespace(self, name: str) -> bool:
        """Forget a namespace."""
        before = self._namespaces.labels(name)
        self._namespaces.drop(name)
        return self._namespace_changed(before, name)

    def _namespace_changed(self, before: Mapping[str, str], name: str) -> bool:
        if before == self._namespaces.labels(name):
            return False
        selecting = [one for one in self._matching.number if one.namespace_selector is not None]
        self._matching.again(selecting)
        return bool(selecting)

    # -- the snapshot --------------------------------------------------------------------------------

    def constrain(self, pods: PodTable, classes: ClassTable, label_sets: Rows, generation: int) -> Tables:
        """Give pods that matter to each other classes of their own; the very same tables where nobody does.

        Args:
            pods: all pods.
            classes: their classes, by the numbers of the class book.
            label_sets: ``(P,)`` numbers of their labels; ``NONE`` = none that matter.
            generation: another number whenever ``pods`` have changed.
        """
        if self._asks_revision != self._classes.asks_revision:
            self._asks_revision = self._classes.asks_revision
            self._update(len(classes))
        if not self._classes.asking:
            self._matching.rest()
            self._made = self._kinds = None
            return Tables(pods, classes, None)
        self._matching.settle()
        made, revision = self._made, (generation, self._matching.revision + self._asks_revision)
        if made is None or made.revision != revision or made.source is not classes:
            made = self._made = _Made(revision, classes, *self._make(pods, classes, label_sets))
        assert self._kinds is not None
        return Tables(dataclasses.replace(pods, class_idx=made.class_idx), made.classes, self._kinds.table)

    def _update(self, classes: int) -> None:
        """Take up the matchers of new asks, and let go those that nobody needs any more."""
        now = dict.fromkeys(self._classes.asking.values())
        if now.keys() != self._asks.keys() - {NOTHING}:
            for one in now.keys() - self._asks.keys():
                self._uses.update(one.matchers())
            for one in self._asks.keys() - now.keys():
                self._uses.subtract(one.matchers())
            unused = [matcher for matcher, uses in self._uses.items() if not uses]
            for matcher in unused:
                del self._uses[matcher]
            self._matching.drop(unused)
            self._matching.add(self._uses)
            self._asks = {NOTHING: 0, **{one: row for row, one in enumerate(now, start=1)}}
            self._kinds = None
        self._of_class = np.zeros(classes, dtype=np.int64)
        for number, one in self._classes.asking.items():
            self._of_class[number] = self._asks[one]

    def _make(self, pods: PodTable, classes: ClassTable, label_sets: Rows) -> tuple[Rows, ClassTable]:
        """``(P,)`` classes of pods, and the classes."""
        if len(self._of_class) < len(classes):
            self._of_class = np.append(self._of_class, np.zeros(len(classes) - len(self._of_class), dtype=np.int64))
        combined = np.where(label_sets == NONE, 0, self._matching.combination[label_sets])
        count = len(self._matching.combinations)
        pairs = self._of_class[pods.class_idx] * count + combined
        rows = np.flatnonzero(pairs)
        span = len(self._asks) * count
        found, inverse = np.unique(pods.class_idx[rows] * span + pairs[rows], return_inverse=True)
        old, pair = np.divmod(found, span)
        distinct, kind = np.unique(pair, return_inverse=True)
        self._know(distinct, count)
        class_idx = pods.class_idx.copy()
        class_idx[rows] = len(classes) + inverse
        more = [
            dataclasses.replace(classes.classes[row], kind=own)
            for row, own in zip(old.tolist(), kind.tolist(), strict=True)
        ]
        table = ClassTable(
            (*classes.classes, *more),
            np.concatenate([classes.request, classes.request[old]]),
            np.concatenate([classes.accounted, classes.accounted[old]]),
        )
        return class_idx, table

    def _know(self, pairs: Amounts, count: int) -> None:
        """Make the table of kinds, unless it is the last one; ``pairs`` tell asks and combination by ``count``."""
        revision = self._matching.revision
        last = self._kinds
        if last is not None and last.revision == revision and np.array_equal(last.pairs, pairs):
            return
        asks, matched = list(self._asks), list(self._matching.combinations)
        kinds = tuple(
            self._kind(asks[ask], frozenset(matched[combination]))
            for ask, combination in (divmod(one, count) for one in pairs.tolist())
        )
        texts = {number: str(matcher) for matcher, number in self._matching.number.items()}
        table = NeighbourTable(kinds, tuple(texts.get(number, "") for number in range(max(texts, default=-1) + 1)))
        self._kinds = _Kinds(revision, pairs, table)

    def _kind(self, asks: Asks, matched: frozenset[int]) -> Kind:
        number = self._matching.number
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
