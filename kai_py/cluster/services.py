"""Services: which pods each selects. Replicas of a Service are spread, unless they say how themselves."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.api.service import Service

Name = tuple[str, str]
#: A namespace, and a label with its value.
_Pair = tuple[str, str, str]


class ServiceBook:
    """All Services that select anybody.

    Attributes:
        changed: namespaces in which pods may be selected otherwise than before, until the caller clears them.
    """

    def __init__(self) -> None:
        self.changed: set[str] = set()
        self._selectors: dict[Name, dict[str, str]] = {}
        #: Services by one label that they ask for.
        self._by_pair: dict[_Pair, dict[Name, None]] = {}

    def put(self, service: Service) -> bool:
        """Take in a Service; tells whether its selector is new."""
        name, selector = service.metadata.key, dict(sorted(service.spec.labels.items()))
        if self._selectors.get(name, {}) == selector:
            return False
        self._remove(name)
        if selector:
            self._selectors[name] = selector
            self._by_pair.setdefault(_pair(name, selector), {})[name] = None
        self.changed.add(name[0])
        return True

    def drop(self, name: Name) -> bool:
        """Forget a Service; tells whether it selected anybody."""
        known = name in self._selectors
        self._remove(name)
        if known:
            self.changed.add(name[0])
        return known

    def _remove(self, name: Name) -> None:
        if (selector := self._selectors.pop(name, None)) is not None:
            pair = _pair(name, selector)
            del self._by_pair[pair][name]
            if not self._by_pair[pair]:
                del self._by_pair[pair]

    def selecting(self, namespace: str, labels: Mapping[str, str]) -> dict[str, str]:
        """All labels that Services which select a pod ask for, together."""
        merged: dict[str, str] = {}
        if self._selectors:
            for key, value in labels.items():
                for name in self._by_pair.get((namespace, key, value), ()):
                    selector = self._selectors[name]
                    if all(labels.get(one) == text for one, text in selector.items()):
                        merged |= selector
        return merged


def _pair(name: Name, selector: Mapping[str, str]) -> _Pair:
    key = next(iter(selector))
    return name[0], key, selector[key]
