"""YAML in which a key stands once: of two, one would be ignored without a word."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml

_MERGE: Final = "tag:yaml.org,2002:merge"


class UniqueKeys:
    """For a loader of PyYAML, before its base class: refuses a mapping that names a key twice.

    What ``<<`` brings in does not count: it is there to be overridden. So the whole document is looked at before any of
    it is constructed, which puts what is merged among a mapping's own keys.
    """

    def get_single_data(self) -> Any:
        """The document.

        Raises:
            yaml.constructor.ConstructorError: a key is given twice; its mark is that of the second.
        """
        loader: Any = self
        node = loader.get_single_node()
        if node is None:
            return None
        self._look(node, set())
        return loader.construct_document(node)

    def _look(self, node: yaml.Node, looked_at: set[int]) -> None:
        if id(node) in looked_at:  # an anchor's node stands wherever it is named
            return
        looked_at.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for item in node.value:
                self._look(item, looked_at)
        elif isinstance(node, yaml.MappingNode):
            self._look_at_keys(node)
            for _, value in node.value:
                self._look(value, looked_at)

    def _look_at_keys(self, node: yaml.MappingNode) -> None:
        loader: Any = self
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = loader.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                problem = f"key {key!r} is given twice"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key_node.start_mark)
            if isinstance(key, Hashable):
                seen.add(key)
