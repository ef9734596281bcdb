"""The RuntimeClass admission plugin, and the rules of RuntimeClass."""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.kinds import PODS, RUNTIME_CLASSES
from kai_py.minicluster.metadata import check_label_name, check_labels
from kai_py.minicluster.quantities import amount
from kai_py.minicluster.refusals import Faults, forbidden

from .base import Object, Reader, Rules
from .pod_spec import check_tolerations

_OVERHEAD: Final = "Pod's Overhead doesn't match RuntimeClass's defined Overhead"


def admit_runtime_class(pod: Object, reader: Reader) -> None:
    """Give a pod the overhead of its class, and send it to the nodes where that is installed.

    Raises:
        RefusedError: 403, the class does not exist, or the pod says something else.
    """
    spec: Any = pod["spec"]
    name = spec.get("runtimeClassName")
    found = reader.find(RUNTIME_CLASSES.key, "", name) if name is not None else None
    if name is not None and found is None:
        raise _rejected(pod, f'RuntimeClass "{name}" not found')
    overhead = (found or {}).get("overhead")
    if overhead is None:
        if spec.get("overhead"):
            raise _rejected(pod, "Pod Overhead set without corresponding RuntimeClass defined Overhead")
    else:
        fixed = overhead.get("podFixed") or {}
        if spec.get("overhead") and spec["overhead"] != fixed:
            raise _rejected(pod, _OVERHEAD)
        if fixed:
            spec["overhead"] = dict(fixed)
    _schedule(pod, (found or {}).get("scheduling") or {})


def _schedule(pod: Object, scheduling: Object) -> None:
    spec, wanted = pod["spec"], scheduling.get("nodeSelector") or {}
    said = spec.get("nodeSelector") or {}
    for key, value in wanted.items():
        if said.get(key, value) != value:
            raise forbidden(
                PODS,
                pod["metadata"]["name"],
                f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                f"pod.spec.nodeSelector[{key}] = {said[key]}",
            )
    if wanted:
        spec["nodeSelector"] = said | wanted
    tolerations = spec.get("tolerations") or []
    if added := [one for one in scheduling.get("tolerations") or () if one not in tolerations]:
        spec["tolerations"] = tolerations + added


def _rejected(pod: Object, why: str) -> Exception:
    return forbidden(PODS, pod["metadata"]["name"], f"pod rejected: {why}")


class RuntimeClassRules(Rules):
    """A class's handler never changes."""

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        check_label_name(obj.get("handler", ""), "handler", faults)
        for name, quantity in ((obj.get("overhead") or {}).get("podFixed") or {}).items():
            if amount(quantity) < 0:
                faults.invalid(f"overhead.podFixed[{name}]", quantity, "must be greater than or equal to 0")
        scheduling = obj.get("scheduling") or {}
        check_labels(scheduling.get("nodeSelector") or {}, "scheduling.nodeSelector", faults)
        check_tolerations(scheduling.get("tolerations") or (), "scheduling.tolerations", faults)

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        if new.get("handler") != old.get("handler"):
            faults.invalid("handler", new.get("handler"), "field is immutable")
