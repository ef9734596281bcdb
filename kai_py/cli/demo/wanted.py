"""What the team with claims asks for: the templates of its claims."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

Json = dict[str, Any]

#: Keeps everybody else off the nodes whose devices are to be claimed.
TAINT: Final = "demo.kai-py/claims"


class Wanted(StrEnum):
    """What a pod claims."""

    GPU = "gpu"
    """A whole GPU."""
    PAIR = "gpu-with-rdma"
    """A GPU and a network card below one PCIe root."""
    PART = "mig-1g"
    """The smallest part that can be cut out of a GPU."""


_DEVICES: Final[dict[Wanted, Json]] = {
    Wanted.GPU: {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}}]},
    Wanted.PAIR: {
        "requests": [
            {"name": "gpu", "exactly": {"deviceClassName": "gpu.nvidia.com"}},
            {"name": "nic", "exactly": {"deviceClassName": "dranet"}},
        ],
        "constraints": [{"requests": ["gpu", "nic"], "matchAttribute": "resource.kubernetes.io/pcieRoot"}],
    },
    Wanted.PART: {
        "requests": [
            {
                "name": "part",
                "exactly": {
                    "deviceClassName": "mig.nvidia.com",
                    "selectors": [{"cel": {"expression": 'device.attributes["gpu.nvidia.com"].profile == "1g.10gb"'}}],
                },
            }
        ]
    },
}


def template(wanted: Wanted, namespace: str) -> Json:
    """The ResourceClaimTemplate, which has the name of what it asks for."""
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": str(wanted), "namespace": namespace},
        "spec": {"spec": {"devices": _DEVICES[wanted]}},
    }


def claim_with(wanted: Wanted) -> Json:
    """What a pod's spec says to have a claim of its own from the template, on the nodes for it."""
    return {
        "resourceClaims": [{"name": "devices", "resourceClaimTemplateName": str(wanted)}],
        "tolerations": [{"key": TAINT, "operator": "Exists"}],
    }
