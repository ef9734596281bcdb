"""What a pod says when it says nothing: the defaults of pod specs, as in every workload's template too."""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.quantities import amount, in_millis

Object = dict[str, Any]

_CONTAINER_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")
_FILE_MODE: Final = 0o644
_PROBE: Final = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}
_EVICTING_TAINTS: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_QOS_RESOURCES: Final = ("cpu", "memory")


def default_pod_spec(spec: Object) -> None:
    """Fill in a pod spec in place."""
    for key in _CONTAINER_LISTS:
        for container in spec.get(key) or ():
            _default_container(container)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    if spec.setdefault("terminationGracePeriodSeconds", 30) < 0:
        spec["terminationGracePeriodSeconds"] = 1
    if spec.get("serviceAccountName"):
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    if spec.get("resources"):
        _default_pod_level_resources(spec)
    if spec.get("hostNetwork"):
        for container in spec.get("containers") or ():
            for port in container.get("ports") or ():
                port.setdefault("hostPort", port.get("containerPort"))


def default_tolerations(spec: Object) -> None:
    """The DefaultTolerationSeconds admission plugin: stay 300 s on a node that went away."""
    tolerations = spec.get("tolerations") or []
    for taint in _EVICTING_TAINTS:
        if not any(_tolerates_eviction(toleration, taint) for toleration in tolerations):
            toleration = {"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            tolerations.append(toleration)
    spec["tolerations"] = tolerations


def _tolerates_eviction(toleration: Object, taint: str) -> bool:
    return toleration.get("key", "") in ("", taint) and toleration.get("effect", "") in ("", "NoExecute")


def _default_container(container: Object) -> None:
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if "imagePullPolicy" not in container:
        image = container.get("image", "")
        tag = "" if "@" in image else image.rpartition("/")[2].partition(":")[2] or "latest"
        container["imagePullPolicy"] = "Always" if tag == "latest" else "IfNotPresent"
    resources = container.setdefault("resources", {})
    for part in ("limits", "requests"):
        if amounts := resources.get(part):
            resources[part] = {name: in_millis(quantity) for name, quantity in amounts.items()}
    if limits := resources.get("limits"):
        resources["requests"] = dict(limits) | (resources.get("requests") or {})
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe):
            _default_probe(container[probe])
    for variable in container.get("env") or ():
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference:
            reference.setdefault("apiVersion", "v1")


def _default_probe(probe: Object) -> None:
    for key, value in _PROBE.items():
        probe.setdefault(key, value)
    if probe.get("httpGet"):
        probe["httpGet"].setdefault("path", "/")
        probe["httpGet"].setdefault("scheme", "HTTP")
    if probe.get("grpc"):
        probe["grpc"].setdefault("service", "")


def _default_volume(volume: Object) -> None:
    if set(volume) <= {"name"}:
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if source in volume:
            volume[source].setdefault("defaultMode", _FILE_MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")


def _default_pod_level_resources(spec: Object) -> None:
    """Pod-level requests: what the containers ask for in sum, else the pod-level limit."""
    resources = spec["resources"]
    requests = dict(resources.get("requests") or {})
    for name, limit in (resources.get("limits") or {}).items():
        if name not in requests and not any(
            name in (container["resources"].get("requests") or {}) for container in spec.get("containers") or ()
        ):
            requests[name] = limit
    if requests:
        resources["requests"] = requests


def qos_class(spec: Object) -> str:
    """BestEffort, Burstable or Guaranteed, from cpu and memory of all containers (or of the pod, if it says)."""
    pod_level = spec.get("resources") or {}
    if any(pod_level.get(part) for part in ("requests", "limits")):
        asked = [pod_level]
    else:
        asked = [c.get("resources") or {} for key in ("initContainers", "containers") for c in spec.get(key) or ()]
    requests = [_nonzero(resources.get("requests") or {}) for resources in asked]
    limits = [_nonzero(resources.get("limits") or {}) for resources in asked]
    if not any(requests) and not any(limits):
        return "BestEffort"
    every_limit_set = all(len(limit) == len(_QOS_RESOURCES) for limit in limits)
    return "Guaranteed" if every_limit_set and requests == limits else "Burstable"


def _nonzero(amounts: Object) -> Object:
    return {name: amounts[name] for name in _QOS_RESOURCES if name in amounts and amount(amounts[name]) != 0}
