"""PriorityClasses: names to numbers."""

from __future__ import annotations

from kai_py.api.keys import DEFAULT_PRIORITY
from kai_py.api.scheduling import PriorityClass


class PriorityBook:
    """All PriorityClasses by name, and the priority of who names none."""

    def __init__(self) -> None:
        self._classes: dict[str, PriorityClass] = {}

    def put(self, priority_class: PriorityClass) -> bool:
        """Take in a class; tells whether it changed."""
        name = priority_class.metadata.name
        before = self._classes.get(name)
        self._classes[name] = priority_class
        return before is None or (before.value, before.global_default) != (
            priority_class.value,
            priority_class.global_default,
        )

    def drop(self, name: str) -> bool:
        """Forget a class."""
        return self._classes.pop(name, None) is not None

    def value(self, name: str) -> int:
        """The priority of a class; of one that does not exist the global default's, or KAI's 50."""
        found = self._classes.get(name)
        if found is not None:
            return found.value
        defaults = [one.value for one in self._classes.values() if one.global_default]
        return max(defaults) if defaults else DEFAULT_PRIORITY

    def __contains__(self, name: object) -> bool:
        return name in self._classes
