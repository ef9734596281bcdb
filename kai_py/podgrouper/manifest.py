"""A derived podgroup as the object that is written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

import yaml

from kai_py.api.keys import DERIVED_ANNOTATION, LAST_APPLIED_ANNOTATION, TOP_OWNER_ANNOTATION
from kai_py.api.meta import ObjectMeta, OwnerReference
from kai_py.api.podgroup import PodGroup, PodGroupSpec
from kai_py.podgrouper.membership import Group

#: Of a hash, so many digits tell two values apart.
_DIGITS: Final = 12


def manifest_of(group: Group) -> dict[str, Any]:
    """The PodGroup manifest. It ends with its owner; it does not keep the owner from ending."""
    owner = group.owner
    metadata = ObjectMeta(
        name=group.name,
        namespace=group.namespace,
        labels=dict(group.labels),
        annotations=_annotations(group),
        owner_references=(
            OwnerReference(api_version=owner.api_version, kind=owner.kind, name=owner.name, uid=owner.uid),
        ),
    )
    spec = PodGroupSpec(
        min_member=group.min_member,
        min_sub_group=group.min_sub_group,
        sub_groups=group.sub_groups,
        queue=group.queue,
        priority_class_name=group.priority_class,
        preemptibility=group.preemptibility,
        topology_constraint=group.topology,
        preemption_delay=group.preemption_delay,
        staleness_grace_period=group.staleness_grace_period,
        disruption_mode=group.disruption_mode,
        min_resources=dict(group.min_resources),
    )
    return PodGroup(metadata=metadata, spec=spec).to_manifest()


def written_manifest(group: Group) -> dict[str, Any]:
    """The PodGroup manifest as it is created: it remembers what was derived, so that later changes can be told."""
    manifest = manifest_of(group)
    manifest["metadata"]["annotations"][DERIVED_ANNOTATION] = _remembered(manifest["spec"])
    return manifest


def changes(group: Group, podgroup: PodGroup) -> dict[str, Any] | None:
    """What to merge into a PodGroup that was written, because its workload has changed since.

    Only fields that would be derived differently now are written: what a user has edited in the PodGroup stays, until
    the workload says something new about the same field.

    Returns:
        ``None`` if nothing has changed, or somebody else has written the object.
    """
    known = _hashes(podgroup.metadata.annotations.get(DERIVED_ANNOTATION))
    if known is None:
        return None
    spec = manifest_of(group)["spec"]
    derived = {field: _hash(value) for field, value in spec.items()}
    news = {field: spec.get(field) for field in {*known, *derived} if known.get(field) != derived.get(field)}
    if not news:
        return None
    return {"metadata": {"annotations": {DERIVED_ANNOTATION: _remembered(spec)}}, "spec": news}


def _remembered(spec: Mapping[str, Any]) -> str:
    return json.dumps({field: _hash(value) for field, value in sorted(spec.items())}, separators=(",", ":"))


def _hashes(text: str | None) -> dict[str, str] | None:
    try:
        found = json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_DIGITS]


def _annotations(group: Group) -> dict[str, str]:
    # kubectl's copy of the owner's manifest would make `kubectl apply` compare the podgroup with another object.
    inherited = {key: value for key, value in group.annotations.items() if key != LAST_APPLIED_ANNOTATION}
    return {**inherited, TOP_OWNER_ANNOTATION: _top_owner(group.top_owner)}


def _top_owner(top: OwnerReference) -> str:
    """The top owner as KAI writes it: YAML inside an annotation, with double quotes where there must be any."""
    metadata = {
        "name": top.name,
        "uid": top.uid,
        "group": top.group,
        "version": top.api_version.rpartition("/")[2],
        "kind": top.kind,
    }
    return "".join(f"{key}: {_scalar(value)}\n" for key, value in metadata.items())


def _scalar(text: str) -> str:
    plain = yaml.safe_dump(text).splitlines()[0] == text
    return text if plain else json.dumps(text)
