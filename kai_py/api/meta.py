"""Object metadata, and the base of all slim structs.

These structs hold what a scheduler reads, no more: unknown fields are skipped by the decoder, absent ones share one
immutable default. They are frozen and untracked by the garbage collector, because there are a hundred thousand of
them and none is ever part of a cycle. To change one, make another with ``msgspec.structs.replace``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec

#: The default of every map: one object for all, and nobody can write to it by accident.
NO_STRINGS: Final[Mapping[str, str]] = MappingProxyType({})

#: As it is sent; ``api.quantity`` gives it a meaning.
Quantity = str | int | float
NO_QUANTITIES: Final[Mapping[str, Quantity]] = MappingProxyType({})


class Record(msgspec.Struct, rename="camel", omit_defaults=True, gc=False, frozen=True):
    """Base of the slim structs: camelCase on the wire, frozen, untracked by the garbage collector.

    All but ``frozen`` is inherited without saying; that one is repeated, because type checkers want to see it.
    """


class OwnerReference(Record, frozen=True):
    """Who an object belongs to; at most one of an object's owners is its controller."""

    api_version: str
    kind: str
    name: str
    uid: str = ""
    controller: bool = False

    @property
    def group(self) -> str:
        """The API group without its version; empty for the core group."""
        return self.api_version.rpartition("/")[0]


class ObjectMeta(Record, frozen=True):
    """Identity and life cycle of an object. Timestamps are RFC 3339 text, as sent."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: Mapping[str, str] = NO_STRINGS
    annotations: Mapping[str, str] = NO_STRINGS
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """``(namespace, name)``: how objects are sorted and named everywhere."""
        return self.namespace, self.name

    @property
    def controller(self) -> OwnerReference | None:
        """The controlling owner, if there is one."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class PartialObject(Record, frozen=True):
    """Any object of which only the metadata matters (``PartialObjectMetadata``)."""

    metadata: ObjectMeta
    api_version: str = ""
    kind: str = ""


class Namespace(Record, frozen=True):
    """A Namespace: its labels decide about queues and pod affinity."""

    metadata: ObjectMeta
