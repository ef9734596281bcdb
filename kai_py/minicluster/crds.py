"""CustomResourceDefinitions become endpoints the moment they are stored."""

from __future__ import annotations

from typing import Any, Final

from .events import Translation
from .kinds import CRDS, Kind
from .registry import Endpoint, Registry
from .rules.base import Rules
from .schemas.structural import StructuralCodec
from .schemas.typed import StructBuilder, TypedDecoder
from .store import Change, Object, Store

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_OPEN_SCHEMA: Final[Object] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class CustomKinds:
    """Watches CustomResourceDefinitions and keeps the registry in step, synchronously with the write."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._metadata = TypedDecoder(StructBuilder(registry.schemas.definitions), _META)

    def observe(self, kind: Kind, change: Change) -> None:
        """Take a change of a definition; changes of other kinds are none of ours."""
        if kind.key != CRDS.key:
            return
        definition = change.entry.object()
        names = definition["spec"]["names"]
        self._registry.remove(definition["spec"]["group"], names["plural"])
        if change.type == "DELETED":
            self._store.drop_collection(f"{names['plural']}.{definition['spec']['group']}")
        else:
            self._serve(definition)

    def _serve(self, definition: Object) -> None:
        versions = definition["spec"]["versions"]
        stored = next(version for version in versions if version["storage"])
        collection = self._store.add_collection(_kind(definition, stored))
        served = [version for version in versions if version["served"]]
        for version in served:
            schema = (version.get("schema") or {}).get("openAPIV3Schema") or _OPEN_SCHEMA
            self._registry.add(
                Endpoint(
                    kind=_kind(definition, version),
                    version=version["name"],
                    collection=collection,
                    codec=StructuralCodec(schema, self._metadata, self._registry.schemas.definitions),
                    rules=Rules(),
                    translation=None if version is stored else _renaming(definition, stored["name"], version["name"]),
                    columns=tuple(version.get("additionalPrinterColumns") or ()),
                    scale=(version.get("subresources") or {}).get("scale"),
                )
            )


def _kind(definition: Object, version: Object) -> Kind:
    spec, names = definition["spec"], definition["spec"]["names"]
    subresources = version.get("subresources") or {}
    return Kind(
        group=spec["group"],
        version=version["name"],
        kind=names["kind"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        namespaced=spec["scope"] == "Namespaced",
        versions=tuple(v["name"] for v in spec["versions"] if v["served"]),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=tuple(key for key in ("status", "scale") if key in subresources),
        counts_generation=True,
        selectable=tuple(field["jsonPath"].lstrip(".") for field in version.get("selectableFields") or ()),
        unconditional_update=False,
        custom=True,
        list_kind=names.get("listKind", ""),
    )


def _renaming(definition: Object, stored: str, served: str) -> Translation:
    """Conversion strategy None: only ``apiVersion`` differs between versions."""
    group = definition["spec"]["group"]

    def rename(version: str) -> Any:
        def renamed(obj: Object) -> Object:
            return obj | {"apiVersion": f"{group}/{version}"}

        return renamed

    return Translation(to_stored=rename(stored), to_served=rename(served))
