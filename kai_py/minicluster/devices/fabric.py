"""Network-attached devices: an invented driver, since they belong to no node and each vendor's differ.

Storage appliances stand in a zone and are reached by the nodes there that are on the fabric (a pool with a node
selector per zone); licences are for all nodes (a pool for all of them).
"""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.pools import ZONE_LABEL

from .offers import FABRIC_LABEL

Object = dict[str, Any]

DRIVER: Final = "appliance.example.com"
LICENCES: Final = "licences"
_APPLIANCES: Final = 4
_LICENCES: Final = 16
_MODELS: Final = ("flash-200", "flash-400")


def appliances(zone: str, fabric: str) -> tuple[Object, list[Object]]:
    """Where the appliances of a zone can be used, and the devices. Every second one is of the larger model."""
    terms = [
        {
            "matchExpressions": [
                {"key": ZONE_LABEL, "operator": "In", "values": [zone]},
                {"key": FABRIC_LABEL, "operator": "In", "values": [fabric]},
            ]
        }
    ]
    devices = [
        {
            "name": f"appliance-{index}",
            "attributes": {"type": {"string": "storage"}, "model": {"string": _MODELS[index % 2]}},
            "capacity": {"bandwidth": {"value": f"{(index % 2 + 1) * 200}G"}},
        }
        for index in range(_APPLIANCES)
    ]
    return {"nodeSelector": {"nodeSelectorTerms": terms}}, devices


def licences() -> tuple[Object, list[Object]]:
    """Where licences can be used, and the devices."""
    devices = [{"name": f"licence-{n}", "attributes": {"type": {"string": "licence"}}} for n in range(_LICENCES)]
    return {"allNodes": True}, devices
