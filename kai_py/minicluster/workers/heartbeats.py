"""Node heartbeats: a Lease for each node, renewed in time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from kai_py.minicluster.storage import Storage

from .agenda import Agenda
from .clock import Clock

LEASES: Final = "leases.coordination.k8s.io"
NAMESPACE: Final = "kube-node-lease"


class Heartbeats:
    """Renews the Leases of all nodes that are up."""

    def __init__(self, clock: Clock, period: float | None) -> None:
        """Prepare.

        Args:
            clock: whose time it is.
            period: seconds between renewals; None = no heartbeats at all.
        """
        self._clock = clock
        self._period = period
        self._agenda: Agenda[str] = Agenda(clock, self._beat)
        self._nodes: set[str] = set()
        self._paused: set[str] = set()
        self._storage: Storage | None = None

    async def run(self, storage: Storage) -> None:
        """Beat until cancelled."""
        self._storage = storage
        await self._agenda.run()

    def start(self, node: str) -> None:
        """A node has come."""
        self._nodes.add(node)
        if self._period is not None:
            self._agenda.soon(node)

    def stop(self, node: str) -> None:
        """A node has gone."""
        self._nodes.discard(node)
        self._paused.discard(node)

    def pause(self, node: str) -> None:
        """A node has fallen silent."""
        self._paused.add(node)

    def resume(self, node: str) -> None:
        """A node speaks again."""
        self._paused.discard(node)

    def _beat(self, node: str) -> None:
        if node not in self._nodes or self._period is None or self._storage is None:
            return
        self._agenda.at(node, self._clock.time() + self._period)
        if node in self._paused:
            return
        now = datetime.fromtimestamp(self._clock.time(), UTC).isoformat(timespec="microseconds")
        spec = {"renewTime": now.replace("+00:00", "Z")}
        if self._storage.find(LEASES, node, NAMESPACE) is None:
            self._storage.create(LEASES, self._lease(node, spec))
        else:
            self._storage.patch(LEASES, node, {"spec": spec}, NAMESPACE)

    def _lease(self, node: str, spec: dict[str, Any]) -> dict[str, Any]:
        seconds = max(int(4 * (self._period or 0)), 1)
        return {
            "metadata": {"name": node, "namespace": NAMESPACE},
            "spec": spec | {"holderIdentity": node, "leaseDurationSeconds": seconds},
        }
