"""Which sets of labels each selector selects, kept up to date: a new set is held against selectors, and the reverse.

Most selectors ask for one value of one label (``app=web``), so both sides are found by such pairs. Others are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np

from kai_py.cluster.encode.neighbours import Matcher
from kai_py.cluster.labels import LabelBook
from kai_py.core.resources import Rows

#: A label and its value.
Pair = tuple[str, str]
#: So many combinations of matchers are remembered before those that nobody needs are thrown away.
_COMBINATIONS: Final = 4096


class Matching:
    """Numbers for matchers, and for the combinations of matchers that select some set of labels.

    Args:
        labels: of all pods.
        namespace: labels of a namespace.

    Attributes:
        number: of the matchers in use.
        combinations: numbers of matchers -> number of the combination; () is 0.
        combination: by number of a set of labels: number of the combination of all that select it.
        revision: another number whenever any of these has changed.
    """

    def __init__(self, labels: LabelBook, namespace: Callable[[str], Mapping[str, str]]) -> None:
        self.number: dict[Matcher, int] = {}
        self.combinations: dict[tuple[int, ...], int] = {(): 0}
        self.combination: Rows = np.zeros(1, dtype=np.int32)
        self.revision = 0
        self._labels = labels
        self._fresh = labels.follow()
        self._namespace = namespace
        self._free: list[int] = []
        #: By number of a matcher: the sets that it selects. By number of a set: the matchers that select it.
        self._sets: dict[int, set[int]] = {}
        self._hits: dict[int, set[int]] = {}
        self._stale: set[int] = set()
        #: Matchers by the pair that they ask for; those that ask for none in particular.
        self._by_pair: dict[Pair, list[Matcher]] = {}
        self._loose: list[Matcher] = []
        #: Sets by their pairs, for those labels by which matchers are found; and the pairs of each set.
        self._having: dict[Pair, set[int]] = {}
        self._pairs: dict[int, list[Pair]] = {}
        self._keys: set[str] = set()

    def add(self, matchers: Iterable[Matcher]) -> None:
        """Take up matchers that are new."""
        self._take_in()
        for matcher in matchers:
            if matcher in self.number:
                continue
            number = self.number[matcher] = self._free.pop() if self._free else len(self.number)
            pair = _pair(matcher)
            if pair is None:
                self._loose.append(matcher)
            else:
                self._by_pair.setdefault(pair, []).append(matcher)
                self._look_for(pair[0])
            self._match(matcher, number)

    def drop(self, matchers: Iterable[Matcher]) -> None:
        """Let matchers go."""
        for matcher in matchers:
            number = self.number.pop(matcher)
            self._unmatch(number)
            self._free.append(number)
            pair = _pair(matcher)
            (self._loose if pair is None else self._by_pair[pair]).remove(matcher)

    def again(self, matchers: Iterable[Matcher]) -> None:
        """Match anew, because a namespace has changed."""
        self._take_in()
        for matcher in matchers:
            self._unmatch(self.number[matcher])
            self._match(matcher, self.number[matcher])

    def rest(self) -> None:
        """Forget what was known of sets as long as nobody needs it; there must be no matchers."""
        self._having.clear()
        self._pairs.clear()
        self._keys.clear()
        self._fresh.clear()

    def settle(self) -> None:
        """Match the sets that are new, and number the combinations."""
        self._take_in()
        if not self._stale:
            return
        if len(self.combination) < len(self._labels):
            more = np.zeros(max(len(self._labels), 2 * len(self.combination)), dtype=np.int32)
            more[: len(self.combination)] = self.combination
            self.combination = more
        if len(self.combinations) > _COMBINATIONS + len(self._hits):
            self.combinations = {(): 0}
            self.combination = np.zeros_like(self.combination)
            self._stale = set(self._hits)
            self.revision += 1
        for label_set in self._stale:
            combination = tuple(sorted(self._hits.get(label_set, ())))
            number = self.combinations.setdefault(combination, len(self.combinations))
            if self.combination[label_set] != number:
                self.combination[label_set] = number
                self.revision += 1
        self._stale.clear()

    def _take_in(self) -> None:
        """Match the sets whose numbers are new."""
        for label_set in self._fresh:
            for number in self._hits.pop(label_set, ()):
                self._sets[number].discard(label_set)
            for pair in self._pairs.pop(label_set, ()):
                self._having[pair].discard(label_set)
            self._stale.add(label_set)
            namespace = self._labels.namespace(label_set)
            if not namespace:
                continue
            labels = self._labels.labels(label_set)
            for key in self._keys & labels.keys():
                self._note(label_set, (key, labels[key]))
            found = [one for pair in self._pairs.get(label_set, ()) for one in self._by_pair.get(pair, ())]
            for matcher in (*found, *self._loose):
                if _selects(matcher, labels) and matcher.covers(namespace, self._namespace):
                    self._hit(self.number[matcher], label_set)
        self._fresh.clear()

    def _look_for(self, key: str) -> None:
        """From now on, sets are found by their values of a label."""
        if key in self._keys:
            return
        self._keys.add(key)
        for label_set in range(len(self._labels)):
            if self._labels.namespace(label_set) and (value := self._labels.labels(label_set).get(key)) is not None:
                self._note(label_set, (key, value))

    def _note(self, label_set: int, pair: Pair) -> None:
        self._having.setdefault(pair, set()).add(label_set)
        self._pairs.setdefault(label_set, []).append(pair)

    def _hit(self, number: int, label_set: int) -> None:
        self._sets.setdefault(number, set()).add(label_set)
        self._hits.setdefault(label_set, set()).add(number)

    def _match(self, matcher: Matcher, number: int) -> None:
        """Find the sets that a matcher selects."""
        self.revision += 1
        self._sets[number] = set()
        pair = _pair(matcher)
        if matcher.selector is None:
            return
        covered: dict[str, bool] = {}
        for label_set in range(len(self._labels)) if pair is None else self._having.get(pair, ()):
            namespace = self._labels.namespace(label_set)
            if namespace not in covered:
                covered[namespace] = bool(namespace) and matcher.covers(namespace, self._namespace)
            if covered[namespace] and _selects(matcher, self._labels.labels(label_set)):
                self._hit(number, label_set)
        self._stale |= self._sets[number]

    def _unmatch(self, number: int) -> None:
        """A matcher selects nobody any more."""
        self.revision += 1
        found = self._sets.pop(number, set())
        for label_set in found:
            self._hits[label_set].discard(number)
        self._stale |= found


def _selects(matcher: Matcher, labels: Mapping[str, str]) -> bool:
    return matcher.selector is not None and matcher.selector.matches(labels)


def _pair(matcher: Matcher) -> Pair | None:
    """A label and the only value of it that a matcher accepts; None if there is none."""
    if matcher.selector is None:
        return None
    if matcher.selector.labels:
        return matcher.selector.labels[0]
    for one in matcher.selector.expressions:
        if one.operator == "In" and len(one.values) == 1:
            return one.key, one.values[0]
    return None
