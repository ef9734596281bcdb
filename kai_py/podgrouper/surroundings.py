"""What a rule may look at beside the pod and its owners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, TypeVar

from kai_py.api.meta import ObjectMeta, PartialObject
from kai_py.api.podgroup import PodGroup

T = TypeVar("T")

#: So many answers are remembered.
_REMEMBERED: Final = 4096


class Surroundings(Protocol):
    """Other objects of the cluster. Whoever implements it asks for the pod's group again when an answer changes."""

    def find(self, group: str, kind: str, namespace: str, name: str) -> PartialObject | None:
        """An object, in any version; ``None`` if it is not known."""

    def serves(self, group: str, kind: str) -> bool:
        """Whether there may be objects of a kind."""

    def podgroup(self, namespace: str, name: str) -> PodGroup | None:
        """A PodGroup that exists already: whoever was grouped in another way before an upgrade stays so."""

    def pods(self, namespace: str, labels: Mapping[str, str]) -> Iterable[ObjectMeta]:
        """The pods of a namespace that have these labels."""

    def topology(self, node_label: str) -> str:
        """Name of the Topology that has a node label as a level; empty if there is none, or several."""


class Nothing:
    """Nothing else is known."""

    def find(self, group: str, kind: str, namespace: str, name: str) -> PartialObject | None:
        """Nothing."""

    def serves(self, group: str, kind: str) -> bool:  # noqa: ARG002
        """No."""
        return False

    def podgroup(self, namespace: str, name: str) -> PodGroup | None:
        """Nothing."""

    def pods(self, namespace: str, labels: Mapping[str, str]) -> Iterable[ObjectMeta]:  # noqa: ARG002
        """Nobody."""
        return ()

    def topology(self, node_label: str) -> str:  # noqa: ARG002
        """None."""
        return ""


NOTHING: Final = Nothing()


class Memo:
    """Remembers what was made of an object, for as long as the same object is asked about: gangs have many pods."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, object], tuple[object, object]] = {}

    def of(self, source: object, what: object, make: Callable[[], T]) -> T:
        """What ``make`` has made of an object, or makes now.

        Args:
            source: the object; never changed.
            what: tells apart what is made of the same object.
            make: makes it.
        """
        key = id(source), what
        if (found := self._known.get(key)) is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[key] = source, make()  # the source is kept, so that its id stays its own
        return found[1]  # type: ignore[return-value]  # the key tells apart what is made
