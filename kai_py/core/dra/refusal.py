"""Why claims get no devices: codes and numbers, no sentences."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class RefusalCode(StrEnum):
    """What stands in the way."""

    # of the claim itself: no node can help
    TOO_MANY_DEVICES = "TooManyDevices"
    TOO_MANY_CONFIGURATIONS = "TooManyConfigurations"
    # of the pools
    POOL_INCOMPLETE = "PoolIncomplete"
    POOL_INVALID = "PoolInvalid"
    # of a selector
    SELECTOR_FAILED = "SelectorFailed"
    # of the node's devices, one request looked at alone
    NO_MATCH = "NoDeviceMatches"
    TAINTED = "DevicesTainted"
    TOO_SMALL = "DevicesTooSmall"
    IN_USE = "DevicesInUse"
    COUNTERS_USED_UP = "CountersUsedUp"
    CAPACITY_USED_UP = "CapacityUsedUp"
    # of all requests together
    CONSTRAINT = "ConstraintNotMet"
    ALL_AGAINST_CONSTRAINT = "AllDevicesAgainstConstraint"
    TOGETHER = "RequestsCompete"
    # of what devices take of their node
    NODE_ROOM = "NodeTooFull"
    NODE_UNUSED = "ClaimOfNoContainer"
    NODE_SHARED = "ClaimUsedOnNode"
    # of claims that have devices
    ELSEWHERE = "DevicesElsewhere"
    # of the search
    CUT = "SearchCut"


class Shortage(NamedTuple):
    """Of a node's own resource devices take ``asked`` base units; ``left`` are left beside what the pod asks for."""

    resource: str
    asked: int
    left: int


@dataclass(frozen=True)
class Refusal:
    """Why claims get no devices of a node.

    Attributes:
        code: what stands in the way; of several requests the first that alone cannot be met.
        claim: which claim; empty = all together.
        request: which request (``request`` or ``request/subrequest``).
        needed: how many devices it asks for.
        matched: how many of those that the node sees its selectors accept.
        available: how many of those are not tainted, large enough, and nobody has them.
        pools: incomplete or invalid pools that the node sees, as ``driver/pool``.
        counters: counters that are used up, as (pool, counter set, counter).
        shortages: what devices take too much of that the node offers itself.
        message: what a selector said that cannot be evaluated; ``selector`` says which one and of what, ``device`` on
            which device, as ``driver/pool/device``.
        steps: how many devices were tried.
    """

    code: RefusalCode
    claim: str = ""
    request: str = ""
    needed: int = 0
    matched: int = 0
    available: int = 0
    pools: tuple[str, ...] = ()
    counters: tuple[tuple[str, str, str], ...] = ()
    shortages: tuple[Shortage, ...] = ()
    message: str = ""
    selector: str = ""
    device: str = ""
    steps: int = 0
