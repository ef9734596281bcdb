"""Objects that can be shown to strangers: names, labels and free texts replaced, and the same decisions as before.

Whatever is not known to be harmless is replaced. These stay: names of resources, drivers, classes of devices, of
priorities and of storage, attributes and capacities of devices, CEL expressions, schedulers' names, the settings and
the values of labels that they name, numbers and times, and label keys of well-known domains.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from kai_py.api import keys
from kai_py.cluster.usage import USAGE_KEY
from kai_py.errors import SettingsError
from kai_py.planning.manifests import Manifest, group_and_kind
from kai_py.planning.objects import SETTINGS_KEY, SETTINGS_NAME
from kai_py.planning.renaming import Renaming, words_of
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings

Json = dict[str, Any]
Rename = Callable[[str], str]

_PUBLIC: Final = re.compile(
    r"^([a-z0-9.-]+\.)?(kubernetes\.io|k8s\.io|nvidia\.com|amd\.com|intel\.com|kai\.scheduler|run\.ai|kubeflow\.org"
    r"|ray\.io|knative\.dev|grove\.io|x-k8s\.io)/"
)
#: Numbers, amounts, durations and times.
_MEASURE: Final = re.compile(r"[-+]?[0-9][0-9.]*([eE][-+]?[0-9]+)?([numkMGTPE]i?|%)?|([0-9.]+(ns|us|ms|h|m|s))+")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|[-+][0-9:]+)")
#: A word out of a list of the API, such as ``NoSchedule``.
_CHOICE: Final = re.compile(r"[A-Z][A-Za-z]*")
#: Fields whose text is a name or somebody's words, whatever it looks like.
_NAMES: Final = frozenset(
    {"name", "namespace", "uid", "queue", "parentQueue", "value", "values", "user", "displayName"}
)
_STAYS: Final = frozenset(
    {
        "apiGroup",
        "apiVersion",
        "attacher",
        "deviceClassName",
        "distinctAttribute",
        "driver",
        "expression",
        "group",
        "kind",
        "matchAttribute",
        "preemptibility",
        "priorityClassName",
        "provisioner",
        "resource",
        "schedulerName",
        "storageClassName",
        "version",
    }
)
#: Maps from names of resources, or of what devices have.
_AMOUNTS: Final = frozenset(
    {
        "allocatable",
        "allocated",
        "allocatedResources",
        "attributes",
        "capacity",
        "consumedCapacity",
        "counters",
        "fairShare",
        "hard",
        "limits",
        "minResources",
        "overhead",
        "podFixed",
        "requested",
        "requests",
    }
)
_LABELS: Final = frozenset({"labels", "matchLabels", "nodeSelector", "selector"})
_LABEL_KEYS: Final = frozenset(
    {
        "key",
        "labelKey",
        "matchLabelKeys",
        "mismatchLabelKeys",
        "nodeLabel",
        "preferredTopologyLevel",
        "requiredTopologyLevel",
        "topologyKey",
        "topologyKeys",
    }
)
#: Kinds whose own name stays.
_NAMED_AS_BEFORE: Final = frozenset({"ConfigMap", "CSIDriver", "DeviceClass", "PriorityClass", "StorageClass"})
_KNOWN_KEYS: Final = frozenset({value for value in vars(keys).values() if isinstance(value, str)} | {"metadata.name"})
#: Labels whose values are words with a meaning.
_MEANT: Final = frozenset(
    {
        keys.PREEMPTIBILITY_LABEL,
        keys.PRIORITY_CLASS_LABEL,
        keys.RAY_PRIORITY_CLASS_LABEL,
        keys.KUBEFLOW_REPLICA_TYPE_LABEL,
        keys.KUBEFLOW_ROLE_LABEL,
        keys.NODE_POOL_LABEL,
        "kubernetes.io/arch",
        "kubernetes.io/os",
        "ray.io/node-type",
    }
)
_LEVELS: Final = frozenset({keys.REQUIRED_LEVEL_ANNOTATION, keys.PREFERRED_LEVEL_ANNOTATION})
#: Annotations with words that have a meaning, and those that nobody reads here.
_MEANT_ANNOTATIONS: Final = frozenset(
    {keys.RANK_PATTERN_ANNOTATION, keys.NUMA_OBSERVED_ANNOTATION, keys.NUMA_PREDICTED_ANNOTATION}
)
_UNREAD_ANNOTATIONS: Final = frozenset({keys.TOP_OWNER_ANNOTATION, keys.DERIVED_ANNOTATION})


def redacted(objects: Iterable[Manifest]) -> tuple[list[Json], Rename]:
    """Objects under other names, and what every text has become.

    Args:
        objects: as in a snapshot; not changed.
    """
    originals = list(objects)
    settings = _settings_among(originals)
    words: set[str] = set()

    def note(text: str) -> str:
        words.update(words_of(text))
        return text

    for one in originals:
        _Redaction(note, settings).object(one)
    renaming = Renaming(words)
    return [_Redaction(renaming.of, settings).object(one) for one in originals], renaming.of


def _settings_among(objects: Iterable[Manifest]) -> Settings:
    for one in objects:
        if group_and_kind(one) == ("", "ConfigMap") and one["metadata"]["name"] == SETTINGS_NAME:
            with suppress(SettingsError):  # a cluster whose settings are refused is one that needs a report
                return load_settings((one.get("data") or {}).get(SETTINGS_KEY) or "")
    return Settings()


class _Redaction:
    """One pass over objects."""

    def __init__(self, rename: Rename, settings: Settings) -> None:
        self._rename = rename
        roles = [role for kind in settings.pod_groups.kinds for role in kind.roles]
        pool = {settings.node_pool.label_key} if settings.node_pool else set()
        self._meant = _MEANT | pool | {key for role in roles for key in role.labels}
        self._known = _KNOWN_KEYS | self._meant

    def object(self, manifest: Manifest) -> Json:
        kind = manifest["kind"]
        if kind == "ConfigMap":
            data = {key: self._data(key, text) for key, text in (manifest.get("data") or {}).items()}
            return {**manifest, "data": data}
        if kind == "NodeResourceTopology":
            return {**manifest, "metadata": self._any(manifest["metadata"], "metadata")}
        whole: Json = self._any(manifest, "")
        if kind in _NAMED_AS_BEFORE:
            whole["metadata"]["name"] = manifest["metadata"]["name"]
        return whole

    def _data(self, key: str, text: str) -> str:
        """Of ConfigMaps, which are the scheduler's own, only the usage has names that are not settings."""
        if key != USAGE_KEY:
            return text
        try:
            book = json.loads(text)
            for bucket in book["buckets"]:
                bucket["used"] = {self._rename(name): amounts for name, amounts in bucket["used"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            return "{}"  # neither can the scheduler read it, and whatever it is, strangers need not
        return json.dumps(book)

    def _any(self, value: Any, field: str, above: str = "") -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value, field)
        if isinstance(value, list | tuple):
            return [
                self._fields(item, field) if isinstance(item, Mapping) else self._any(item, field, above)
                for item in value
            ]
        return self._text(value, field, above) if isinstance(value, str) else value

    def _mapping(self, value: Mapping[str, Any], field: str) -> Any:
        if field in _AMOUNTS:
            return dict(value)
        # Devices and volumes have a `nodeSelector` that is made of terms.
        if field in _LABELS and all(isinstance(text, str) for text in value.values()):
            return {self._key(key): self._label(key, text) for key, text in value.items()}
        if field == "annotations":
            kept = (key for key in value if self._is_known(key) and key not in _UNREAD_ANNOTATIONS)
            return {key: self._annotation(key, value[key]) for key in kept}
        return self._fields(value, field)

    def _fields(self, value: Mapping[str, Any], field: str) -> Json:
        """An object, or an entry of the list that a field is."""
        meant = value.get("key") in self._meant
        return {
            key: item if meant and key in ("values", "value") else self._any(item, key, field)
            for key, item in value.items()
        }

    def _text(self, text: str, field: str, above: str) -> str:
        if field in _LABEL_KEYS:
            return self._key(text)
        if field in _STAYS or (field == "name" and above in ("additional", "drivers")):
            return text
        if field in _NAMES:
            return self._rename(text)
        plain = _PUBLIC.match(text) or _CHOICE.fullmatch(text)
        return text if plain or _is_measure(text) else self._rename(text)

    def _is_known(self, key: str) -> bool:
        return key in self._known or _PUBLIC.match(key) is not None

    def _key(self, key: str) -> str:
        return key if self._is_known(key) else self._rename_below(key)

    def _rename_below(self, key: str) -> str:
        """The label of a shared device has the device in its key."""
        prefix = f"{keys.GPU_GROUP_LABEL}/"
        return prefix + self._rename(key.removeprefix(prefix)) if key.startswith(prefix) else self._rename(key)

    def _label(self, key: str, text: str) -> str:
        return text if key in self._meant else self._rename(text)

    def _annotation(self, key: str, text: str) -> str:
        if key in _MEANT_ANNOTATIONS or _is_measure(text):
            return text
        return self._key(text) if key in _LEVELS else self._rename(text)


def _is_measure(text: str) -> bool:
    return _MEASURE.fullmatch(text) is not None or _TIME.fullmatch(text) is not None
