"""What is served where: (group, version, plural) → kind, codec, rules, and how its objects are spelled there."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from .events import EVENTS_API, Translation
from .kinds import BUILTIN, EVENTS, GATED, NEW_EVENTS, Kind
from .refusals import no_such_path
from .rules import NEW_EVENT_RULES, builtin_rules
from .rules.base import Rules
from .schemas.codec import BuiltinSchemas, Codec
from .store import Collection, Store

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One version of one kind, as served.

    Attributes:
        kind: names and properties under which clients see it.
        version: the version served here.
        collection: where its objects are; ``collection.kind`` is the stored kind.
        codec: how request bodies are read, in this version's spelling.
        rules: defaults, admission and validation, in the stored spelling.
        translation: to and from the stored spelling, where they differ.
        columns: additional printer columns of a custom kind.
        scale: where a custom kind keeps its replicas, if it has a ``scale`` subresource.
    """

    kind: Kind
    version: str
    collection: Collection
    codec: Codec
    rules: Rules
    translation: Translation | None = None
    columns: tuple[Object, ...] = ()
    scale: Object | None = None

    @property
    def group_version(self) -> str:
        """``v1`` or ``apps/v1``, as in ``apiVersion``."""
        return f"{self.kind.group}/{self.version}" if self.kind.group else self.version


class Registry:
    """All endpoints."""

    def __init__(self, store: Store, gates: AbstractSet[str] = frozenset()) -> None:
        self._store = store
        self.schemas = BuiltinSchemas()
        self._endpoints: dict[tuple[str, str, str], Endpoint] = {}
        self._stored: dict[str, Endpoint] = {}
        self.generation = 0
        rules = builtin_rules(gates)
        for kind in (*BUILTIN, *(kind for gate, kind in GATED if gate in gates)):
            codec = self.schemas.codec(kind.group, kind.version, kind.kind)
            self.add(Endpoint(kind, kind.version, store.add_collection(kind), codec, rules.get(kind.key, Rules())))
        events = self._stored[EVENTS.key]
        codec = self.schemas.codec(NEW_EVENTS.group, NEW_EVENTS.version, NEW_EVENTS.kind)
        self.add(Endpoint(NEW_EVENTS, NEW_EVENTS.version, events.collection, codec, NEW_EVENT_RULES, EVENTS_API))

    def add(self, endpoint: Endpoint) -> None:
        """Serve an endpoint, replacing what was there."""
        self._endpoints[endpoint.kind.group, endpoint.version, endpoint.kind.plural] = endpoint
        if endpoint.translation is None:
            self._stored[endpoint.kind.key] = endpoint
        self.generation += 1

    def remove(self, group: str, plural: str) -> None:
        """Stop serving a kind in all versions."""
        for key in [key for key in self._endpoints if key[0] == group and key[2] == plural]:
            del self._endpoints[key]
        self._stored.pop(f"{plural}.{group}", None)
        self.generation += 1

    def endpoint(self, group: str, version: str, plural: str) -> Endpoint:
        """What is served at a path.

        Raises:
            RefusedError: 404, nothing.
        """
        try:
            return self._endpoints[group, version, plural]
        except KeyError:
            raise no_such_path() from None

    def stored(self, key: str) -> Endpoint:
        """The endpoint of a kind in its stored version, by ``pods`` or ``deployments.apps``.

        Raises:
            RefusedError: 404, no such kind.
        """
        try:
            return self._stored[key]
        except KeyError:
            raise no_such_path() from None

    def knows(self, key: str) -> bool:
        """Whether a kind is served."""
        return key in self._stored

    def all_stored(self) -> Iterator[Endpoint]:
        """Every kind once, in its stored version."""
        return iter(tuple(self._stored.values()))

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(tuple(self._endpoints.values()))

    def by_kind(self, api_version: str, kind: str) -> Endpoint | None:
        """What an ``apiVersion`` and ``kind`` refer to, e.g. in an owner reference."""
        group, _, _version = api_version.rpartition("/")
        for endpoint in self._stored.values():
            if endpoint.kind.group == group and endpoint.kind.kind == kind:
                return endpoint
        return None
