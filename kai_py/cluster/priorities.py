"""PriorityClasses: names to numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from kai_py.api.keys import DEFAULT_PRIORITY
from kai_py.api.scheduling import PriorityClass

_LARGEST: Final = 2**31 - 1


class PriorityBook:
    """All PriorityClasses by name, and the priority of who names none."""

    def __init__(self) -> None:
        self._classes: dict[str, PriorityClass] = {}
        self._default = DEFAULT_PRIORITY

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def put(self, priority_class: PriorityClass) -> bool:
        """Take in a class; tells whether it changed."""
        name = priority_class.metadata.name
        before = self._classes.get(name)
        self._classes[name] = priority_class
        self._find_default()
        return before is None or (before.value, before.global_default) != (
            priority_class.value,
            priority_class.global_default,
        )

    def drop(self, name: str) -> bool:
        """Forget a class."""
        if self._classes.pop(name, None) is None:
            return False
        self._find_default()
        return True

    def value(self, name: str) -> int:
        """The priority of a class, as an int32; of one that does not exist the global default's, or KAI's 50."""
        found = self._classes.get(name)
        return self._default if found is None else _bounded(found.value)

    def _find_default(self) -> None:
        defaults = [_bounded(one.value) for one in self._classes.values() if one.global_default]
        self._default = max(defaults, default=DEFAULT_PRIORITY)


def _bounded(value: int) -> int:
    return max(-_LARGEST - 1, min(_LARGEST, value))
