"""Part of the table of texts about nodes: what they lack of devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kai_py.core.result import FilterReason
from kai_py.telemetry.filter_text import FilterText

_LOOK: Final = "look at the devices of the nodes (kai-py devices)"

DEVICE_TEXTS: Final[Mapping[str, FilterText]] = {
    FilterReason.NO_DEVICE: FilterText(
        "has no device that matches",
        "have no device that matches",
        "The node has room for the pod, but fewer devices than a claim asks for that match the selectors of the class "
        "and of the claim, whoever has them.",
        f"Ask for other devices, or {_LOOK}",
    ),
    FilterReason.DEVICES_TOO_SMALL: FilterText(
        "has devices that are too small",
        "have devices that are too small",
        "Devices of the node match, but have less of a capacity than a claim asks for, or cannot give out such an "
        "amount.",
        f"Ask for less capacity, or {_LOOK}",
    ),
    FilterReason.DEVICES_TAINTED: FilterText(
        "has devices with taints that are not tolerated",
        "have devices with taints that are not tolerated",
        "Devices of the node match, but have NoSchedule or NoExecute taints that the request does not tolerate.",
        "Add tolerations to the claim's request, or mend the devices",
    ),
    FilterReason.DEVICES_IN_USE: FilterText(
        "has its devices in use",
        "have their devices in use",
        "The node has enough devices that match, but claims have them. What leaving pods give back counts as free.",
        f"Wait until devices are free, ask for fewer, or {_LOOK}",
    ),
    FilterReason.COUNTERS_USED_UP: FilterText(
        "has used up what its devices are cut from",
        "have used up what their devices are cut from",
        "Devices of the node match and nobody has them, but others that are cut from the same device take up its "
        "counters.",
        f"Wait until partitions are free, ask for smaller ones, or {_LOOK}",
    ),
    FilterReason.CAPACITY_USED_UP: FilterText(
        "has used up the capacity of its shared devices",
        "have used up the capacity of their shared devices",
        "Devices of the node can be shared, but others take too much of a capacity.",
        f"Wait until shares are free, ask for smaller ones, or {_LOOK}",
    ),
    FilterReason.DEVICES_TAKE_NODE: FilterText(
        "has too little left of what its devices take of it",
        "have too little left of what their devices take of them",
        "Devices of the node match and nobody has them, but they take cpu, memory or the like of the node beside what "
        "the pod asks for (nodeAllocatableResourceMappings), and not so much is left, or the pod as a whole asks for "
        "less.",
        "Wait until pods of the node finish, or ask for less cpu and memory, or for devices that take less",
    ),
    FilterReason.POOLS_UNSETTLED: FilterText(
        "has pools that are not complete, or contradict themselves",
        "have pools that are not complete, or contradict themselves",
        "A driver has not published all slices of a pool of the node yet, or has published a pool that contradicts "
        "itself; its devices are not given out.",
        "Wait for the driver; look at its log and its ResourceSlices if it stays so",
    ),
    FilterReason.DEVICES_AGAINST_CONSTRAINT: FilterText(
        "has no free devices that meet the claim's constraints",
        "have no free devices that meet the claim's constraints",
        "The node has devices for each request alone, but those that are free do not have the attributes in common, or "
        "apart, that the claim's constraints demand.",
        f"Loosen the constraints, wait until devices are free, or {_LOOK}",
    ),
    FilterReason.SELECTOR_FAILED: FilterText(
        "has devices on which a selector cannot be evaluated",
        "have devices on which a selector cannot be evaluated",
        "A CEL expression of the claim or of its class fails on a device that would be tried, for instance because it "
        "reads an attribute that the device does not have. As with kube-scheduler, the node is not used then.",
        "Ask whether the attribute is there ('model' in device.attributes['gpu.example.com'] && ...), or look first "
        "whether it is that driver's device (device.driver == 'gpu.example.com' && ...)",
    ),
    FilterReason.DEVICES: FilterText(
        "lacks devices",
        "lack devices",
        "The node has room for the pod and devices for each of its requests alone, but not for all of them together; "
        "or a claim has its devices elsewhere; or it is one of so many nodes that they were not looked at one by one.",
        f"Ask for fewer devices or others, wait until devices are free, or {_LOOK}",
    ),
}
