"""RDMA NICs as DRANET publishes them (``dra.net``)."""

from __future__ import annotations

from typing import Any, Final

from .hardware import PCIE_ROOT, Nic

Object = dict[str, Any]

DRIVER: Final = "dra.net"


def network_card(nic: Nic) -> Object:
    """A NIC as a device. Its attributes are qualified, although they are the driver's own: so it writes them."""
    text = {
        "ifName": f"rdma{nic.index}",
        "pciAddress": nic.slot.address,
        "mac": nic.mac,
        "pciVendor": "Mellanox Technologies",
        "pciDevice": "MT2910 Family [ConnectX-7]",
        "encapsulation": "ether",
        "state": "up",
        "type": "device",
    }
    attributes: Object = {f"{DRIVER}/{name}": {"string": value} for name, value in text.items()}
    numbers = {"numaNode": nic.slot.numa, "mtu": 9000}
    attributes |= {f"{DRIVER}/{name}": {"int": value} for name, value in numbers.items()}
    attributes |= {f"{DRIVER}/{name}": {"bool": name == "rdma"} for name in ("rdma", "sriov", "virtual", "ebpf")}
    attributes[PCIE_ROOT] = {"string": nic.slot.root}
    return {"name": f"pci-{nic.slot.address.replace(':', '-').replace('.', '-')}", "attributes": attributes}
