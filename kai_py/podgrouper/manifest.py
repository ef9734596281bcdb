"""A derived podgroup as the object that is written."""

from __future__ import annotations

import json
from typing import Any

import yaml

from kai_py.api.keys import LAST_APPLIED_ANNOTATION, TOP_OWNER_ANNOTATION
from kai_py.api.meta import ObjectMeta, OwnerReference
from kai_py.api.podgroup import PodGroup, PodGroupSpec
from kai_py.podgrouper.membership import Group


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
    )
    return PodGroup(metadata=metadata, spec=spec).to_manifest()


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
