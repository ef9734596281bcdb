"""Pods by their names: a name belongs to one pod at a time, and a pod made anew has another uid."""

from __future__ import annotations

from collections.abc import Iterator

from kai_py.core.tables.pods import PodKey


class PodNames:
    """All pods that are remembered, also those that are left alone or cannot be understood."""

    def __init__(self) -> None:
        #: By namespace and name, which are fewer strings than keys.
        self._names: dict[str, dict[str, PodKey]] = {}

    def __iter__(self) -> Iterator[PodKey]:
        return (key for names in self._names.values() for key in names.values())

    def get(self, namespace: str, name: str) -> PodKey | None:
        """The pod that has this name."""
        names = self._names.get(namespace)
        return names.get(name) if names is not None else None

    def put(self, key: PodKey) -> None:
        """A pod has its name from now on."""
        self._names.setdefault(key.namespace, {})[key.name] = key

    def drop(self, key: PodKey) -> None:
        """A pod is gone; another one that has its name by now keeps it."""
        if self.get(*key[:2]) == key:
            del self._names[key.namespace][key.name]
            if not self._names[key.namespace]:
                del self._names[key.namespace]
