"""Claims as the API server has them, and what we have decided about them that it does not have yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from msgspec.structs import replace

from kai_py.api.keys import ALLOCATED_ANNOTATION, QUEUE_LABEL
from kai_py.api.resource import Allocation, ResourceClaim
from kai_py.core.tables.pods import PodKey

Name = tuple[str, str]
#: Driver, pool, device.
_DeviceName = tuple[str, str, str]
#: What an allocation is, whatever spelling its amounts have.
Devices = tuple[str | None, tuple[tuple[str, str, str, str, str | None], ...]]


@dataclass
class _Flight:
    """Devices that were decided for a claim and are not written yet, and the pods that are sent off with them."""

    uid: str
    allocation: Allocation
    pods: set[PodKey] = field(default_factory=set)


class ClaimObjects:
    """All claims by name. A claim for which devices are on their way has them already.

    Versions come by the watch and with the answers to our writes; of one claim the newest counts, whichever way it
    came.

    Args:
        known: uids of pods that are known to use claims; whether a claim is reserved for these makes no difference.
        owner: who we are, for the mark on allocations of ours.

    Attributes:
        by_name: the claims; read only.
        owner: who we are.
        changed: called with the name of a claim that was changed, came or went.
    """

    def __init__(self, known: AbstractSet[str], owner: str) -> None:
        self.by_name: dict[Name, ResourceClaim] = {}
        self.owner = owner
        self.changed: Callable[[Name], None] = lambda _name: None
        #: How often devices of claims have changed, and at which of these times those of each claim did.
        self._changes = 0
        self._changed_at: dict[Name, int] = {}
        self._noted = 0
        self._known = known
        self._flights: dict[Name, _Flight] = {}
        #: The newest version came with an answer, and the watch has not shown it yet.
        self._unseen: set[Name] = set()
        #: Who has each device, and whether only a part of it.
        self._holders: dict[_DeviceName, dict[Name, bool]] = {}

    def put(self, claim: ResourceClaim, *, answer: bool = False) -> bool:
        """Take in a claim as the watch shows it, or an answer to a write; tells whether anything that matters changed.

        An answer about a claim that is gone, or was made anew under its name, comes too late.
        """
        name, before = claim.metadata.key, self.by_name.get(claim.metadata.key)
        same = before is not None and before.metadata.uid == claim.metadata.uid
        if answer and not same:
            return False
        if before is not None and same:
            age = version(claim) - version(before)
            if not answer and age >= 0:
                self._unseen.discard(name)
            if age < 0 or (age == 0 and version(claim)):
                return False
        if answer:
            self._unseen.add(name)
        elif not same:
            self._unseen.discard(name)
        flight = self._flights.get(name)
        if flight is not None and (flight.uid != claim.metadata.uid or claim.status.allocation is not None):
            del self._flights[name]
        elif flight is not None:
            claim = _with(claim, flight.allocation)
        return self._set(name, claim)

    def drop(self, name: Name) -> bool:
        """Forget a claim; tells whether it was known."""
        self._flights.pop(name, None)
        self._unseen.discard(name)
        return self._set(name, None)

    def _set(self, name: Name, claim: ResourceClaim | None) -> bool:
        before = self.by_name.get(name)
        had, has = _allocation(before), _allocation(claim)
        had_devices, has_devices = devices_of(had), devices_of(has)
        if had_devices != has_devices or _uid(before) != _uid(claim):
            self._changes += 1
            self._changed_at[name] = self._changes
            for device, _ in _taken(had):
                self._holders[device].pop(name, None)
                if not self._holders[device]:
                    del self._holders[device]
            for device, shared in _taken(has):
                holders = self._holders.setdefault(device, {})
                holders[name] = holders.get(name, True) and shared
        if claim is None:
            self.by_name.pop(name, None)
            self._changed_at.pop(name, None)
        else:
            self.by_name[name] = claim
        if _facts(before, had_devices) == _facts(claim, has_devices):
            return False  # a weight is made of facts
        self.changed(name)
        return self._weight(before, had_devices) != self._weight(claim, has_devices)

    def _weight(self, claim: ResourceClaim | None, devices: Devices | None) -> object:
        """All of a claim that a cycle reads."""
        if claim is None:
            return None
        meta = claim.metadata
        strangers = frozenset(one.uid for one in claim.status.reserved_for if one.uid not in self._known)
        leaving = meta.deletion_timestamp is not None
        return meta.uid, leaving, meta.labels.get(QUEUE_LABEL), devices, strangers

    # -- what is on its way ------------------------------------------------------------------------

    def assume(self, name: Name, uid: str, allocation: Allocation) -> None:
        """A claim counts as having these devices from now on."""
        claim = self.by_name.get(name)
        if claim is not None and claim.metadata.uid == uid and claim.status.allocation is None:
            self._flights[name] = _Flight(uid, allocation)
            self._set(name, _with(claim, allocation))

    def join(self, name: Name, pod: PodKey) -> None:
        """A pod is sent off with a claim."""
        if (flight := self._flights.get(name)) is not None:
            flight.pods.add(pod)

    def release(self, name: Name, pod: PodKey) -> None:
        """It is not, after all; devices that were decided for nobody else are given up."""
        flight = self._flights.get(name)
        if flight is None:
            return
        flight.pods.discard(pod)
        if not flight.pods:
            del self._flights[name]
            self._set(name, _with(self.by_name[name], None))

    def unwritten(self, name: Name) -> Allocation | None:
        """The devices that are on their way to a claim; None if it has those that it has."""
        flight = self._flights.get(name)
        return flight.allocation if flight is not None else None

    def shown(self, name: Name) -> bool:
        """Whether the watch has shown what we know of a claim; what others wrote before is known then, too."""
        return name not in self._unseen

    def note(self) -> None:
        """Remember this moment: a snapshot is taken."""
        self._noted = self._changes

    def unchanged(self, name: Name) -> bool:
        """Whether a claim has just the devices that it had, or had not, when a snapshot was taken last."""
        return self._changed_at.get(name, self._changes + 1) <= self._noted

    # -- questions ---------------------------------------------------------------------------------

    def rivals(self, name: Name) -> Iterator[Name]:
        """Claims that have a device of this one, where they cannot have it both."""
        for device, shared in _taken(_allocation(self.by_name.get(name))):
            for other, part in self._holders.get(device, {}).items():
                if other != name and not (shared and part):
                    yield other

    def devices(self, name: Name) -> Devices | None:
        """The devices of a claim; None for none, and where there is no such claim."""
        return devices_of(_allocation(self.by_name.get(name)))

    def ours(self, claim: ResourceClaim) -> bool:
        """Whether we have allocated it: the mark says who did, and when."""
        allocation = claim.status.allocation
        if allocation is None or allocation.allocation_timestamp is None:
            return False
        return claim.metadata.annotations.get(ALLOCATED_ANNOTATION) == self.mark(allocation.allocation_timestamp)

    def mark(self, timestamp: str) -> str:
        """What marks an allocation of ours."""
        return f"{self.owner} {timestamp}"


def devices_of(allocation: Allocation | None) -> Devices | None:
    """When which devices were allocated; where that is the same it is one allocation, as nobody can change one."""
    if allocation is None:
        return None
    results = [(one.request, one.driver, one.pool, one.device, one.share_id) for one in allocation.devices.results]
    return allocation.allocation_timestamp, tuple(results)


def version(claim: ResourceClaim) -> int:
    """The version of a claim as a number; 0 where it is none."""
    text = claim.metadata.resource_version
    return int(text) if text.isascii() and text.isdecimal() else 0


def _facts(claim: ResourceClaim | None, devices: Devices | None) -> object:
    """All of a claim that is laid out; its spec cannot change."""
    if claim is None:
        return None
    meta, status = claim.metadata, claim.status
    labelled = meta.labels.get(QUEUE_LABEL)
    return meta.uid, meta.deletion_timestamp, labelled, devices, status.reserved_for


def _with(claim: ResourceClaim, allocation: Allocation | None) -> ResourceClaim:
    return replace(claim, status=replace(claim.status, allocation=allocation))


def _uid(claim: ResourceClaim | None) -> str:
    return claim.metadata.uid if claim is not None else ""


def _allocation(claim: ResourceClaim | None) -> Allocation | None:
    return claim.status.allocation if claim is not None else None


def _taken(allocation: Allocation | None) -> Iterator[tuple[_DeviceName, bool]]:
    """Devices that nobody else may have, or only parts of; admin access takes nothing."""
    for one in () if allocation is None else allocation.devices.results:
        if not one.admin_access:
            yield (one.driver, one.pool, one.device), one.share_id is not None
