"""A reason as the texts read it: its details by name, whatever happens to be missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kai_py.core.resources import ResourceAxis
from kai_py.core.result import Reason
from kai_py.telemetry.amounts import amount, noun
from kai_py.telemetry.printable import printable


@dataclass(frozen=True)
class Case:
    """A reason, and what is known around it. A text never fails because a detail is missing.

    Attributes:
        reason: codes and numbers.
        axis: the snapshot's, for the units of its resources; without it, the well-known units hold.
        queue: the podgroup's own queue; empty if unknown.
    """

    reason: Reason
    axis: ResourceAxis | None = None
    queue: str = ""

    def name(self, key: str) -> str:
        """A detail as text; empty if there is none."""
        return printable(str(self.reason.details.get(key, "")))

    def naming(self, key: str, words: str, otherwise: str = "") -> str:
        """Words around a detail, which stands at their ``{}``; other words, or none, when it is not known."""
        name = self.name(key)
        return words.format(name) if name else otherwise

    def named(self, kind: str, key: str) -> str:
        """``queue research``, or ``the queue`` when the name is not known."""
        name = self.name(key)
        return f"{kind} {name}" if name else f"the {kind}"

    def number(self, key: str) -> int:
        """A detail as a whole number; 0 if there is none."""
        value = self.reason.details.get(key, 0)
        return int(value) if isinstance(value, int | float) else 0

    def base_units(self, key: str) -> float:
        """A detail in base units of the reason's resource; 0 if there is none."""
        value = self.reason.details.get(key, 0)
        return float(value) if isinstance(value, int | float) else 0.0

    @property
    def resource(self) -> str:
        """The resource that the reason is about, as it is named in the API."""
        return self.name("resource")

    @property
    def resource_noun(self) -> str:
        """The same as it is named in a sentence, followed by a space; empty if unknown."""
        return f"{noun(self.resource)} " if self.resource else ""

    def amount(self, key: str) -> str:
        """An amount of the reason's resource, with its unit."""
        return amount(self.resource, self.base_units(key), self.axis)

    def other_names(self, used: frozenset[str]) -> Iterator[str]:
        """Details in words that no sentence has used: a fault as ``spec.affinity: message``, others with their key."""
        fault = [self.name(key) for key in ("field", "message") if self.name(key) and key not in used]
        if fault:
            yield ": ".join(fault)
        for key, value in sorted(self.reason.details.items()):
            if key not in (*used, "field", "message") and isinstance(value, str) and value:
                yield f"{key} {printable(value)}"
