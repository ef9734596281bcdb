"""What a podgroup inherits from its pod and owners: queue, priority class, preemptibility, patience, topology."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from kai_py.api import keys
from kai_py.api.duration import Duration
from kai_py.api.model import MAX_LABEL_KEY
from kai_py.api.podgroup import MAX_NAME, Preemptibility, TopologyConstraint
from kai_py.errors import Fault
from kai_py.podgrouper.defaults import NO_DEFAULTS, KindDefaults, PriorityDefaults
from kai_py.podgrouper.errors import GroupingError
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.options import DEFAULT_OPTIONS, Options
from kai_py.podgrouper.surroundings import NOTHING, Memo, Surroundings

#: Kinds of work that KAI knows, as names of PriorityClasses.
TRAIN: Final = "train"
BUILD: Final = "build"
INFERENCE: Final = "inference"

#: So much of a text that is too long is shown.
_SHOWN: Final = 40


@dataclass(slots=True)
class Context:
    """What a rule may know beside the pod and its owners, and the warnings that it leaves.

    Attributes:
        priority_classes: names of those that exist; ``None`` when nobody knows, so that every name is believed.
        warnings: sentences about what was passed over.
        surroundings: other objects that a rule may need.
        defaults: what workloads get by their kind if nobody says otherwise.
        options: how rules are meant to work.
        memo: what has been made of owners before.
    """

    priority_classes: Container[str] | None = None
    warnings: list[str] = field(default_factory=list)
    surroundings: Surroundings = NOTHING
    defaults: PriorityDefaults = NO_DEFAULTS
    options: Options = DEFAULT_OPTIONS
    memo: Memo = field(default_factory=Memo)


def queue_of(lineage: Lineage) -> str:
    """The queue: by its own label, else by KAI's older ``project`` label, else the default queue."""
    if queue := lineage.label(keys.QUEUE_LABEL):
        return queue
    project, pool = lineage.label(keys.PROJECT_LABEL), lineage.label(keys.NODE_POOL_LABEL)
    if project:
        return f"{project}-{pool}" if pool else project
    return keys.DEFAULT_QUEUE


class PriorityClasses(NamedTuple):
    """Which PriorityClasses are named, whether they exist or not.

    Attributes:
        said: by whom, as messages name it, and which: the nearest owner, the pod, owners further up.
        by_kind: for workloads of this kind.
    """

    said: tuple[tuple[str, str], ...]
    by_kind: tuple[str, ...]

    def choose(self, context: Context, *, default: str) -> str:
        """The first that exists.

        Args:
            context: which classes exist; gets a warning for each one that is named and does not.
            default: that of the workload's kind, which need not exist.
        """
        exist = context.priority_classes
        for where, name in self.said:
            if exist is None or name in exist:
                return name
            context.warnings.append(f"{where}: there is no PriorityClass {name!r}")
        return next((name for name in self.by_kind if exist is None or name in exist), default)


def priority_classes_of(lineage: Lineage, context: Context) -> PriorityClasses:
    """The PriorityClasses that a lineage names, and that its kinds have by default."""
    said = tuple((lineage.where(voice), name) for voice, name in _priority_classes(lineage))
    by_kind = tuple(entry.priority_class for entry in _defaults(lineage, context) if entry.priority_class)
    return PriorityClasses(said, by_kind)


def _defaults(lineage: Lineage, context: Context) -> Iterator[KindDefaults]:
    """What is said about the kinds of a lineage: of what wraps the workload first, then from the nearest owner up."""
    if context.defaults:
        for one in (*reversed(lineage.envelopes), *(lineage.owners or (lineage.itself,))):
            if (entry := context.defaults.of(one.kind)) is not None:
                yield entry


def _priority_classes(lineage: Lineage) -> Iterator[tuple[Ancestor, str]]:
    for voice in lineage.voices:
        if name := voice.labels.get(keys.PRIORITY_CLASS_LABEL):
            yield voice, name
        if voice is lineage.itself and (name := lineage.pod.spec.priority_class_name):
            yield voice, name


def preemptibility_of(lineage: Lineage, context: Context) -> Preemptibility:
    """The first valid preemptibility label; empty when it is to follow from the priority."""
    for voice in lineage.voices:
        match voice.labels.get(keys.PREEMPTIBILITY_LABEL, ""):
            case "preemptible" | "non-preemptible" as found:
                return found
            case "":
                pass
            case wrong:
                context.warnings.append(
                    f"{lineage.where(voice)}: label {keys.PREEMPTIBILITY_LABEL} {wrong!r} means nothing"
                )
    return next((entry.preemptibility for entry in _defaults(lineage, context) if entry.preemptibility), "")


def duration_of(lineage: Lineage, context: Context, key: str, *, negative: bool) -> Duration | None:
    """The first annotation that is a duration.

    Args:
        lineage: the pod and its owners.
        context: gets a warning for each annotation that cannot be read.
        key: the annotation.
        negative: whether a negative duration means something.
    """
    for voice, text in lineage.annotations(key):
        try:
            duration = Duration.parse(text)
        except ValueError as error:
            context.warnings.append(f"{lineage.where(voice)}: annotation {key}: {error}")
            continue
        if negative or duration.nanoseconds >= 0:
            return duration
        context.warnings.append(f"{lineage.where(voice)}: annotation {key}: {text!r} is negative")
    return None


def topology_of(lineage: Lineage) -> TopologyConstraint | None:
    """The topology constraint of the annotations; ``None`` without any.

    One that names a level and no topology is passed on: whoever keeps constraints says what is missing.

    Raises:
        GroupingError: an annotation is longer than any name of a topology or of a level.
    """
    topology = _short(lineage, keys.TOPOLOGY_ANNOTATION, MAX_NAME)
    required = _short(lineage, keys.REQUIRED_LEVEL_ANNOTATION, MAX_LABEL_KEY)
    preferred = _short(lineage, keys.PREFERRED_LEVEL_ANNOTATION, MAX_LABEL_KEY)
    if not (topology or required or preferred):
        return None
    if lineage.owners and not (required or preferred) and not _said_by_owner(lineage, keys.TOPOLOGY_ANNOTATION):
        return None  # the pod names the topology of its segment
    return TopologyConstraint(topology=topology, required_topology_level=required, preferred_topology_level=preferred)


def _said_by_owner(lineage: Lineage, key: str) -> bool:
    return any(owner.annotations.get(key) for owner in (*lineage.owners, *lineage.envelopes))


def _short(lineage: Lineage, key: str, most: int) -> str:
    """The first annotation of a key, at most so many characters."""
    for voice, text in lineage.annotations(key):
        if len(text) > most:
            message = f"{text[:_SHOWN]!r}... has {len(text)} characters; {most} are the most"
            raise GroupingError([Fault(lineage.where(voice), f"metadata.annotations[{key}]", message)])
        return text
    return ""
