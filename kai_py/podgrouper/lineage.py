"""A pod and its owners, from the nearest to the top."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from kai_py.api.keys import SKIP_PODGROUPER
from kai_py.api.meta import NO_STRINGS, ObjectMeta, OwnerReference, PartialObject
from kai_py.api.pod import Pod


@dataclass(frozen=True, slots=True)
class Ancestor:
    """An owner, or the pod itself: what a reference says of it, and the object if we know it."""

    reference: OwnerReference
    known: PartialObject | None = None

    @property
    def kind(self) -> tuple[str, str]:
        """``(group, kind)``; the version does not matter."""
        return self.reference.group, self.reference.kind

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels; none while it is unknown."""
        return self.known.metadata.labels if self.known else NO_STRINGS

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations; none while it is unknown."""
        return self.known.metadata.annotations if self.known else NO_STRINGS


@dataclass(frozen=True, slots=True)
class Lineage:
    """A pod and its owners.

    Attributes:
        pod: the pod.
        itself: the pod in the role of an owner, as it is for its own group.
        owners: nearest first.
        envelopes: owners above them that only wrap what decides: they are heard last, and have no group. Nearest first.
    """

    pod: Pod
    itself: Ancestor
    owners: tuple[Ancestor, ...]
    envelopes: tuple[Ancestor, ...] = ()

    @property
    def voices(self) -> tuple[Ancestor, ...]:
        """In the order in which they are heard: the nearest owner, the pod, owners further up."""
        return *self.owners[:1], self.itself, *self.owners[1:], *self.envelopes

    @property
    def top(self) -> Ancestor:
        """What its user made: the topmost owner, or else the pod."""
        return (self.itself, *self.owners, *self.envelopes)[-1]

    @property
    def missing(self) -> OwnerReference | None:
        """The owner at which the climb ended because nobody knows it, if there is one: the answer may yet change."""
        return self.top.reference if self.top.known is None else None

    def unwrapped(self, envelopes: Container[tuple[str, str]]) -> Lineage:
        """The lineage with topmost owners of these kinds as envelopes."""
        kept = len(self.owners)
        while kept and self.owners[kept - 1].kind in envelopes:
            kept -= 1
        if kept == len(self.owners):
            return self
        return Lineage(self.pod, self.itself, self.owners[:kept], self.owners[kept:])

    def nearest(self, kind: tuple[str, str]) -> Ancestor | None:
        """The nearest owner of a kind."""
        return next((owner for owner in self.owners if owner.kind == kind), None)

    @property
    def skipped(self) -> bool:
        """Whether the pod or one of its owners asks to be left alone."""
        return any(voice.annotations.get(SKIP_PODGROUPER) == "true" for voice in self.voices)

    def where(self, ancestor: Ancestor) -> str:
        """How messages name an ancestor: ``Job default/train``."""
        namespace = self.pod.metadata.namespace
        return f"{ancestor.reference.kind} {f'{namespace}/' if namespace else ''}{ancestor.reference.name}"

    def label(self, key: str) -> str:
        """The first label that is not empty; empty if nobody has one."""
        return next((value for voice in self.voices if (value := voice.labels.get(key))), "")

    def annotations(self, key: str) -> Iterator[tuple[Ancestor, str]]:
        """All annotations of this key that are not empty, and whose they are."""
        return ((voice, value) for voice in self.voices if (value := voice.annotations.get(key)))


def trace(pod: Pod, owners: Mapping[str, PartialObject]) -> Lineage:
    """Climb from a pod to its top owner.

    Args:
        pod: the pod.
        owners: objects by uid. Where one is not among them, the climb ends: its reference is the top.
    """
    meta = pod.metadata
    itself = Ancestor(
        OwnerReference(api_version="v1", kind="Pod", name=meta.name, uid=meta.uid), PartialObject(metadata=meta)
    )
    chain: list[Ancestor] = []
    seen: set[str] = set()
    reference = _owner_of(meta)
    while reference is not None and reference.uid not in seen:  # a cycle of owners ends where it began
        seen.add(reference.uid)
        known = owners.get(reference.uid)
        chain.append(Ancestor(reference, known))
        reference = _owner_of(known.metadata) if known else None
    return Lineage(pod, itself, tuple(chain))


def _owner_of(meta: ObjectMeta) -> OwnerReference | None:
    """The controller; where none is marked, as some operators forget to, the first owner."""
    return meta.controller or (meta.owner_references[0] if meta.owner_references else None)
