"""Whether a pod may go to a node and fits there: Kubernetes' rules on plain manifests, one after the other, slowly.

Sources: the pages "Assigning Pods to Nodes", "Taints and Tolerations", "Sidecar Containers", "Pod Overhead",
"Resource Management for Pods", and KEPs 2837 (pod-level resources), 1287 (resize) and 5328 (declared features).
"""

from __future__ import annotations

from fractions import Fraction

SUFFIXES = {"m": Fraction(1, 1000), "": 1, "k": 1000, "Ki": 1024, "Mi": 2**20, "Gi": 2**30}
POD_LEVEL = ("cpu", "memory")


def number(quantity) -> Fraction:
    text = str(quantity)
    digits = text.rstrip("mkKiMG")
    return Fraction(digits) * SUFFIXES[text[len(digits) :]]


# -- where -----------------------------------------------------------------------------------------


def allowed(pod, node) -> bool:
    spec = pod["spec"]
    return (
        _selected(spec, node)
        and _tolerated(spec, node)
        and _declared(spec) <= set(node["status"].get("declaredFeatures", ()))
    )


def _selected(spec, node) -> bool:
    labels, name = node["metadata"]["labels"], node["metadata"]["name"]
    if any(labels.get(key) != value for key, value in spec.get("nodeSelector", {}).items()):
        return False
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    return required is None or any(matches(term, labels, name) for term in required["nodeSelectorTerms"])


def matches(term, labels, name) -> bool:
    expressions, fields = term.get("matchExpressions", []), term.get("matchFields", [])
    if not expressions and not fields:
        return False
    return all(_holds(one, labels) for one in expressions) and all(_field(one, name) for one in fields)


def _holds(one, labels) -> bool:
    key, values, present = one["key"], one.get("values", []), one["key"] in labels
    match one["operator"]:
        case "In":
            return present and labels[key] in values
        case "NotIn":
            return not present or labels[key] not in values
        case "Exists":
            return present
        case "DoesNotExist":
            return not present
    if not present or not labels[key].lstrip("-").isdecimal():
        return False
    if one["operator"] == "Gt":
        return int(labels[key]) > int(values[0])
    return int(labels[key]) < int(values[0])


def _field(one, name) -> bool:
    return (name in one["values"]) == (one["operator"] == "In")


def _tolerated(spec, node) -> bool:
    taints = list(node["spec"].get("taints", ()))
    if node["spec"].get("unschedulable"):
        taints.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    hard = [taint for taint in taints if taint["effect"] in ("NoSchedule", "NoExecute")]
    return all(any(_tolerates(one, taint) for one in spec.get("tolerations", ())) for taint in hard)


def _tolerates(one, taint) -> bool:
    if one.get("effect", "") not in ("", taint["effect"]) or one.get("key", "") not in ("", taint["key"]):
        return False
    return one.get("operator") == "Exists" or one.get("value", "") == taint.get("value", "")


def _declared(spec) -> set[str]:
    features = set()
    for container in (*spec["containers"], *spec.get("initContainers", ())):
        for rule in container.get("restartPolicyRules", ()):
            if rule["action"] == "RestartAllContainers":
                features.add("RestartAllContainersOnContainerExits")
    if spec.get("hostNetwork") and spec.get("hostUsers") is False:
        features.add("UserNamespacesHostNetworkSupport")
    return features


def preference(pod, node) -> int:
    """The sum of the weights of preferred terms that match."""
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    labels, name = node["metadata"]["labels"], node["metadata"]["name"]
    terms = affinity.get("preferredDuringSchedulingIgnoredDuringExecution", ())
    return sum(one["weight"] for one in terms if matches(one["preference"], labels, name))


# -- how much --------------------------------------------------------------------------------------


def request(pod) -> dict[str, Fraction]:
    """What a pod asks for, or holds: one resource after the other."""
    spec, status = pod["spec"], pod.get("status", {})
    given = {
        one["name"]: one for one in (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ()))
    }
    infeasible = any(
        one["type"] == "PodResizePending" and one.get("reason") == "Infeasible" for one in status.get("conditions", ())
    )
    inits = spec.get("initContainers", ())
    names = {name for one in (*spec["containers"], *inits) for name in one.get("resources", {}).get("requests", {})}
    names |= {name for one in given.values() for name in one.get("allocatedResources", {})}
    names |= set(spec.get("overhead", {})) | set(spec.get("resources", {}).get("requests", {}))
    total = {}
    for name in names:
        sums = sum(_of(one, name, given, infeasible) for one in spec["containers"])
        peak = sidecars = Fraction(0)
        for one in inits:
            if one.get("restartPolicy") == "Always":
                sidecars += _of(one, name, given, infeasible)
                peak = max(peak, sidecars)
            else:
                peak = max(peak, sidecars + _asked(one, name))
        total[name] = max(sums + sidecars, peak)
        if name in POD_LEVEL and name in spec.get("resources", {}).get("requests", {}):
            total[name] = number(spec["resources"]["requests"][name])
        total[name] += number(spec.get("overhead", {}).get(name, 0))
    return total


def _asked(container, name) -> Fraction:
    return number(container.get("resources", {}).get("requests", {}).get(name, 0))


def _of(container, name, given, infeasible) -> Fraction:
    """While it is resized, a container that runs counts with the larger of what it has and what it wants."""
    status = given.get(container["name"], {})
    has = number(status.get("allocatedResources", {}).get(name, 0))
    if infeasible and status:
        return has
    return max(_asked(container, name), has)


def fits(pod, node, others) -> bool:
    """Whether a node has room for a pod beside those that are there."""
    allocatable = node["status"]["allocatable"]
    if len(others) + 1 > int(allocatable["pods"]):
        return False
    held = [request(other) for other in others]
    for name, units in request(pod).items():
        free = number(allocatable.get(name, 0)) - sum(one.get(name, Fraction(0)) for one in held)
        if units > 0 and units > free:
            return False
    return True
