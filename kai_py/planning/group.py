"""Which podgroup a pod belongs to, asked with manifests: the same rules as in production."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from msgspec.structs import replace

from kai_py.api.decode import convert, identity
from kai_py.api.keys import PODGROUP_ANNOTATION, PRIORITY_CLASS_LABEL, RAY_PRIORITY_CLASS_LABEL
from kai_py.api.meta import ObjectMeta, OwnerReference, PartialObject
from kai_py.api.pod import Pod
from kai_py.api.podgroup import PodGroup
from kai_py.api.topology import Topology
from kai_py.api.workload import Workload
from kai_py.errors import Fault, MalformedObjectError
from kai_py.planning.manifests import Sourced, defaulted, group_and_kind, unpacked
from kai_py.planning.objects import SETTINGS_KEY, SETTINGS_NAME
from kai_py.planning.samples import samples
from kai_py.podgrouper.defaults import NO_DEFAULTS, PriorityDefaults, read_defaults
from kai_py.podgrouper.errors import GroupingError, GroupingPending
from kai_py.podgrouper.grouping import Grouper
from kai_py.podgrouper.manifest import manifest_of
from kai_py.podgrouper.options import Options
from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings

Json = dict[str, Any]
Manifest = Mapping[str, Any]
T = TypeVar("T", Pod, Workload)

_PODGROUP: Final = ("scheduling.run.ai", "PodGroup")


def group(
    pod: Manifest,
    owners: Sequence[Manifest] = (),
    *,
    objects: Iterable[Manifest] = (),
    settings: Mapping[str, Any] | str | None = None,
) -> Json | None:
    """Tell which podgroup a pod belongs to.

    Args:
        pod: the pod.
        owners: its owners, nearest first. References without a uid are matched by kind and name.
        objects: whatever else a rule may read: child resources, PriorityClasses, podgroups that exist already, other
            pods, the ConfigMap with default priorities. A PriorityClass that is not among them does not exist.
        settings: the settings document; of it, ``podGroups`` counts.

    Returns:
        ``podGroup`` (a manifest), ``subGroup`` (its name or null), ``written`` (whether ``run`` creates the object)
        and ``warnings``. ``None`` when the pod is to be left alone: it or an owner says so, or nobody owns it and it
        names a podgroup.

    Raises:
        GroupingError: an owner cannot be understood. Names object and field.
        GroupingPending: an owner or a child that the rule needs is not given.
        SettingsError: the settings are malformed.
    """
    return _answer(pod, owners, objects, load_settings(settings) if settings else Settings(), complete=False)


def _answer(
    pod: Manifest, owners: Sequence[Manifest], objects: Iterable[Manifest], chosen: Settings, *, complete: bool
) -> Json | None:
    """The answer of :func:`group`; ``complete`` means that an owner who is not given cannot be had."""
    whole = _converted(Pod, pod)
    if not whole.metadata.owner_references and whole.metadata.annotations.get(PODGROUP_ANNOTATION):
        return None
    known = [_workload(one) for one in owners]
    others = Others([*objects, *owners])
    uids = {(_group(one), one.kind, one.metadata.name): one.metadata.uid for one in known}
    linked = [replace(one, metadata=_linked(one.metadata, uids)) for one in known]
    defaults, warnings = default_priorities(chosen, others.config_maps)
    grouper = Grouper(
        Options.of(chosen.pod_groups),
        priority_classes=others.priority_classes,
        surroundings=others,
        defaults=defaults,
        expects=lambda _owner, _namespace: not complete,
    )
    membership = grouper.derive(
        replace(whole, metadata=_linked(whole.metadata, uids)), {one.metadata.uid: one for one in linked}
    )
    if membership is None:
        return None
    assert membership.group is not None  # derived, not named
    return {
        "podGroup": manifest_of(membership.group),
        "subGroup": membership.subgroup,
        "written": membership.written,
        "warnings": [*warnings, *membership.warnings],
    }


class Groups(NamedTuple):
    """What is known of many pods.

    Attributes:
        answers: one of :func:`group` for each pod that has one, with the pod's name under ``pod``.
        faults: what is wrong with others.
        unknown: whether some of these would have an answer if more were given.
    """

    answers: list[Json]
    faults: list[Fault]
    unknown: bool


def groups(
    manifests: Iterable[Sourced | Manifest], *, settings: Mapping[str, Any] | str | None = None, live: bool = False
) -> Groups:
    """Tell which podgroup each pod belongs to.

    Args:
        manifests: pods, workloads and whatever else rules read. Workloads that own none of the pods are asked about
            with the pods that their controller would make. Without any PriorityClass among them, every name is
            believed.
        settings: the settings document.
        live: they are all that a cluster has. Pods of its schedulers are asked about and nothing else, and an owner
            whom nobody may read is taken at the word of the references to it, as by ``run``.
    """
    answers: list[Json] = []
    faults: list[Fault] = []
    unknown = False
    whole = _defaulted(manifests, faults)
    settings = settings or _settings_among(whole)
    chosen = load_settings(settings) if settings else Settings()
    others = whole
    if not any(group_and_kind(one) == ("scheduling.k8s.io", "PriorityClass") for one in whole):
        others = [*whole, *_believed(whole)]
    for pod, owners, beside in _of_schedulers(whole, chosen) if live else _questions(whole):
        try:
            answer = _answer(pod, owners, [*beside, *others], chosen, complete=live)
        except MalformedObjectError as error:
            faults += [fault for fault in error.faults if fault not in faults]
            unknown |= isinstance(error, GroupingPending)
            continue
        name = "/".join(pod["metadata"][part] for part in ("namespace", "name"))
        left: Json = {"podGroup": None, "subGroup": None, "written": False, "warnings": []}
        answers.append({"pod": name, **(answer or left)})
    return Groups(answers, faults, unknown)


def _of_schedulers(whole: Sequence[Json], settings: Settings) -> Iterator[tuple[Json, list[Json], list[Json]]]:
    """Questions about the pods of our schedulers."""
    known = {(*group_and_kind(one), *_key(one)): one for one in whole}
    for pod in whole:
        if group_and_kind(pod) == ("", "Pod") and pod["spec"].get("schedulerName") in settings.scheduler_names:
            yield pod, _chain(pod, known), []


def _defaulted(manifests: Iterable[Sourced | Manifest], faults: list[Fault]) -> list[Json]:
    whole: list[Json] = []
    for position, sourced in enumerate(unpacked(manifests)):
        try:
            whole.append(defaulted(sourced.manifest, position, 0.0))
        except MalformedObjectError as error:
            faults += [sourced.place(fault) for fault in error.faults]
    return whole


def _settings_among(manifests: Iterable[Json]) -> str | None:
    """The settings document of a ConfigMap of that name."""
    maps = (one for one in manifests if group_and_kind(one) == ("", "ConfigMap"))
    data = next((one.get("data") for one in maps if one["metadata"]["name"] == SETTINGS_NAME), None)
    text = data.get(SETTINGS_KEY) if isinstance(data, Mapping) else None
    return text if isinstance(text, str) else None


def _believed(manifests: Iterable[Json]) -> list[Json]:
    """A PriorityClass for each name that is mentioned."""
    text = json.dumps(list(manifests), default=str)
    names = {*re.findall(rf'"(?:{PRIORITY_CLASS_LABEL}|{RAY_PRIORITY_CLASS_LABEL})": "([^"]+)"', text)}
    return [
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}} for name in names
    ]


def _questions(manifests: Sequence[Json]) -> Iterator[tuple[Json, list[Json], list[Json]]]:
    """Pods with their owners, nearest first, and objects beside these."""
    known = {(*group_and_kind(one), *_key(one)): one for one in manifests}
    used: set[int] = set()
    for pod in manifests:
        if group_and_kind(pod) == ("", "Pod"):
            owners = _chain(pod, known)
            used.update(map(id, owners))
            yield pod, owners, []
    parents = {id(owner) for one in manifests for owner in _chain(one, known)}
    for workload in manifests:
        if id(workload) not in used | parents:
            for pod, owners, beside in samples(workload):
                yield pod, [*owners, *_chain(workload, known)], beside


def _chain(one: Json, known: Mapping[tuple[str, str, str, str], Json]) -> list[Json]:
    """The owners among the manifests, nearest first."""
    chain: list[Json] = []
    here: Json | None = one
    while here is not None:
        references = here["metadata"].get("ownerReferences") or []
        above = next((ref for ref in references if ref.get("controller")), references[0] if references else None)
        group = str(above["apiVersion"]).rpartition("/")[0] if above else ""
        here = known.get((group, above["kind"], _key(one)[0], above["name"])) if above else None
        if here is None or here in chain:
            break
        chain.append(here)
    return chain


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


class Others:
    """Manifests as the surroundings of a pod.

    Args:
        objects: of any kind.
    """

    def __init__(self, objects: Iterable[Manifest]) -> None:
        self.priority_classes: set[str] = set()
        self.config_maps: dict[tuple[str, str], Manifest] = {}
        self._pods: list[ObjectMeta] = []
        self._podgroups: dict[tuple[str, str], PodGroup] = {}
        self._levels: dict[str, set[str]] = {}
        self._rest: dict[tuple[str, str, str, str], PartialObject] = {}
        for one in objects:
            self._sort_in(one)

    def _sort_in(self, manifest: Manifest) -> None:
        workload = _workload(manifest)
        kind, meta = (_group(workload), workload.kind), workload.metadata
        match kind:
            case ("scheduling.k8s.io", "PriorityClass"):
                self.priority_classes.add(meta.name)
            case ("", "ConfigMap"):
                self.config_maps[meta.key] = manifest
            case ("", "Pod"):
                self._pods.append(meta)
            case ("kai.scheduler", "Topology"):
                self._levels[meta.name] = {level.node_label for level in Topology.parse(manifest).spec.levels}
            case _ if kind == _PODGROUP:
                self._podgroups[meta.key] = PodGroup.parse(manifest)
        self._rest[*kind, *meta.key] = workload

    def find(self, group: str, kind: str, namespace: str, name: str) -> PartialObject | None:
        """An object, in any version."""
        return self._rest.get((group, kind, namespace, name))

    def serves(self, group: str, kind: str) -> bool:
        """Whether there are objects of a kind."""
        return any(name[:2] == (group, kind) for name in self._rest)

    def podgroup(self, namespace: str, name: str) -> PodGroup | None:
        """A PodGroup that exists already."""
        return self._podgroups.get((namespace, name))

    def topology(self, node_label: str) -> str:
        """Name of the Topology that has a node label as a level; empty if there is none, or several."""
        names = [name for name, labels in self._levels.items() if node_label in labels]
        return names[0] if len(names) == 1 else ""

    def pods(self, namespace: str, labels: Mapping[str, str]) -> Iterable[ObjectMeta]:
        """The pods of a namespace that have these labels."""
        return (
            pod
            for pod in self._pods
            if pod.namespace == namespace and all(pod.labels.get(key) == value for key, value in labels.items())
        )


def default_priorities(
    settings: Settings, config_maps: Mapping[tuple[str, str], Manifest]
) -> tuple[PriorityDefaults, tuple[str, ...]]:
    """The default priorities that the settings point at, and what is wrong with them.

    Args:
        settings: may name a ConfigMap.
        config_maps: by (namespace, name).
    """
    where = settings.pod_groups.default_priorities_config_map
    if where is None:
        return NO_DEFAULTS, ()
    name = f"ConfigMap {where.namespace}/{where.name}"
    found = config_maps.get((where.namespace, where.name))
    if found is None:
        return NO_DEFAULTS, (f"{name} with default priorities does not exist",)
    defaults, wrong = read_defaults(found.get("data"))
    return defaults, tuple(f"{name}: {text}" for text in wrong)


def _workload(manifest: Manifest) -> Workload:
    """An object with a uid: one that was written by hand may have none."""
    # Of kinds such as ConfigMap and Pod neither spec nor status has to be an object that we can read.
    workload = _converted(Workload, manifest)
    if workload.metadata.uid:
        return workload
    return replace(workload, metadata=replace(workload.metadata, uid=f"uid-{workload.kind}-{workload.metadata.name}"))


def _converted(struct: type[T], manifest: Manifest) -> T:
    try:
        return convert(struct, manifest)
    except MalformedObjectError as error:
        where = identity(str(manifest.get("kind", struct.__name__)), manifest)
        raise GroupingError([Fault(where, fault.field, fault.message) for fault in error.faults]) from error


def _group(workload: Workload) -> str:
    return workload.api_version.rpartition("/")[0]


def _linked(meta: ObjectMeta, uids: Mapping[tuple[str, str, str], str]) -> ObjectMeta:
    return replace(meta, owner_references=tuple(_with_uid(owner, uids) for owner in meta.owner_references))


def _with_uid(owner: OwnerReference, uids: Mapping[tuple[str, str, str], str]) -> OwnerReference:
    return owner if owner.uid else replace(owner, uid=uids.get((owner.group, owner.kind, owner.name), ""))
