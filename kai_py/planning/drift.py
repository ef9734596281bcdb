"""How a cluster's queues, topologies and settings differ from the files that they should be as."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import yaml

from kai_py.api.model import CustomResource
from kai_py.api.queue import Queue
from kai_py.api.topology import Topology
from kai_py.errors import Fault, InputError
from kai_py.planning.manifests import Sourced, Unreadable, group_and_kind, unpacked
from kai_py.planning.objects import SETTINGS_KEY, SETTINGS_NAME
from kai_py.settings.load import load_settings

Json = dict[str, Any]
Change = Literal["missing", "extra", "differs"]

#: Of the CRDs that are compared, by kind.
MODELS: Final[Mapping[str, type[CustomResource]]] = {"Queue": Queue, "Topology": Topology}
#: What a value set of the chart calls them.
_SECTIONS: Final = {"Queue": "queues", "Topology": "topologies"}

_FREE: Final = {"quota": -1, "limit": -1, "overQuotaWeight": 1}
_ALL_FREE: Final = {"resources": {"cpu": _FREE, "memory": _FREE, "gpu": _FREE}}
#: Queues that the chart makes unless its values say otherwise.
DEFAULT_QUEUES: Final[Mapping[str, Json]] = {
    "default-parent-queue": _ALL_FREE,
    "default-queue": {"parentQueue": "default-parent-queue", **_ALL_FREE},
}


@dataclass
class Wanted:
    """What files say.

    Attributes:
        blueprint: name and version of the value set, for instance ``training@1.0.0``; empty if it has none.
        specs: by kind and name; a kind that no file speaks of is not compared.
        settings: the document; None if no file speaks of it.
    """

    blueprint: str = ""
    specs: dict[str, dict[str, Json]] = field(default_factory=dict)
    settings: Json | None = None

    def manifest(self, kind: str, name: str) -> Json:
        """An object as it should be."""
        model = MODELS[kind]
        api_version = f"{model.group}/{model.version}"
        return {
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {"name": name},
            "spec": self.specs[kind][name],
        }

    def document(self) -> str:
        """The settings as text."""
        return yaml.safe_dump(self.settings, sort_keys=False, allow_unicode=True) if self.settings else ""


@dataclass(frozen=True)
class Difference:
    """One thing that is not as it should be.

    Attributes:
        kind: ``Queue``, ``Topology`` or ``Settings``.
        name: of the object; empty for settings.
        change: ``missing`` in the cluster, ``extra`` in the cluster, or the field ``differs``.
        field: path of the field; empty for whole objects.
        wanted: what the files say; None is absent.
        live: what the cluster says; None is absent.
    """

    kind: str
    name: str
    change: Change
    field: str = ""
    wanted: object = None
    live: object = None

    def to_dict(self) -> Json:
        """As a document."""
        return {
            "kind": self.kind,
            "name": self.name,
            "change": self.change,
            "field": self.field,
            "wanted": self.wanted,
            "live": self.live,
        }


def read_wanted(documents: Iterable[Sourced]) -> Wanted:
    """What files say: value sets of the chart, manifests, or both. Manifests of other kinds are passed over.

    Raises:
        InputError: with all faults; each names its file.
    """
    wanted, faults = Wanted(), list[Fault]()
    for sourced in unpacked(documents):
        try:
            _read(wanted, sourced.manifest)
        except InputError as error:
            faults += [sourced.place(fault) for fault in error.faults]
    if not faults and not wanted.specs and wanted.settings is None:
        faults.append(Fault("the files", "", "speak of no queues, no topologies and no settings"))
    if faults:
        raise InputError(faults)
    return wanted


def _read(wanted: Wanted, document: object) -> None:
    if isinstance(document, Unreadable):
        raise InputError([Fault("", "", document.message)])
    if not isinstance(document, Mapping):
        raise InputError([Fault("", "", f"should be values of the chart or a manifest, not {repr(document)[:60]}")])
    if "kind" not in document:
        _read_values(wanted, document)
        return
    missing = [key for key in ("apiVersion", "kind") if not isinstance(document.get(key), str)]
    if missing:
        raise InputError([Fault("", key, "is required") for key in missing])
    group, kind = group_and_kind(document)
    model = MODELS.get(kind)
    meta = document.get("metadata")
    name = meta.get("name", "") if isinstance(meta, Mapping) else ""
    if model is not None and group == model.group:
        _add(wanted, kind, str(name), document.get("spec") or {})
    elif (group, kind, name) == ("", "ConfigMap", SETTINGS_NAME):
        _add_settings(wanted, (document.get("data") or {}).get(SETTINGS_KEY, ""))


def _read_values(wanted: Wanted, values: Mapping[str, Any]) -> None:
    """A value set of the chart; what it leaves out is as the chart has it."""
    blueprint = _section(values, "blueprint")
    if blueprint.get("name"):
        wanted.blueprint = f"{blueprint['name']}@{blueprint.get('version', '')}"
    specs = {kind: dict(_section(values, section)) for kind, section in _SECTIONS.items()}
    if _section(values, "defaultQueues").get("create", True):
        specs["Queue"] = {**DEFAULT_QUEUES, **specs["Queue"]}
    for kind, named in specs.items():
        wanted.specs.setdefault(kind, {})
        for name, spec in named.items():
            _add(wanted, kind, str(name), spec)
    _add_settings(wanted, _section(values, "settings"))


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name)
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise InputError([Fault("", name, f"should be a mapping, not {repr(section)[:60]}")])
    return section


def _add(wanted: Wanted, kind: str, name: str, spec: object) -> None:
    MODELS[kind].parse({"metadata": {"name": name}, "spec": spec})
    named = wanted.specs.setdefault(kind, {})
    if name in named:
        raise InputError([Fault(f"{kind} {name}", "metadata.name", "is given twice")])
    named[name] = dict(spec) if isinstance(spec, Mapping) else {}


def _add_settings(wanted: Wanted, document: str | Mapping[str, Any]) -> None:
    if wanted.settings is not None:
        raise InputError([Fault("settings", "", "are given twice")])
    load_settings(document)
    wanted.settings = (yaml.safe_load(document) or {}) if isinstance(document, str) else dict(document)


def differences(
    wanted: Wanted, live: Mapping[str, Iterable[Mapping[str, Any]]], settings: str | None
) -> Iterator[Difference]:
    """All differences, by kind, name and field. What means the same does not differ, however it is written.

    Args:
        wanted: what the files say.
        live: the cluster's objects by kind.
        settings: the cluster's document; None if there is none, which means all defaults.
    """
    for kind, specs in wanted.specs.items():
        found = {one["metadata"]["name"]: one.get("spec") or {} for one in live.get(kind, ())}
        for name in sorted({*specs, *found}):
            if name not in found:
                yield Difference(kind, name, "missing", wanted=specs[name])
            elif name not in specs:
                yield Difference(kind, name, "extra", live=found[name])
            else:
                meaning = _meaning_of(MODELS[kind])
                yield from _fields(kind, name, meaning(specs[name]), meaning(found[name]))
    if wanted.settings is not None:
        try:
            meant = _settings_meaning(settings or "")
        except InputError as error:
            yield Difference("Settings", "", "differs", "", wanted.settings, f"cannot be used: {error}")
        else:
            yield from _fields("Settings", "", _settings_meaning(wanted.settings), meant)


def _meaning_of(model: type[CustomResource]) -> Callable[[Json], Json]:
    """What a spec means, with all defaults; the spec itself where it cannot be understood."""

    def meaning(spec: Json) -> Json:
        try:
            parsed = model.parse({"metadata": {"name": "-"}, "spec": spec}).model_dump(mode="json", by_alias=True)
        except InputError:
            return spec
        described: Json = parsed["spec"]
        return described

    return meaning


def _settings_meaning(document: str | Mapping[str, Any]) -> Json:
    dumped: Json = load_settings(document).model_dump(mode="json", by_alias=True)
    return dumped


def _fields(kind: str, name: str, wanted: object, live: object, path: str = "") -> Iterator[Difference]:
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        for key in sorted({*wanted, *live}):
            below = f"{path}.{key}" if path else key
            yield from _fields(kind, name, wanted.get(key), live.get(key), below)
    elif wanted != live:
        yield Difference(kind, name, "differs", path, wanted, live)
