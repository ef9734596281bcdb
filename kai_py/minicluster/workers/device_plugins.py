"""What a device plugin and a container make of GPUs: which one a pod holds, and what a container has to know to start.

A device plugin knows whole GPUs and nothing else. It gives a pod any that nobody holds, as a real one may; which one
that was, only the pod's containers can see.
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from kai_py.api.keys import NVIDIA_GPU
from kai_py.minicluster.kinds import CONFIG_MAPS
from kai_py.minicluster.storage import Storage

from .room import Amounts, requests_of

Object = dict[str, Any]

_GPUS: Final = uuid.UUID("6f0b7b0e-6f1c-4d6e-9a39-0d6c2a1a6d51")
#: What KAI calls the image whose container says which GPU it has.
_RESERVATION_IMAGE: Final = "resourcereservation"


class DevicePlugin:
    """The GPUs of all nodes, and who holds them."""

    def __init__(self) -> None:
        self._held: dict[str, dict[str, str]] = {}
        self._of_pod: dict[str, tuple[str, list[str]]] = {}

    def device_of(self, uid: str, node: str, count: int, offered: Amounts) -> str:
        """The GPUs of a pod, separated by commas; it is given some that nobody holds if it has none yet.

        Args:
            uid: of the pod.
            node: where it is.
            count: how many it asks for; 0 = it gets none.
            offered: what the node has.
        """
        if uid not in self._of_pod and count:
            held = self._held.setdefault(node, {})
            free = [gpu for gpu in gpus_on(node, dict(offered).get(NVIDIA_GPU, 0)) if gpu not in held]
            taken = free[:count]
            held.update(dict.fromkeys(taken, uid))
            self._of_pod[uid] = node, taken
        return ",".join(self._of_pod.get(uid, ("", []))[1])

    def release(self, uid: str) -> None:
        """A pod holds its GPUs no longer."""
        node, taken = self._of_pod.pop(uid, ("", []))
        for gpu in taken:
            del self._held[node][gpu]


def gpus_on(node: str, count: int) -> list[str]:
    """The UUIDs of a node's GPUs."""
    return [f"GPU-{uuid.uuid5(_GPUS, f'{node}/{number}')}" for number in range(count)]


def gpus_of(pod: Object) -> int:
    """How many GPUs a pod asks the device plugin for."""
    return dict(requests_of(pod["spec"])).get(NVIDIA_GPU, 0)


def is_reservation(pod: Object) -> bool:
    """Whether the pod's container says which GPU it has, as KAI's does."""
    image = str(pod["spec"]["containers"][0].get("image", ""))
    return image.rpartition("/")[2].partition(":")[0].partition("@")[0] == _RESERVATION_IMAGE


def has_configmaps(storage: Storage, pod: Object) -> bool:
    """Whether there is all that containers take from ConfigMaps: a kubelet does not start them without."""
    containers = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    for container in containers:
        wanted = [(one.get("valueFrom") or {}).get("configMapKeyRef") for one in container.get("env") or ()]
        wanted += [one.get("configMapRef") for one in container.get("envFrom") or ()]
        for source in wanted:
            if source is None or source.get("optional"):
                continue
            found = storage.find(CONFIG_MAPS.key, source["name"], pod["metadata"]["namespace"])
            if found is None or ("key" in source and source["key"] not in (found.get("data") or {})):
                return False
    return True
