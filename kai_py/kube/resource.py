"""Which kind of object: its place in the URL space and the type it is decoded to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True)
class ResourceKind(Generic[T]):
    """A kind as the API server serves it.

    Attributes:
        group: API group; empty for the core group.
        version: e.g. ``v1``.
        plural: lower case, as in the URL.
        struct: what an object is decoded to; its name names the kind in messages.
        namespaced: whether objects live in namespaces.
    """

    group: str
    version: str
    plural: str
    struct: type[T]
    namespaced: bool = True

    @property
    def kind(self) -> str:
        """What messages call it."""
        return self.struct.__name__

    @property
    def full_name(self) -> str:
        """As ``kubectl get`` takes it whatever the version: ``pods``, ``jobs.batch``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """As in the objects' ``apiVersion``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """Path of the group and version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """URL path of a collection, an object or its subresource.

        Args:
            namespace: empty for cluster-scoped kinds, and for the collection over all namespaces.
            name: empty for the collection.
            subresource: e.g. ``status``; needs a name.
        """
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def __str__(self) -> str:
        return f"{self.full_name}/{self.version}"
