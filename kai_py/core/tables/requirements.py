"""Evaluating node selector expressions over label columns."""

from __future__ import annotations

import numpy as np

from kai_py.core.resources import Mask
from kai_py.core.tables.classes import NodeTerm, Requirement
from kai_py.core.tables.integers import parse_int64
from kai_py.core.tables.labels import ABSENT, LabelColumn, Labels
from kai_py.core.tables.nodes import NodeTable


def matches_term(term: NodeTerm, nodes: NodeTable) -> Mask:
    """``(N,)`` which nodes match all expressions of a term; an empty term matches nothing."""
    if not term.labels and not term.names:
        return np.zeros(len(nodes), dtype=np.bool_)
    matches = np.ones(len(nodes), dtype=np.bool_)
    for requirement in term.labels:
        matches &= matches_labels(requirement, nodes.labels)
    for requirement in term.names:
        matches &= _matches_name(requirement, nodes)
    return matches


def matches_labels(requirement: Requirement, labels: Labels) -> Mask:
    """``(N,)`` one expression. NotIn also matches nodes without the label; Gt and Lt match only between integers."""
    column = labels.column(requirement.key)
    match requirement.operator:
        case "Exists":
            return np.asarray(column.codes != ABSENT)
        case "DoesNotExist":
            return np.asarray(column.codes == ABSENT)
        case "In" | "NotIn":
            wanted = [column.vocabulary[value] for value in requirement.values if value in column.vocabulary]
            found = np.isin(column.codes, wanted)
            return found if requirement.operator == "In" else ~found
        case "Gt" | "Lt":
            return np.isin(column.codes, _beyond(column, requirement))
        case operator:
            raise ValueError(f"unknown operator {operator!r} got past the encoder")


def _beyond(column: LabelColumn, requirement: Requirement) -> list[int]:
    """The values of a column that are greater, or less, than a requirement's bound."""
    bound = parse_int64(requirement.values[0])
    if bound is None:
        return []
    greater = requirement.operator == "Gt"
    return [code for code, value in column.integers.items() if (value > bound if greater else value < bound)]


def _matches_name(requirement: Requirement, nodes: NodeTable) -> Mask:
    found = np.array([name in requirement.values for name in nodes.names], dtype=np.bool_)
    return found if requirement.operator == "In" else ~found
