"""Namespaces: their labels decide who may use a queue, and whose pods affinities are about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kai_py.api.meta import NO_STRINGS

#: Every namespace has its name as a label, which the API server sees to.
NAME_LABEL: Final = "kubernetes.io/metadata.name"


class NamespaceBook:
    """Labels of namespaces by name.

    Attributes:
        revision: grows with every change.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._labels: dict[str, Mapping[str, str]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._labels

    def put(self, name: str, labels: Mapping[str, str]) -> bool:
        """Take in a namespace; tells whether anything changed."""
        if self._labels.get(name) == labels:
            return False
        self._labels[name] = dict(labels)
        self.revision += 1
        return True

    def drop(self, name: str) -> bool:
        """Forget a namespace."""
        known = self._labels.pop(name, None) is not None
        self.revision += known
        return known

    def labels(self, name: str) -> Mapping[str, str]:
        """Labels of a namespace; of one that was not seen, only what the API server gives to all."""
        return {NAME_LABEL: name, **self._labels.get(name, NO_STRINGS)}
