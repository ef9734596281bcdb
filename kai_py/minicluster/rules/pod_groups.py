"""PodGroups (``scheduling.k8s.io``, alpha): gangs, and claims that their pods share.

Of their fields, those whose gates are not known here are dropped, as a server drops them without these gates.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any, Final

from kai_py.minicluster.kinds import POD_GROUPS
from kai_py.minicluster.metadata import check_label_name, check_subdomain
from kai_py.minicluster.refusals import Faults, forbidden

from .base import Object, Reader, Rules
from .claim_status import check_conditions

#: PodGroups are served, and pods may name them.
WORKLOAD_GATE: Final = "GenericWorkload"
#: PodGroups may have claims.
CLAIMS_GATE: Final = "DRAWorkloadResourceClaims"
#: Keeps a PodGroup as long as pods that run name it.
PROTECTION: Final = "scheduling.k8s.io/podgroup-protection"
_CLAIMS: Final = "resourceClaims"
_STATUSES: Final = "resourceClaimStatuses"
_SOURCES: Final = ("resourceClaimName", "resourceClaimTemplateName")
_MAX_CLAIMS: Final = 4
_IMMUTABLE: Final = ("podGroupTemplateRef", "schedulingPolicy", _CLAIMS)
#: Fields of TopologyAwareWorkloadScheduling and WorkloadAwarePreemption.
_GATED_OFF: Final = ("schedulingConstraints", "priorityClassName", "priority")


class PodGroupRules(Rules):
    """Rules of PodGroups. ``gates`` are on though they are off by default."""

    def __init__(self, gates: AbstractSet[str] = frozenset()) -> None:
        self._gates = gates

    def default(self, obj: Object) -> None:
        """Without the gate, a mode that was asked for is the default one."""
        obj["spec"]["disruptionMode"] = "Pod"
        obj.setdefault("status", {})

    def prepare_create(self, obj: Object, _reader: Reader) -> None:
        """Protect it; Workloads are not served, so that none can be its template."""
        obj["status"] = {}
        self._drop(obj["spec"])
        template = (obj["spec"].get("podGroupTemplateRef") or {}).get("workload")
        if template is not None:
            why = f'PodGroup rejected: Workload "{template.get("workloadName", "")}" not found'
            raise forbidden(POD_GROUPS, obj["metadata"]["name"], why)
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if PROTECTION not in finalizers:
            finalizers.append(PROTECTION)

    def prepare_update(self, new: Object, old: Object, _reader: Reader) -> None:
        """What is there already may stay."""
        self._drop(new["spec"], keep=bool(old["spec"].get(_CLAIMS)))

    def prepare_status(self, new: Object, old: Object, _reader: Reader) -> None:
        """See :meth:`prepare_update`."""
        if CLAIMS_GATE not in self._gates and not old["spec"].get(_CLAIMS):
            new["status"].pop(_STATUSES, None)

    def _drop(self, spec: Object, *, keep: bool = False) -> None:
        for field in _GATED_OFF:
            spec.pop(field, None)
        if CLAIMS_GATE not in self._gates and not keep:
            spec.pop(_CLAIMS, None)

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        spec = obj["spec"]
        if spec.get("podGroupTemplateRef") == {}:
            faults.invalid("spec.podGroupTemplateRef", "", "must specify one of: `workload`")
        policy = spec.get("schedulingPolicy") or {}
        _check_one_of(policy, ("basic", "gang"), "spec.schedulingPolicy", faults)
        gang = policy.get("gang")
        if gang is not None:
            count = gang.get("minCount") or 0
            if not count:
                faults.required("spec.schedulingPolicy.gang.minCount")
            elif count < 0:
                faults.invalid("spec.schedulingPolicy.gang.minCount", count, "must be greater than or equal to 1")
        _check_claims(spec.get(_CLAIMS) or [], f"spec.{_CLAIMS}", faults)

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """Its spec stays as it is."""
        for field in _IMMUTABLE:
            if new["spec"].get(field) != old["spec"].get(field):
                faults.invalid(f"spec.{field}", None, "field is immutable")

    def validate_status(self, new: Object, _old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        status = new["status"]
        check_conditions(status.get("conditions") or [], "status.conditions", faults)
        known = {one["name"] for one in new["spec"].get(_CLAIMS) or ()}
        seen: set[str] = set()
        for i, one in enumerate(status.get(_STATUSES) or ()):
            field, name = f"status.{_STATUSES}[{i}]", one.get("name", "")
            if name not in known:
                faults.invalid(f"{field}.name", name, "must match the name of an entry in `spec.resourceClaims`")
            if name in seen:
                faults.duplicate(field, one)
            seen.add(name)
            if one.get("resourceClaimName") is not None:
                check_subdomain(one["resourceClaimName"], f"{field}.resourceClaimName", faults)


def _check_claims(claims: list[Object], field: str, faults: Faults) -> None:
    if len(claims) > _MAX_CLAIMS:
        faults.too_many(field, len(claims), _MAX_CLAIMS)
        return
    seen: set[str] = set()
    for i, one in enumerate(claims):
        here, name = f"{field}[{i}]", one.get("name", "")
        if name in seen:
            faults.duplicate(here, one)
        seen.add(name)
        _check_one_of(one, _SOURCES, here, faults)
        if not name:
            faults.required(f"{here}.name")
        else:
            check_label_name(name, f"{here}.name", faults)
        for source in _SOURCES:
            if one.get(source) is not None:
                check_subdomain(one[source], f"{here}.{source}", faults)


def _check_one_of(obj: Any, members: tuple[str, ...], field: str, faults: Faults) -> None:
    said = [member for member in members if obj.get(member) is not None]
    names = ", ".join(f"`{member}`" for member in members)
    if not said:
        faults.invalid(field, "", f"must specify one of: {names}")
    elif len(said) > 1:
        faults.invalid(field, f"{{{', '.join(said)}}}", f"must specify exactly one of: {names}")


def check_scheduling_group(spec: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with the PodGroup that a pod names."""
    group = spec.get("schedulingGroup")
    if group is None:
        return
    here, name = f"{field}.schedulingGroup.podGroupName", group.get("podGroupName")
    if name is None:
        faults.invalid(here, None, "must specify one of: `podGroupName`")
    else:
        check_subdomain(name, here, faults)
