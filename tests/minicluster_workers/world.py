"""A cluster whose workers live in a time that the test turns by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from kai_py.minicluster import MiniCluster, Storage, pools
from kai_py.minicluster.kinds import CRDS as CRD_KIND
from kai_py.minicluster.workers import DeviceDrivers, Kubelets, ManualClock, controllers, workload_crds

Object = dict[str, Any]
CRDS = Path(__file__).parents[2] / "crds"


class World:
    """A running cluster, its kubelets, and the clock of all workers."""

    def __init__(self, gates: AbstractSet[str] = frozenset()) -> None:
        self.clock = ManualClock()
        self.kubelets = Kubelets(clock=self.clock, start_after=1.0, stop_after=1.0)
        drivers = DeviceDrivers(clock=self.clock)
        workers = (self.kubelets.run, drivers.run, *controllers(clock=self.clock))
        self.cluster = MiniCluster(crds=CRDS, workers=workers, gates=gates)
        for crd in workload_crds():
            self.storage.create(CRD_KIND.key, crd)

    @property
    def storage(self) -> Storage:
        return self.cluster.storage

    def add_nodes(self, count: int = 1, profile: str = "bench") -> list[str]:
        made = pools.nodes(profile, count)
        pools.register(self.storage, made)
        return [node["metadata"]["name"] for node in made]

    async def settle(self) -> None:
        """Let every worker do all that it can do now. What takes a turn takes a turn, not time."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def pass_(self, seconds: float) -> None:
        """Let time pass, in one step."""
        await self.settle()
        self.clock.advance(seconds)
        await self.settle()

    async def comes(self, holds: Callable[[], bool]) -> bool:
        """Let workers work, and tell whether something comes to hold; no worker's time passes."""
        deadline = asyncio.get_running_loop().time() + 5
        while not holds():
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(0)
        return True

    def pod(self, name: str = "a") -> Object:
        return self.storage.get("pods", name, "default")

    def pods(self, labels: str = "") -> list[Object]:
        return self.storage.list("pods", "default", labels=labels)

    def phase(self, name: str = "a") -> str:
        return str(self.pod(name)["status"]["phase"])

    async def run_on(self, node: str, *pods: Object) -> None:
        """Create pods, bind them, and let them start."""
        for pod in pods:
            self.storage.create("pods", pod)
            self.storage.bind("default", pod["metadata"]["name"], node)
        await self.pass_(1)
