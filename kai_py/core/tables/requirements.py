"""Evaluating node selector expressions over label columns."""

from __future__ import annotations

import numpy as np

from kai_py.core.resources import Mask
from kai_py.core.tables.classes import NodeTerm, Requirement
from kai_py.core.tables.labels import ABSENT, Labels
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
    """``(N,)`` one expression. NotIn also matches nodes without the label; Gt and Lt compare int64."""
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
            bound = int(requirement.values[0])
            numbers = column.numbers[column.codes]
            with np.errstate(invalid="ignore"):
                return np.asarray(numbers > bound if requirement.operator == "Gt" else numbers < bound)
        case operator:
            raise ValueError(f"unknown operator {operator!r} got past the encoder")


def _matches_name(requirement: Requirement, nodes: NodeTable) -> Mask:
    found = np.array([name in requirement.values for name in nodes.names], dtype=np.bool_)
    return found if requirement.operator == "In" else ~found
