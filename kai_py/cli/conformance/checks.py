"""The checks: what users would do to find out, and what they should see.

Requirements: https://github.com/cncf/k8s-ai-conformance, and the KARs of kubernetes-sigs/ai-conformance: 53 (gangs: all
run, or none), 51 (claims), 3 (several pods on one device, and no more than it has), secure accelerator access.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from fractions import Fraction
from math import floor
from typing import Any, Final

from kai_py.api.keys import NVIDIA_DEVICES
from kai_py.api.quantity import parse_quantity
from kai_py.cli.conformance.evidence import Requirement
from kai_py.cli.conformance.stage import Stage, Unmet, Untestable, all_succeed, any_bound, node_of, told
from kai_py.kube.listing import list_all
from kai_py.operators.kinds import DEVICE_CLASSES, PODS, SLICES

Json = dict[str, Any]
Check = Callable[[Stage], Awaitable[None]]

_GANG: Final = 4
_LONG: Final = 600
_UUID: Final = "uuid"
#: Devices in one claim, by the API.
_MOST: Final = 32


async def check_gangs(stage: Stage) -> None:
    """A gang that fits runs to its end; of one that does not, no pod starts; what it asked for stays free."""
    nodes = await stage.nodes()
    if not nodes:
        raise Untestable(f"no node offers {stage.terms.resource}")
    size = min(_GANG, sum(nodes.values()))
    stage.evidence.section("A gang that fits")
    await stage.job("fits", size, gpus=1)
    await stage.until("fits", "to succeed, all of them", all_succeed(size))
    await stage.delete_job("fits")
    stage.evidence.section("A gang that does not fit")
    whole = max(nodes.values())
    most = sum(count // whole for count in (*nodes.values(), *await _claimable(stage)))
    stage.evidence.say(f"{most} pods with {whole} {stage.terms.resource} each would fit on an empty cluster.")
    await stage.job("too-large", most + 1, gpus=whole, seconds=_LONG)
    await stage.until("too-large", "to exist and to say why they wait", told(most + 1))
    await stage.never("too-large", "get a node", any_bound)
    stage.evidence.section("What the gang did not get is free for others")
    await stage.job("beside", size, gpus=1)
    await stage.until("beside", "to succeed beside the gang that waits", all_succeed(size))
    await stage.delete_job("too-large")


async def check_claims(stage: Stage) -> None:
    """Claims from a template are allocated for pods of ours, each device once; a gang with claims is one, too."""
    pools = Counter(pool for driver, pool, device in await _devices(stage) if _is_whole(driver, device))
    if not pools or not await _has_class(stage, NVIDIA_DEVICES):
        raise Untestable(f"there is no DeviceClass {NVIDIA_DEVICES} with devices")
    stage.evidence.section("A gang whose pods have a claim each")
    await stage.claim_template("accelerator", {"deviceClassName": NVIDIA_DEVICES, "count": 1})
    await stage.job("claims", 2, claim="accelerator", seconds=3)
    await stage.until("claims", "to have a node each", lambda pods: len(pods) == 2 and all(map(node_of, pods)))
    mine = [one for one in await stage.claims() if one["metadata"]["namespace"] == stage.namespace]
    results = [(one["metadata"]["name"], *_result(device)) for one in mine for device in _results(one)]
    stage.evidence.table([("claim", "driver", "pool", "device"), *results])
    if len({one[1:] for one in results}) != len(mine) or not mine:
        raise Unmet("every claim was expected to have a device of its own")
    await stage.until("claims", "to succeed", all_succeed(2))
    stage.evidence.section("A gang that asks for more devices than there are")
    each = min(max(pools.values()), _MOST)
    count = sum(devices // each for devices in pools.values()) + 1
    await stage.claim_template("accelerators", {"deviceClassName": NVIDIA_DEVICES, "count": each})
    await stage.job("too-many", count, claim="accelerators", seconds=_LONG)
    await stage.until("too-many", "to exist and to say why they wait", told(count))
    await stage.never("too-many", "get a node", any_bound)
    await stage.delete_job("too-many")


async def check_sharing(stage: Stage) -> None:
    """Several pods on one device, by the capacity that each asks for; and no more than the device has."""
    taken = {_result(one) for claim in await stage.claims() for one in _results(claim)}
    able = (one for one in await _devices(stage) if _may_be_shared(one[2]) and (*one[:2], one[2]["name"]) not in taken)
    driver, pool, device = next(able, ("", "", {}))
    if not driver:
        raise Untestable("no free device may be allocated several times, by capacity")
    if not await _has_class(stage, driver):
        raise Untestable(f"there is no DeviceClass {driver}, as the driver of devices that may be shared is called")
    stage.evidence.say(f"Device `{device['name']}` of pool `{pool}`, driver `{driver}`:")
    stage.evidence.show("Published", device)
    uuid = device["attributes"][_UUID]["string"]
    only = {"cel": {"expression": f'device.attributes["{driver}"].{_UUID} == "{uuid}"'}}

    async def template(name: str, part: Fraction) -> None:
        amounts = {key: str(max(floor(parse_quantity(one["value"]) * part), 1)) for key, one in _capacity(device)}
        request = {"deviceClassName": driver, "selectors": [only], "capacity": {"requests": amounts}}
        await stage.claim_template(name, request)

    stage.evidence.section("Two pods share a device")
    await template("quarter", Fraction(1, 4))
    await stage.job("sharing", 2, claim="quarter", seconds=_LONG)
    await stage.until("sharing", "to have a node each", lambda pods: len(pods) == 2 and all(map(node_of, pods)))
    stage.evidence.section("A third asks for more than is left")
    await template("whole", Fraction(1))
    await stage.job("greedy", 1, claim="whole")
    await stage.until("greedy", "to exist and to say why they wait", told(1))
    await stage.never("greedy", "get a node", any_bound)
    stage.evidence.section("It starts when the others have gone")
    await stage.delete_job("sharing")
    await stage.until("greedy", "to succeed", all_succeed(1))


async def check_access(stage: Stage) -> None:
    """No node gives more than it has, no device is given twice, and who asks for nothing is given nothing."""
    stage.evidence.say(
        "What a container sees of the devices on its node is for the device plugin, the driver and the container "
        "runtime: it is not tested here. Tested is that the scheduler goes by what they offer."
    )
    nodes = await stage.nodes()
    if not nodes:
        raise Untestable(f"no node offers {stage.terms.resource}")
    stage.evidence.section("A node gives no more than it has")
    name, offered = min(nodes.items(), key=lambda item: (item[1], item[0]))
    await stage.job("crowd", offered + 1, gpus=1, seconds=_LONG, gang=False, node=name)
    pods = await stage.until("crowd", "to be bound or to say why they wait", told(offered + 1))
    if all(map(node_of, pods)):
        raise Unmet(f"{offered + 1} pods with a {stage.terms.resource} each are on {name}, which has {offered}")
    await _compare(stage, nodes)
    stage.evidence.section("Who asks for nothing is given nothing")
    await stage.job("plain", 1, gang=False)
    [pod] = await stage.until("plain", "to succeed", all_succeed(1))
    if pod["spec"].get("resourceClaims") or pod.get("status", {}).get("resourceClaimStatuses"):
        raise Unmet(f"{pod['metadata']['name']} asks for no device and has a claim")
    stage.evidence.section("No device is given twice")
    shareable = {(*one[:2], one[2]["name"]) for one in await _devices(stage) if one[2].get("allowMultipleAllocations")}
    given = Counter(
        _result(one) for claim in await stage.claims() for one in _results(claim) if not one.get("adminAccess")
    )
    twice = sorted("/".join(one) for one, count in given.items() if count > 1 and one not in shareable)
    stage.evidence.say(f"{len(given)} devices are given to claims; {len(twice)} of them twice without being shareable.")
    if twice:
        raise Unmet(f"given several times: {', '.join(twice)}")


CHECKS: Final[tuple[tuple[Requirement, Check], ...]] = (
    (
        Requirement(
            "gang_scheduling",
            "schedulingOrchestration",
            "MUST",
            "TestSchedulingOrchestration_GangScheduling",
            "All pods of a distributed workload start, or none does.",
        ),
        check_gangs,
    ),
    (
        Requirement(
            "dra_support",
            "accelerators",
            "MUST",
            "TestAccelerators_DRASupport",
            "Claims on devices (resource.k8s.io/v1) are allocated for the pods that name them.",
            "In the checklists of 1.34 and 1.35, not in that of 1.36.",
        ),
        check_claims,
    ),
    (
        Requirement(
            "gpu_sharing",
            "accelerators",
            "SHOULD",
            "TestAccelerators_GPUSharing",
            "Several pods share one accelerator, and together never take more than it has.",
        ),
        check_sharing,
    ),
    (
        Requirement(
            "secure_accelerator_access",
            "security",
            "MUST",
            "TestSecurity_SecureAcceleratorAccess",
            "Accelerators are given by the device plugin or by claims alone, and to one workload at a time.",
            "The scheduler's part: what a container sees of its node's devices is not tested.",
        ),
        check_access,
    ),
)


async def _claimable(stage: Stage) -> list[int]:
    """Devices by pool that serve the extended resource as well."""
    classes = await list_all(stage.client, DEVICE_CLASSES)
    if not any(one["spec"].get("extendedResourceName") == stage.terms.resource for one in classes):
        return []
    return list(Counter(pool for driver, pool, device in await _devices(stage) if _is_whole(driver, device)).values())


async def _compare(stage: Stage, nodes: Mapping[str, int]) -> None:
    """What all pods ask for on a node, with what it has."""
    asked: Counter[str] = Counter()
    for pod in await list_all(stage.client, PODS):
        if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            asked[node_of(pod)] += sum(
                int(one.get("resources", {}).get("limits", {}).get(stage.terms.resource, 0))
                for one in pod["spec"]["containers"]
            )
    stage.evidence.table(
        [("node", "has", "given"), *((name, str(nodes[name]), str(asked[name])) for name in nodes if asked[name])]
    )
    if over := sorted(name for name in nodes if asked[name] > nodes[name]):
        raise Unmet(f"more was given than there is: {', '.join(over)}")


async def _devices(stage: Stage) -> list[tuple[str, str, Json]]:
    """Driver, pool and device of everything that is published."""
    return [
        (str(one["spec"]["driver"]), str(one["spec"]["pool"]["name"]), device)
        for one in await list_all(stage.client, SLICES)
        for device in one["spec"].get("devices") or ()
    ]


async def _has_class(stage: Stage, name: str) -> bool:
    return any(one["metadata"]["name"] == name for one in await list_all(stage.client, DEVICE_CLASSES))


def _is_whole(driver: str, device: Json) -> bool:
    kind = (device.get("attributes") or {}).get("type", {}).get("string", "gpu")
    return driver == NVIDIA_DEVICES and kind == "gpu" and not device.get("allowMultipleAllocations")


def _capacity(device: Json) -> Iterator[tuple[str, Json]]:
    yield from (device.get("capacity") or {}).items()


def _may_be_shared(device: Json) -> bool:
    known = "string" in (device.get("attributes") or {}).get(_UUID, {})
    return known and bool(device.get("allowMultipleAllocations")) and any(True for _ in _capacity(device))


def _results(claim: Json) -> list[Json]:
    allocation = claim.get("status", {}).get("allocation") or {}
    return list((allocation.get("devices") or {}).get("results") or ())


def _result(given: Json) -> tuple[str, str, str]:
    return str(given["driver"]), str(given["pool"]), str(given["device"])
