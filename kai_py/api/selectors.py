"""Selectors and conditions as several kinds share them. Matching them is ``cluster``'s and ``core``'s business."""

from __future__ import annotations

from collections.abc import Mapping

from kai_py.api.meta import NO_STRINGS, Record


class Requirement(Record, frozen=True):
    """One expression of a label or node selector. ``operator``: In, NotIn, Exists, DoesNotExist, Gt or Lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class LabelSelector(Record, frozen=True):
    """A selector over labels. Empty matches everything; an absent one (``None``) matches nothing."""

    match_labels: Mapping[str, str] = NO_STRINGS
    match_expressions: tuple[Requirement, ...] = ()


class NodeSelectorTerm(Record, frozen=True):
    """Requirements that must all hold. An empty term matches nothing."""

    match_expressions: tuple[Requirement, ...] = ()
    match_fields: tuple[Requirement, ...] = ()


class NodeSelector(Record, frozen=True):
    """Terms of which one must hold. No terms match nothing."""

    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class TypedReference(Record, frozen=True):
    """A reference to an object of a named kind in the same namespace."""

    kind: str
    name: str
    api_group: str = ""


class Condition(Record, frozen=True):
    """A condition in an object's status. Timestamps are RFC 3339 text, as sent."""

    type: str
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: str | None = None
    observed_generation: int = 0
