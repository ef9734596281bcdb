"""Reservation pods: each holds one whole GPU of a node for the pods that share it, and says which one it is.

The device plugin knows nothing of shares. It gives a GPU to the reservation pod, and so to nobody else. The ledger
counts that GPU once: by those that share it, as long as there are any; after that, by the reservation pod, which is on
its way out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from kai_py.api.keys import GPU_GROUP_LABEL, RESERVED_BY_LABEL, RESERVED_DEVICE_ANNOTATION, SHOWN_DEVICES_ANNOTATION
from kai_py.api.pod import Pod
from kai_py.core.tables.pods import PodKey

#: KAI's namespace and the beginning of all names there.
NAMESPACE: Final = "kai-resource-reservation"
PREFIX: Final = "gpu-reservation"
#: A reservation pod that somebody else has made is left alone for so long while nobody uses it, in seconds.
PATIENCE_WITH_OTHERS: Final = 300.0

_FINISHED: Final = ("Succeeded", "Failed")
_HASH: Final = 10
_MOST_OF_A_NODE: Final = 63 - len(PREFIX) - _HASH - 2


class Seat(NamedTuple):
    """A device that is shared: its node, and the name that the scheduler has given it."""

    node: str
    group: str


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation pod.

    Attributes:
        key: of the pod.
        seat: which device it stands for.
        device: which one it has, as its container has found out; empty as long as it has not.
        maker: the installation that has made it; empty for somebody else's.
        leaving: it was told to go.
        failed: why it holds nothing, as its kubelet says; empty while it does.
    """

    key: PodKey
    seat: Seat
    device: str = ""
    maker: str = ""
    leaving: bool = False
    failed: str = ""

    @property
    def stands(self) -> bool:
        """Whether it holds its device, or is about to."""
        return not (self.leaving or self.failed)


def name_of(seat: Seat) -> str:
    """The name of the reservation pod for a device: always the same, so that nobody makes two."""
    digest = hashlib.sha256(f"{seat.node}/{seat.group}".encode()).hexdigest()[:_HASH]
    node = re.sub(r"[^a-z0-9-]", "-", seat.node.lower())[:_MOST_OF_A_NODE].strip("-")
    return "-".join(filter(None, (PREFIX, node, digest)))


def reservation_of(pod: Pod) -> Reservation | None:
    """The reservation that a pod is; None for any other pod of the namespace."""
    meta, group = pod.metadata, pod.metadata.labels.get(GPU_GROUP_LABEL, "")
    if not (meta.name.startswith(PREFIX) and group and pod.spec.node_name):
        return None
    return Reservation(
        PodKey(meta.namespace, meta.name, meta.uid),
        Seat(pod.spec.node_name, group),
        device=meta.annotations.get(RESERVED_DEVICE_ANNOTATION, ""),
        maker=meta.labels.get(RESERVED_BY_LABEL, ""),
        leaving=meta.deletion_timestamp is not None,
        failed=(pod.status.reason or pod.status.phase) if pod.status.phase in _FINISHED else "",
    )


class ReservationBook:
    """All reservation pods, and who sits on the devices that they stand for.

    Args:
        maker: our name, as reservation pods of ours have it.

    Attributes:
        namespace: where reservation pods are.
        enabled: whether we make them, and take them away.
        shown: the devices that pods of a seat were shown; what stands for the seat later must be one of them.
        changed: seats whose reservation pods may have to be counted anew; emptied by whoever does.
    """

    def __init__(self, maker: str = "") -> None:
        self.maker = label_text(maker)
        self.namespace = NAMESPACE
        self.enabled = False
        self.shown: dict[Seat, frozenset[str]] = {}
        self.changed: set[Seat] = set()
        self._pods: dict[PodKey, tuple[Reservation, Pod]] = {}
        self._of_seat: dict[Seat, set[PodKey]] = {}
        self._users: dict[Seat, set[PodKey]] = {}
        self._seats_of: dict[PodKey, frozenset[Seat]] = {}
        #: Seats with reservation pods and without users, and since when, as far as that was noticed.
        self._idle_since: dict[Seat, float] = {}

    # -- reservation pods --------------------------------------------------------------------------

    def covers(self, pod: Pod) -> bool:
        """Whether a pod is a reservation pod, wherever it stands."""
        return pod.metadata.namespace == self.namespace and reservation_of(pod) is not None

    def see(self, pod: Pod) -> bool:
        """Take in a pod of the namespace as a watch reports it; tells whether anything changed."""
        found = reservation_of(pod)
        if found is None:
            return False
        before = self._pods.get(found.key)
        self._pods[found.key] = found, pod
        self._of_seat.setdefault(found.seat, set()).add(found.key)
        self.changed.add(found.seat)
        return before is None or before[0] != found

    def drop(self, key: PodKey) -> None:
        """A reservation pod is gone, or the pod was none."""
        found = self._pods.pop(key, None)
        if found is not None:
            seat = found[0].seat
            self._of_seat[seat].discard(key)
            if not self._of_seat[seat]:
                del self._of_seat[seat]
            self.changed.add(seat)

    def failed(self) -> Iterator[PodKey]:
        """Those that hold nothing any more, and are still there."""
        return (key for key, (one, _) in self._pods.items() if one.failed)

    def pods_of(self, seat: Seat) -> list[tuple[Reservation, Pod]]:
        """The reservation pods of a seat, the one that counts first."""
        found = [self._pods[key] for key in self._of_seat.get(seat, ())]
        return sorted(found, key=lambda one: (not one[0].stands, not one[0].device, one[0].key))

    def at(self, seat: Seat) -> Reservation | None:
        """The reservation pod that stands for a seat, or did last; None if there is none."""
        found = self.pods_of(seat)
        return found[0][0] if found else None

    def elsewhere(self, seat: Seat, device: str) -> Seat | None:
        """Another seat of the node whose reservation pod says that it has the same device."""
        for other, _ in self._pods.values():
            if other.device == device and other.seat.node == seat.node and other.seat != seat and other.stands:
                return other.seat
        return None

    # -- who sits where ----------------------------------------------------------------------------

    def sit(self, key: PodKey, node: str, groups: Iterable[str]) -> None:
        """A pod has its share on these devices, or is about to; none where it has no node."""
        after = frozenset(Seat(node, group) for group in groups) if node else frozenset()
        before = self._seats_of.get(key, frozenset())
        if before == after:
            return
        for seat in before - after:
            users = self._users[seat]
            users.discard(key)
            if not users:
                del self._users[seat]
                self.shown.pop(seat, None)
        for seat in after - before:
            self._users.setdefault(seat, set()).add(key)
            self._idle_since.pop(seat, None)
        if after:
            self._seats_of[key] = after
        else:
            del self._seats_of[key]
        self.changed |= before ^ after

    def users(self, seat: Seat) -> frozenset[PodKey]:
        """Those that have a share of a device, or are about to."""
        return frozenset(self._users.get(seat, ()))

    def used(self) -> list[Seat]:
        """All devices that are shared, sorted."""
        return sorted(self._users)

    def tell(self, seat: Seat, devices: frozenset[str]) -> None:
        """A pod was shown these devices, one of which is that of a seat of it."""
        if devices and seat in self._users:
            known = self.shown.get(seat, devices)
            self.shown[seat] = known & devices or known

    # -- what it means -----------------------------------------------------------------------------

    def counts(self, pod: Pod) -> bool:
        """Whether a reservation pod holds a device of its own: nobody shares it, or another one stands for it."""
        found = reservation_of(pod)
        assert found is not None
        first = self.at(found.seat)
        return found.seat not in self._users or (first is not None and first.key != found.key)

    def idle_since(self, pod: Pod, now: float) -> float | None:
        """Since when nobody shares the device of a reservation pod; None while somebody does."""
        found = reservation_of(pod)
        assert found is not None
        if found.seat in self._users:
            self._idle_since.pop(found.seat, None)
            return None
        return self._idle_since.setdefault(found.seat, now)

    def surplus(self, now: float) -> Iterator[Reservation]:
        """Reservation pods that nobody needs: failed ones, and those of devices that nobody shares.

        Those that somebody else has made get time: what is on its way there is not known here.
        """
        for one, _ in self._pods.values():
            if one.leaving:
                continue
            if one.seat in self._users:
                if one.failed:
                    yield one
                continue
            since = self._idle_since.setdefault(one.seat, now)
            if one.maker == self.maker or now - since >= PATIENCE_WITH_OTHERS:
                yield one
        for seat in self._idle_since.keys() - self._of_seat.keys():
            del self._idle_since[seat]

    def unguarded(self) -> Iterator[Seat]:
        """Devices that are shared, and that nothing stands for, not even something that is about to go."""
        return (seat for seat in self.used() if not self._of_seat.get(seat))

    def strays(self) -> Iterator[Reservation]:
        """Reservation pods that have got another device than the one that those who share it were shown."""
        for seat, devices in sorted(self.shown.items()):
            found = self.at(seat)
            if found is not None and found.stands and found.device and found.device not in devices:
                yield found


def label_text(name: str) -> str:
    """A name as a label can have it."""
    return re.sub(r"[^A-Za-z0-9._-]", ".", name)[:63].strip("._-")


def shown_devices(annotations: Mapping[str, str]) -> frozenset[str]:
    """The devices that a pod's annotation says it was shown."""
    return frozenset(filter(None, annotations.get(SHOWN_DEVICES_ANNOTATION, "").split(",")))
