"""One podgroup, as its pods tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from kai_py.cluster.encode.podgroup import SubGroupRow
from kai_py.cluster.pods import PodFacts
from kai_py.cluster.terms import Terms
from kai_py.core.tables.podgroups import GroupKey
from kai_py.core.tables.pods import PodKey

Name = tuple[str, str]
_NEVER: Final = float("inf")


@dataclass(slots=True)
class Part:
    """Pods of a podgroup that name the same subgroup."""

    slot: int
    pods: int = 0


@dataclass(slots=True)
class Group:
    """One podgroup that has unfinished pods.

    Attributes:
        name: (namespace, name).
        slot: leaf slot of pods that name no subgroup.
        members: its unfinished pods.
        terms: what its pods say that it asks for; the first pod by name counts.
        divided: whether pods may contradict each other in that.
        created: when the oldest pod was; None = to be found anew.
        problems: how many pods cannot be scheduled as they are.
        leaving: how many pods were told to go.
        parts: by subgroup; None = no pod names one, and the podgroup has none.
        key: identity of its row, once it has one.
        paying: the last queue that it named and could use: what runs stays there when another one is named that it
            may not use, or that does not exist. Empty = there was none.
    """

    name: Name
    slot: int
    members: set[PodKey] = field(default_factory=set)
    terms: Terms | None = None
    divided: bool = False
    created: float | None = _NEVER
    problems: int = 0
    leaving: int = 0
    parts: dict[str, Part] | None = None
    key: GroupKey | None = None
    paying: str = ""

    def count(self, facts: PodFacts, step: int) -> None:
        """Count a pod in with 1, or out with -1."""
        self.problems += step * (facts.problem is not None)
        self.leaving += step * (facts.deleted != _NEVER)
        if step > 0 and self.created is not None:
            self.created = min(self.created, facts.created)
        elif step < 0 and facts.created == self.created:
            self.created = None

    def heed(self, terms: Terms | None) -> None:
        """The member that came last says this."""
        if len(self.members) == 1:
            self.terms, self.divided = terms, False
        elif terms != self.terms:
            self.divided = True

    def agree(self, facts: Mapping[PodKey, PodFacts]) -> None:
        """Let the first pod decide, by name, of those that say anything."""
        terms = {pod: place.terms for pod in self.members if (place := facts[pod].place) is not None}
        first = min((pod for pod, said in terms.items() if said is not None), default=None)
        self.terms = terms[first] if first is not None else None
        self.divided = any(said != self.terms for said in terms.values())

    def oldest(self, facts: Mapping[PodKey, PodFacts]) -> float:
        """When the oldest pod was created."""
        if self.created is None:
            self.created = min(facts[pod].created for pod in self.members)
        return self.created

    def named_parts(self) -> Iterator[tuple[str, int]]:
        """The subgroups that pods name, and their slots; the empty one for pods that name none."""
        named = 0
        for name, part in (self.parts or {}).items():
            named += part.pods
            if part.pods:
                yield name, part.slot
        if named < len(self.members):
            yield "", self.slot

    def staying(self, facts: Mapping[PodKey, PodFacts]) -> Counter[str]:
        """How many pods that were not told to go name each subgroup; the empty one for those that name none."""
        stay = (facts[pod] for pod in self.members if facts[pod].deleted == _NEVER)
        return Counter(one.place.part for one in stay if one.place is not None)

    def strays(self, subgroups: Sequence[SubGroupRow]) -> tuple[int, ...]:
        """Leaf slots of pods that name no leaf of their podgroup."""
        if len(subgroups) == 1:
            return tuple(slot for part, slot in self.named_parts() if part)
        leaves = {row.name for row in subgroups if row.leaf}
        return tuple(slot for part, slot in self.named_parts() if part not in leaves)


def says(facts: PodFacts) -> tuple[object, ...]:
    """What of a pod matters to its podgroup."""
    return facts.place, facts.problem, facts.created, facts.deleted != _NEVER
