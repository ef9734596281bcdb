"""Subgroups as rules make them: leaves with a minimum, and parents of leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pydantic import ValidationError

from kai_py.api.keys import PREFERRED_LEVEL_ANNOTATION, REQUIRED_LEVEL_ANNOTATION, TOPOLOGY_ANNOTATION
from kai_py.api.model import MAX_LABEL_KEY, faults_of
from kai_py.api.podgroup import MAX_NAME, MAX_SUBGROUPS, SubGroup, TopologyConstraint, tree_contradictions
from kai_py.errors import Fault
from kai_py.podgrouper.errors import GroupingError
from kai_py.podgrouper.fields import Field

#: How a template keeps its annotations.
TEMPLATE: Final = ("template", "metadata", "annotations")


def leaf(
    source: Field, name: str, minimum: int, *, parent: str = "", topology: TopologyConstraint | None = None
) -> SubGroup:
    """A subgroup of pods.

    Args:
        source: what it is made of, for messages.
        name: a DNS label.
        minimum: pods that must start together.
        parent: the subgroup above; empty for the podgroup.
        topology: where its pods may be.

    Raises:
        GroupingError: the name cannot be one.
    """
    return _made(source, lambda: SubGroup(name=name, parent=parent, min_member=minimum, topology_constraint=topology))


def parent(
    source: Field, name: str, minimum: int, *, above: str = "", topology: TopologyConstraint | None = None
) -> SubGroup:
    """A subgroup of subgroups, of which so many must be satisfied; ``above`` is the one that it is in itself."""
    return _made(source, lambda: SubGroup(name=name, parent=above, min_sub_group=minimum, topology_constraint=topology))


def _made(source: Field, make: Callable[[], SubGroup]) -> SubGroup:
    try:
        return make()
    except ValidationError as error:
        said = "; ".join(f"{fault.field}: {fault.message}" for fault in faults_of(error, where=source.where))
        raise source.fault(f"makes no subgroup: {said}") from error


def checked(source: Field, subgroups: Iterable[SubGroup]) -> tuple[SubGroup, ...]:
    """The subgroups, if they make a tree of different names.

    Raises:
        GroupingError: two have the same name, or there are too many.
    """
    made = tuple(subgroups)
    limited(source, len(made))
    if wrong := [message for _, message in tree_contradictions(made)]:
        raise GroupingError([Fault(source.where, source.name, message) for message in wrong])
    return made


def limited(source: Field, number: int) -> None:
    """Refuse more subgroups than a podgroup may have."""
    if number > MAX_SUBGROUPS:
        raise source.fault(f"makes {number} subgroups; {MAX_SUBGROUPS} are the most")


def constraint(topology: Field, required: Field, preferred: Field) -> TopologyConstraint | None:
    """The topology constraint of a part; ``None`` unless it names a topology and a level.

    Raises:
        GroupingError: one of the texts is too long for a name.
    """
    name, tight, loose = _short(topology, MAX_NAME), _short(required, MAX_LABEL_KEY), _short(preferred, MAX_LABEL_KEY)
    if not name or not (tight or loose):
        return None
    return TopologyConstraint(topology=name, required_topology_level=tight, preferred_topology_level=loose)


def constraint_of(annotations: Field) -> TopologyConstraint | None:
    """The topology constraint that annotations ask for."""
    return constraint(
        annotations.at(TOPOLOGY_ANNOTATION),
        annotations.at(REQUIRED_LEVEL_ANNOTATION),
        annotations.at(PREFERRED_LEVEL_ANNOTATION),
    )


def _short(field: Field, most: int) -> str:
    text = field.text() or ""
    if len(text) > most:
        raise field.wrong(f"has {len(text)} characters; {most} are the most")
    return text


def first(fields: Sequence[Field]) -> Field:
    """The first field that has a text in it, else the last."""
    return next((field for field in fields if field.text()), fields[-1])
