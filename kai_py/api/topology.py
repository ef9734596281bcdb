"""Topology (``kai.scheduler/v1alpha1``): how near nodes are to each other, as levels of node labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

from pydantic import ConfigDict, Field, Strict

from kai_py.api.keys import HOSTNAME_LABEL
from kai_py.api.model import LABEL_KEY_PATTERN, MAX_LABEL_KEY, RULES, CustomResource, Model, rule

MAX_LEVELS: Final = 16

_LEVEL_RULES: Final = [
    rule("self.all(a, self.exists_one(b, b.nodeLabel == a.nodeLabel))", "each nodeLabel may be a level once"),
    rule(
        f"self.filter(a, a.nodeLabel == '{HOSTNAME_LABEL}').size() == 0"
        f" || self[self.size() - 1].nodeLabel == '{HOSTNAME_LABEL}'",
        f"{HOSTNAME_LABEL} may only be the last level",
    ),
    rule(
        "self.map(a, a.nodeLabel) == oldSelf.map(a, a.nodeLabel)",
        "levels cannot be changed: running pods were placed by them; make a new Topology",
    ),
    rule(
        "self.all(a, !has(a.alias) || a.alias == '' || (self.exists_one(b, has(b.alias) && b.alias == a.alias)"
        " && !self.exists(b, b.nodeLabel == a.alias)))",
        "an alias must be unique, and no level's nodeLabel",
    ),
]


class TopologyLevel(Model):
    """One level: nodes with the same value of ``nodeLabel`` (and of those of all wider levels) are one domain."""

    node_label: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_KEY, pattern=LABEL_KEY_PATTERN)]
    """The label whose values are the domains, for instance ``topology.kubernetes.io/zone``; where no node has it, the
    attribute of devices of that name."""
    alias: Annotated[str, Field(max_length=MAX_LABEL_KEY)] = ""
    """A short name that constraints may use instead, for instance ``rack``."""


class TopologySpec(Model):
    """The levels."""

    levels: Annotated[
        tuple[TopologyLevel, ...],
        Strict(False),
        Field(
            min_length=1,
            max_length=MAX_LEVELS,
            json_schema_extra={"x-kubernetes-list-type": "atomic", RULES: _LEVEL_RULES},
        ),
    ]
    """From the widest to the narrowest, for instance zone, block, rack, host."""


class Topology(CustomResource):
    """How near nodes are to each other. A node without one of the labels is in no domain."""

    group: ClassVar = "kai.scheduler"
    version: ClassVar = "v1alpha1"
    kind: ClassVar = "Topology"

    model_config = ConfigDict(json_schema_extra={"required": ["spec"]})

    spec: TopologySpec

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Labels and aliases are unique, and the host is the last level."""
        levels = self.spec.levels
        labels = [level.node_label for level in levels]
        aliases = [level.alias for level in levels]
        for row, level in enumerate(levels):
            if level.node_label in labels[:row]:
                yield f"spec.levels[{row}].nodeLabel", f"{level.node_label} is a level already"
            if level.node_label == HOSTNAME_LABEL and row < len(levels) - 1:
                yield f"spec.levels[{row}].nodeLabel", f"{HOSTNAME_LABEL} may only be the last level"
            if level.alias and (level.alias in aliases[:row] or level.alias in labels):
                yield f"spec.levels[{row}].alias", f"{level.alias!r} names another level already"
