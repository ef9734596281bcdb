"""The DeviceClasses that come with the drivers, with the names and selectors that their installers give them."""

from __future__ import annotations

from typing import Any, Final

from kai_py.api.keys import NVIDIA_GPU

from . import fabric, gpus, nics, shared

Object = dict[str, Any]

#: Driver → its classes: name, ``type`` of the devices (empty: all of them), and the extended resource they stand for.
_CLASSES: Final[dict[str, tuple[tuple[str, str, str], ...]]] = {
    gpus.DRIVER: (
        (gpus.DRIVER, "gpu", NVIDIA_GPU),
        ("mig.nvidia.com", "mig", ""),
        ("vfio.gpu.nvidia.com", "vfio", ""),
    ),
    shared.DRIVER: ((shared.DRIVER, shared.TYPE, ""),),
    nics.DRIVER: (("dranet", "", ""),),
    fabric.DRIVER: (("storage.appliance.example.com", "storage", ""), ("licence.appliance.example.com", "licence", "")),
}


def device_classes(driver: str) -> list[Object]:
    """The classes of a driver.

    The one of whole GPUs serves the extended resource ``nvidia.com/gpu`` on nodes where no device plugin does.

    Raises:
        KeyError: there is no such driver.
    """
    return [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": name},
            "spec": {"selectors": [{"cel": {"expression": _selector(driver, kind)}}]}
            | ({"extendedResourceName": resource} if resource else {}),
        }
        for name, kind, resource in _CLASSES[driver]
    ]


def _selector(driver: str, kind: str) -> str:
    of_driver = f"device.driver == '{driver}'"
    return f"{of_driver} && device.attributes['{driver}'].type == '{kind}'" if kind else of_driver
