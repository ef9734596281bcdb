"""Label selectors: checked once, asked about many sets of labels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kai_py.api.model import LABEL_KEY_PATTERN
from kai_py.api.selectors import LabelSelector, Requirement
from kai_py.errors import Fault, MalformedObjectError

_KEY: Final = re.compile(LABEL_KEY_PATTERN)
_NEEDS_VALUES: Final = {"In": True, "NotIn": True, "Exists": False, "DoesNotExist": False}


@dataclass(frozen=True, slots=True)
class Selector:
    """A selector that can be understood. Its meaning is apimachinery's: an absent label satisfies ``NotIn``."""

    labels: tuple[tuple[str, str], ...]
    expressions: tuple[Requirement, ...]

    @classmethod
    def of(cls, selector: LabelSelector, *, where: str, field: str) -> Selector:
        """Check a selector.

        Args:
            selector: as it was sent.
            where: how messages name the object.
            field: where the selector stands in it.

        Raises:
            MalformedObjectError: with all faults.
        """
        faults = [
            Fault(where, f"{field}.matchLabels", f"{key[:80]!r} is not the key of a label")
            for key in selector.match_labels
            if not _KEY.fullmatch(key)
        ]
        for row, one in enumerate(selector.match_expressions):
            faults += [
                Fault(where, f"{field}.matchExpressions[{row}].{name}", why) for name, why in _wrong_with(one).items()
            ]
        if faults:
            raise MalformedObjectError(faults)
        return cls(tuple(sorted(selector.match_labels.items())), selector.match_expressions)

    def __str__(self) -> str:
        """As kubectl writes it: ``app=web,tier in (a, b)``; empty without requirements."""
        said = [f"{key}={value}" for key, value in self.labels]
        for one in self.expressions:
            match one.operator:
                case "In" | "NotIn":
                    operator = "in" if one.operator == "In" else "notin"
                    said.append(f"{one.key} {operator} ({', '.join(one.values)})")
                case "Exists":
                    said.append(one.key)
                case _:
                    said.append(f"!{one.key}")
        return ",".join(said)

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether all requirements hold; without any they do."""
        for key, value in self.labels:  # plain loops: a generator would cost more than the comparison
            if labels.get(key) != value:
                return False
        for one in self.expressions:  # noqa: SIM110  # the same
            if not _holds(one, labels):
                return False
        return True


def _wrong_with(one: Requirement) -> dict[str, str]:
    """Faults of one expression by field."""
    faults = {}
    if not _KEY.fullmatch(one.key):
        faults["key"] = f"{one.key[:80]!r} is not the key of a label"
    if one.operator not in _NEEDS_VALUES:
        faults["operator"] = f"should be {', '.join(_NEEDS_VALUES)}, not {one.operator[:80]!r}"
    elif _NEEDS_VALUES[one.operator] != bool(one.values):
        faults["values"] = "are needed with In and NotIn, and only there"
    return faults


def _holds(one: Requirement, labels: Mapping[str, str]) -> bool:
    match one.operator:
        case "In":
            return labels.get(one.key) in one.values
        case "NotIn":
            return labels.get(one.key) not in one.values
        case "Exists":
            return one.key in labels
        case _:
            return one.key not in labels
