"""What nodes get back when candidates go, told from sums alone."""

from __future__ import annotations

from collections.abc import Iterable

from kai_py.core.resources import DEVICE, Amounts
from kai_py.core.state.ledger import Ledger


class Departures:
    """Candidates that go one after the other. The last one of a shared device gives back the whole device.

    Args:
        ledger: as it was when the search began; nothing is changed.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._class = ledger.snapshot.pods.class_idx
        self._requests = ledger.snapshot.classes.request
        self._left: dict[tuple[int, str], int] = {}
        #: Devices, by node and name, that nobody shares any more.
        self.closed: set[tuple[int, str]] = set()

    def gives(self, pod: int) -> Amounts:
        """``(R,)`` what a pod that has a node gives back by going after all others that were asked about."""
        devices = self._ledger.devices
        request: Amounts = self._requests[self._class.item(pod)]
        if devices is None or not (names := devices.of_pod.get(pod)):
            return request
        node, closed = self._ledger.node.item(pod), 0
        amount = devices.amount(self._ledger.snapshot.classes.classes[self._class.item(pod)], node)
        for name in names:
            left = self._left.get((node, name), devices.on(node)[name].later) - amount
            self._left[node, name] = left
            if left == 0:
                self.closed.add((node, name))
                closed += 1
        return self.with_devices(request, closed)

    def most(self, pods: Iterable[int]) -> Amounts:
        """``(R,)`` no less than what some pods give back: as if each were the last one on its devices."""
        rows = list(pods)
        total: Amounts = self._requests[self._class[rows]].sum(axis=0)
        if self._ledger.devices is None:
            return total
        of_pod = self._ledger.devices.of_pod
        return self.with_devices(total, sum(len(of_pod.get(pod, ())) for pod in rows))

    def with_devices(self, amounts: Amounts, count: int) -> Amounts:
        """``(R,)`` amounts and some whole devices."""
        if not count or self._ledger.devices is None:
            return amounts
        more = amounts.copy()
        more[self._ledger.devices.table.column] += DEVICE * count
        return more
