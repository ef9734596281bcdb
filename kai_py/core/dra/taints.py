"""Whether a request tolerates the taints of a device (KEP-5055)."""

from __future__ import annotations

from collections.abc import Sequence

from kai_py.core.dra.devices import Device
from kai_py.core.tables.classes import Toleration
from kai_py.core.tables.nodes import Taint


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether one toleration matches a taint. Unlike for nodes, Equal compares values even without a key."""
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    match toleration.operator:
        case "Equal":
            return toleration.value == taint.value
        case "Exists":
            return True
        case _:
            return False


def tolerated(device: Device, tolerations: Sequence[Toleration]) -> bool:
    """Whether all taints that matter are tolerated. Other effects than NoSchedule and NoExecute do nothing."""
    return all(any(tolerates(toleration, taint) for toleration in tolerations) for taint in device.taints if taint.hard)
