"""The Priority admission plugin, and the rules of PriorityClass."""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.kinds import PODS, PRIORITY_CLASSES
from kai_py.minicluster.refusals import Faults, forbidden

from .base import Object, Reader, Rules

_SYSTEM_PREFIX: Final = "system-"
_HIGHEST_USER_VALUE: Final = 1_000_000_000
#: The classes every cluster has.
BUILTIN_CLASSES: Final[dict[str, int]] = {
    "system-node-critical": 2_000_001_000,
    "system-cluster-critical": 2_000_000_000,
}
_POLICIES: Final = frozenset({"Never", "PreemptLowerPriority"})


def admit_priority(pod: Object, reader: Reader) -> None:
    """Resolve ``spec.priorityClassName`` to ``spec.priority`` and ``spec.preemptionPolicy``.

    Raises:
        RefusedError: 403, the class does not exist, or the pod asks for another number than its class has.
    """
    spec: Any = pod["spec"]
    found = _class_of(spec, reader, pod)
    value = found["value"] if found else 0
    policy = (found or {}).get("preemptionPolicy", "PreemptLowerPriority")
    if found and not spec.get("priorityClassName"):
        spec["priorityClassName"] = found["metadata"]["name"]
    for field, called, computed in (
        ("priority", "integer value of priority", value),
        ("preemptionPolicy", "string value of PreemptionPolicy", policy),
    ):
        if (said := spec.setdefault(field, computed)) != computed:
            raise forbidden(
                PODS,
                pod["metadata"]["name"],
                f"the {called} ({said}) must not be provided in pod spec; priority admission controller computed"
                f" {computed} from the given PriorityClass name",
            )


def _class_of(spec: Object, reader: Reader, pod: Object) -> Object | None:
    name = spec.get("priorityClassName")
    if not name:
        defaults = [c for c in reader.all(PRIORITY_CLASSES.key) if c.get("globalDefault")]
        return min(defaults, key=lambda c: int(c["value"]), default=None)
    found = reader.find(PRIORITY_CLASSES.key, "", name)
    if found is None:
        raise forbidden(PODS, pod["metadata"]["name"], f"no PriorityClass with name {name} was found")
    return found


class PriorityClassRules(Rules):
    """A class's value never changes, and high values belong to the system."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        obj.setdefault("value", 0)
        obj.setdefault("preemptionPolicy", "PreemptLowerPriority")

    def prepare_create(self, obj: Object, reader: Reader) -> None:
        """Only one class may be the global default."""
        if obj.get("globalDefault"):
            for other in reader.all(PRIORITY_CLASSES.key):
                if other.get("globalDefault"):
                    raise forbidden(
                        PRIORITY_CLASSES,
                        obj["metadata"]["name"],
                        f"PriorityClass {other['metadata']['name']} is already marked as default. Only one default can"
                        " exist",
                    )

    def prepare_update(self, new: Object, old: Object, reader: Reader) -> None:
        """See :meth:`prepare_create`."""
        if not old.get("globalDefault"):
            self.prepare_create(new, reader)

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        name: str = obj["metadata"]["name"]
        if name.startswith(_SYSTEM_PREFIX):
            if BUILTIN_CLASSES.get(name) != obj["value"]:
                faults.forbidden(
                    "metadata.name",
                    "priority class names with 'system-' prefix are reserved for system use only. error: "
                    f"{name} is not a known system priority class",
                )
        elif obj["value"] > _HIGHEST_USER_VALUE:
            faults.forbidden("value", f"maximum allowed value of a user defined priority is {_HIGHEST_USER_VALUE}")
        if obj["preemptionPolicy"] not in _POLICIES:
            faults.not_supported("preemptionPolicy", obj["preemptionPolicy"], _POLICIES)

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        if new["value"] != old["value"]:
            faults.forbidden("value", "may not be changed in an update.")
        if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
            faults.invalid("preemptionPolicy", new.get("preemptionPolicy"), "field is immutable")
