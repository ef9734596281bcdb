"""What a cluster's admission makes of a pod that names a RuntimeClass."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from kai_py.api.pod import Pod
from kai_py.api.runtime import RuntimeClass
from kai_py.errors import Fault, MalformedObjectError


def admitted(pod: Pod, classes: Mapping[str, RuntimeClass]) -> Pod:
    """The pod with the overhead, node selector and tolerations of its class; it has them if it comes from a cluster.

    Raises:
        MalformedObjectError: the pod contradicts its class; admission would refuse it.
    """
    found = classes.get(pod.spec.runtime_class_name)
    if found is None:
        return pod
    overhead, scheduling, spec = found.overhead.pod_fixed, found.scheduling, pod.spec
    called = f"RuntimeClass {found.metadata.name}"
    faults = []
    where = f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
    if spec.overhead and dict(spec.overhead) != dict(overhead):
        faults.append(Fault(where, "spec.overhead", f"should be what {called} says, or absent"))
    for key, value in scheduling.node_selector.items():
        if spec.node_selector.get(key, value) != value:
            faults.append(Fault(where, f"spec.nodeSelector[{key}]", f"contradicts {called}, which says {value!r}"))
    if faults:
        raise MalformedObjectError(faults)
    tolerations = (*spec.tolerations, *(one for one in scheduling.tolerations if one not in spec.tolerations))
    selector = {**spec.node_selector, **scheduling.node_selector}
    return replace(pod, spec=replace(spec, overhead=overhead, node_selector=selector, tolerations=tolerations))
