"""Validation of pod specs, for pods and for the templates of workloads."""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.metadata import (
    check_label_name,
    check_labels,
    check_qualified_name,
    is_label,
    is_subdomain,
)
from kai_py.minicluster.quantities import amount
from kai_py.minicluster.refusals import Faults

from .resources import check_requirements

Object = dict[str, Any]

_SELECTOR_OPERATORS: Final = frozenset({"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"})
_EFFECTS: Final = frozenset({"NoSchedule", "PreferNoSchedule", "NoExecute"})
_RESTART_POLICIES: Final = frozenset({"Always", "OnFailure", "Never"})
_MAX_PORT: Final = 65535


def check_pod_spec(spec: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with a pod spec; defaults are already filled in."""
    volumes = _check_volumes(spec.get("volumes") or (), f"{field}.volumes", faults)
    if not spec.get("containers"):
        faults.required(f"{field}.containers")
    names: set[str] = set()
    for key in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(key) or ()):
            _check_container(container, f"{field}.{key}[{i}]", names, volumes, faults)
    if spec["restartPolicy"] not in _RESTART_POLICIES:
        faults.not_supported(f"{field}.restartPolicy", spec["restartPolicy"], _RESTART_POLICIES)
    if spec.get("activeDeadlineSeconds", 1) < 1:
        faults.invalid(
            f"{field}.activeDeadlineSeconds",
            spec["activeDeadlineSeconds"],
            "must be between 1 and 2147483647, inclusive",
        )
    for key in ("nodeName", "priorityClassName", "serviceAccountName"):
        if spec.get(key) and not is_subdomain(spec[key]):
            faults.invalid(
                f"{field}.{key}",
                spec[key],
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'",
            )
    check_labels(spec.get("nodeSelector") or {}, f"{field}.nodeSelector", faults)
    check_tolerations(spec.get("tolerations") or (), f"{field}.tolerations", faults)
    _check_affinity(spec.get("affinity") or {}, f"{field}.affinity", faults)
    _check_gates(spec, field, faults)
    _check_spread(spec.get("topologySpreadConstraints") or (), f"{field}.topologySpreadConstraints", faults)
    _check_claims(spec.get("resourceClaims") or (), f"{field}.resourceClaims", faults)
    if spec.get("resources"):
        check_requirements(spec["resources"], f"{field}.resources", faults)
    for name, quantity in (spec.get("overhead") or {}).items():
        if amount(quantity) < 0:
            _not_negative(f"{field}.overhead[{name}]", quantity, faults)


def _not_negative(field: str, value: object, faults: Faults) -> None:
    faults.invalid(field, value, "must be greater than or equal to 0")


def _check_container(container: Object, field: str, names: set[str], volumes: set[str], faults: Faults) -> None:
    name = container.get("name", "")
    if not name:
        faults.required(f"{field}.name")
    else:
        if not is_label(name):
            check_label_name(name, f"{field}.name", faults)
        if name in names:
            faults.duplicate(f"{field}.name", name)
        names.add(name)
    if not container.get("image"):
        faults.required(f"{field}.image")
    elif container["image"].strip() != container["image"]:
        faults.invalid(f"{field}.image", container["image"], "must not have leading or trailing whitespace")
    if container["resources"]:
        check_requirements(container["resources"], f"{field}.resources", faults)
    for i, port in enumerate(container.get("ports") or ()):
        for key in ("containerPort", "hostPort"):
            if key in port and not 0 < port[key] <= _MAX_PORT:
                faults.invalid(f"{field}.ports[{i}].{key}", port[key], "must be between 1 and 65535, inclusive")
    for i, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            faults.not_found(f"{field}.volumeMounts[{i}].name", mount.get("name", ""))
        if not mount.get("mountPath"):
            faults.required(f"{field}.volumeMounts[{i}].mountPath")
    for i, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            faults.required(f"{field}.env[{i}].name")
        if variable.get("value") and variable.get("valueFrom"):
            faults.invalid(f"{field}.env[{i}].valueFrom", "", "may not be specified when `value` is not empty")


def _check_volumes(volumes: Any, field: str, faults: Faults) -> set[str]:
    names: set[str] = set()
    for i, volume in enumerate(volumes):
        name = volume.get("name", "")
        if not name:
            faults.required(f"{field}[{i}].name")
        else:
            check_label_name(name, f"{field}[{i}].name", faults)
        if name in names:
            faults.duplicate(f"{field}[{i}].name", name)
        names.add(name)
        for source in sorted(set(volume) - {"name"})[1:]:
            faults.forbidden(f"{field}[{i}].{source}", "may not specify more than 1 volume type")
    return names


def check_tolerations(tolerations: Any, field: str, faults: Faults) -> None:
    """Add what is wrong with tolerations of node taints."""
    for i, toleration in enumerate(tolerations):
        here, operator = f"{field}[{i}]", toleration.get("operator", "Equal")
        if toleration.get("key"):
            check_qualified_name(toleration["key"], f"{here}.key", faults)
        elif operator != "Exists":
            faults.invalid(
                f"{here}.operator",
                operator,
                'operator must be Exists when `key` is empty, which means "match all values and all keys"',
            )
        if operator not in ("Equal", "Exists", ""):
            faults.not_supported(f"{here}.operator", operator, ("Equal", "Exists"))
        if operator == "Exists" and toleration.get("value"):
            faults.invalid(f"{here}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'")
        if toleration.get("effect") and toleration["effect"] not in _EFFECTS:
            faults.not_supported(f"{here}.effect", toleration["effect"], _EFFECTS)
        if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
            faults.invalid(
                f"{here}.effect",
                toleration.get("effect", ""),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            )


def _check_gates(spec: Object, field: str, faults: Faults) -> None:
    seen: set[str] = set()
    for i, gate in enumerate(spec.get("schedulingGates") or ()):
        name = gate.get("name", "")
        check_qualified_name(name, f"{field}.schedulingGates[{i}]", faults)
        if name in seen:
            faults.duplicate(f"{field}.schedulingGates[{i}]", name)
        seen.add(name)
    if seen and spec.get("nodeName"):
        faults.forbidden(f"{field}.nodeName", "cannot be set until all schedulingGates have been cleared")


def _check_affinity(affinity: Object, field: str, faults: Faults) -> None:
    node = affinity.get("nodeAffinity") or {}
    required = node.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is not None:
        here = f"{field}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution"
        check_node_selector(required, here, faults)
    for i, preferred in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        here = f"{field}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{i}]"
        _check_weight(preferred, here, faults)
        _check_term(preferred.get("preference") or {}, f"{here}.preference", faults)
    for side in ("podAffinity", "podAntiAffinity"):
        _check_pod_affinity(affinity.get(side) or {}, f"{field}.{side}", faults)


def _check_pod_affinity(affinity: Object, field: str, faults: Faults) -> None:
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    for i, term in enumerate(affinity.get(required) or ()):
        _check_affinity_term(term, f"{field}.{required}[{i}]", faults)
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    for i, weighted in enumerate(affinity.get(preferred) or ()):
        here = f"{field}.{preferred}[{i}]"
        _check_weight(weighted, here, faults)
        _check_affinity_term(weighted.get("podAffinityTerm") or {}, f"{here}.podAffinityTerm", faults)


def _check_affinity_term(term: Object, field: str, faults: Faults) -> None:
    if not term.get("topologyKey"):
        faults.required(f"{field}.topologyKey", "can not be empty")
    else:
        check_qualified_name(term["topologyKey"], f"{field}.topologyKey", faults)
    check_label_selector(term.get("labelSelector") or {}, f"{field}.labelSelector", faults)


def _check_weight(weighted: Object, field: str, faults: Faults) -> None:
    if not 1 <= weighted.get("weight", 0) <= 100:
        faults.invalid(f"{field}.weight", weighted.get("weight", 0), "must be in the range 1-100")


def check_node_selector(selector: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with a ``NodeSelector``."""
    if not selector.get("nodeSelectorTerms"):
        faults.required(f"{field}.nodeSelectorTerms", "must have at least one node selector term")
    for i, term in enumerate(selector.get("nodeSelectorTerms") or ()):
        _check_term(term, f"{field}.nodeSelectorTerms[{i}]", faults)


def _check_term(term: Object, field: str, faults: Faults) -> None:
    for i, expression in enumerate(term.get("matchExpressions") or ()):
        _check_expression(expression, f"{field}.matchExpressions[{i}]", _SELECTOR_OPERATORS, faults)
    for i, expression in enumerate(term.get("matchFields") or ()):
        here = f"{field}.matchFields[{i}]"
        if expression.get("key") != "metadata.name":
            faults.invalid(f"{here}.key", expression.get("key", ""), "not a valid field selector key")
        if expression.get("operator") not in ("In", "NotIn"):
            faults.invalid(f"{here}.operator", expression.get("operator", ""), "not a valid selector operator")
        if len(expression.get("values") or ()) != 1:
            faults.required(
                f"{here}.values", "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            )


def check_label_selector(selector: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with a ``LabelSelector``."""
    check_labels(selector.get("matchLabels") or {}, f"{field}.matchLabels", faults)
    for i, expression in enumerate(selector.get("matchExpressions") or ()):
        _check_expression(expression, f"{field}.matchExpressions[{i}]", _SELECTOR_OPERATORS - {"Gt", "Lt"}, faults)


def _check_expression(expression: Object, field: str, operators: frozenset[str], faults: Faults) -> None:
    operator, values = expression.get("operator", ""), expression.get("values") or ()
    if operator not in operators:
        faults.invalid(f"{field}.operator", operator, "not a valid selector operator")
    elif operator in ("In", "NotIn") and not values:
        faults.required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and values:
        faults.forbidden(f"{field}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    elif operator in ("Gt", "Lt") and len(values) != 1:
        faults.required(f"{field}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    check_qualified_name(expression.get("key", ""), f"{field}.key", faults)


def _check_spread(constraints: Any, field: str, faults: Faults) -> None:
    for i, constraint in enumerate(constraints):
        if constraint.get("maxSkew", 0) <= 0:
            faults.invalid(f"{field}[{i}].maxSkew", constraint.get("maxSkew", 0), "must be greater than zero")
        if not constraint.get("topologyKey"):
            faults.required(f"{field}[{i}].topologyKey", "can not be empty")
        if constraint.get("whenUnsatisfiable") not in ("DoNotSchedule", "ScheduleAnyway"):
            faults.not_supported(
                f"{field}[{i}].whenUnsatisfiable",
                constraint.get("whenUnsatisfiable", ""),
                ("DoNotSchedule", "ScheduleAnyway"),
            )
        check_label_selector(constraint.get("labelSelector") or {}, f"{field}[{i}].labelSelector", faults)


def _check_claims(claims: Any, field: str, faults: Faults) -> None:
    seen: set[str] = set()
    for i, claim in enumerate(claims):
        name = claim.get("name", "")
        check_label_name(name, f"{field}[{i}].name", faults)
        if name in seen:
            faults.duplicate(f"{field}[{i}]", name)
        seen.add(name)
        sources = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(key)]
        if len(sources) != 1:
            faults.invalid(
                f"{field}[{i}]",
                claim,
                "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
                if not sources
                else "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified",
            )
