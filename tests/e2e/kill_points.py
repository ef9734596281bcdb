"""Kills a scheduler upon its n-th write, before or after the server has it, and looks what its successor makes of it.

One server, one proxy and one set of nodes serve all points. The successor of one point is the victim of the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kai_py.kube.listing import list_all
from kai_py.operators import starts, unused_claims
from kai_py.operators.kinds import CLAIMS, PODGROUPS
from kai_py.operators.run import RunConfig

from .claims import claims, devices, devices_of, owner
from .harness import Cluster
from .proxy import Answer, Call, CutError, Proxy
from .schedulers import Scheduler, scheduler

NODES, PER_NODE = 3, 4
#: Writes that change what runs where; all others may be lost and are made again.
_DECISIVE = re.compile(r"(POST|PATCH|PUT|DELETE) .*/(resourceclaims/.*|pods/[^/]+/(binding|eviction)|pods/[^/?]+)$")
#: What is left to time in production is done sooner, so that a point takes a second.
_SOONER = {f"{unused_claims.__name__}.EVERY": 0.3, f"{starts.__name__}.LOOK": 0.1}


@dataclass(frozen=True)
class Point:
    """Where to kill.

    Attributes:
        scene: what is going on.
        number: which of the decisive writes, from 1.
        after: when the server has carried it out, and not before.
    """

    scene: str
    number: int
    after: bool


def points(seed: int, count: int) -> Iterator[Point]:
    """Random ones; each scene has as many decisive writes as are needed to start one gang."""
    chance = random.Random(seed)
    for _ in range(count):
        scene = chance.choice(tuple(WRITES))
        yield Point(scene, chance.randint(1, WRITES[scene]), chance.random() < 0.5)


class Trap:
    """Kills who sends its n-th decisive write through a proxy.

    Args:
        proxy: through which alone it reaches its server.
        kill: ends it at once.

    Attributes:
        hit: set when it is dead.
    """

    def __init__(self, proxy: Proxy, kill: Callable[[], None]) -> None:
        self.hit = asyncio.Event()
        self._kill = kill
        self._number = 0
        self._after_it = False
        self._written = 0
        self._fatal: Call | None = None
        proxy.before, proxy.after = self._before, self._after

    def set(self, number: int, *, after: bool) -> None:
        """Kill upon the n-th decisive write from now on: when the server has carried it out, or before."""
        self._number, self._after_it, self._written, self._fatal = number, after, 0, None
        self.hit.clear()

    def open(self) -> None:
        """Kill nobody."""
        self._number = 0

    async def _before(self, call: Call) -> Answer | None:
        if not self._number or not _is_decisive(call):
            return None
        if self.hit.is_set():
            raise CutError
        self._written += 1
        if self._written == self._number:
            if not self._after_it:
                self._strike()
            self._fatal = call
        return None

    async def _after(self, call: Call) -> Answer | None:
        if call is self._fatal and not self.hit.is_set():
            self._strike()
        return None

    def _strike(self) -> None:
        self._kill()
        self.hit.set()
        raise CutError


class Kills:
    """A cluster in which schedulers die.

    Args:
        cluster: with nodes and queues (``furnish``).
        proxy: between it and the schedulers.
        folder: for logs.
    """

    def __init__(self, cluster: Cluster, proxy: Proxy, folder: Path) -> None:
        self._cluster = cluster
        self._proxy = proxy
        self._folder = folder
        self._scheduler: Scheduler | None = None
        self._made = 0
        self._running = contextlib.ExitStack()
        self._trap = Trap(proxy, self._kill)

    async def furnish(self) -> None:
        """What all points share."""
        for node in await self._cluster.nodes(NODES, gpus=PER_NODE):
            await devices(self._cluster, node, PER_NODE)
        await self._cluster.queue("team")
        await self._cluster.queue("borrower", quota=0)
        await self._cluster.queue("lender", quota=2 * PER_NODE)

    async def run(self, point: Point) -> set[str]:
        """Kill one scheduler, and see the next one through; returns the gangs that it has started."""
        if self._scheduler is None:
            await self._start()
        assert self._scheduler is not None
        if point.scene == "reclaim":
            await self._borrow()
        self._trap.set(point.number, after=point.after)
        await self._begin(point.scene)
        await self._cluster.until(self._dead)
        self._running.close()
        await asyncio.sleep(0.05)  # what the dead one had sent arrives, and is thrown away
        await self.check()
        self._trap.open()
        await self._start()
        started = await self._see_through(point.scene)
        await self._clear()
        return started

    def close(self) -> None:
        """End the last scheduler."""
        self._running.close()

    def _kill(self) -> None:
        assert self._scheduler is not None
        self._scheduler.kill()

    async def _start(self) -> None:
        self._made += 1
        config = RunConfig(kubeconfig=str(self._proxy.kubeconfig), leader_elect=False)
        log = self._folder / f"scheduler-{self._made}.log"
        self._scheduler = self._running.enter_context(scheduler(log, config, constants=_SOONER))
        await self._scheduler.until_said("ready")

    # -- scenes ------------------------------------------------------------------------------------

    async def _begin(self, scene: str) -> None:
        if scene == "reclaim":
            await self._cluster.gang("lent", pods=2, gpus=PER_NODE, queue="lender")
            return
        # Two gangs, and room for one.
        for gang in ("a", "b"):
            if scene == "gpus":
                await self._cluster.gang(gang, pods=4, gpus=2)
                continue
            podgroup = {"minMember": 4, "queue": "team"}
            api = {"apiVersion": "scheduling.run.ai/v2alpha2", "kind": "PodGroup", "metadata": {"name": gang}}
            await self._cluster.create(PODGROUPS.path(self._cluster.namespace), {**api, "spec": podgroup})
            for number in range(4):
                await owner(self._cluster, f"{gang}-{number}", 2, group=gang)

    async def _borrow(self) -> None:
        for number in range(NODES):
            await self._cluster.pod(f"borrows-{number}", gpus=PER_NODE, queue="borrower")
        await self._cluster.until_bound(*(f"borrows-{number}" for number in range(NODES)))

    async def _see_through(self, scene: str) -> set[str]:
        if scene == "reclaim":
            started = {"lent"}
            await self._cluster.until(lambda: self._whole("lent", 2))
            left = {name for name in await self._cluster.pods() if name.startswith("borrows")}
            assert len(left) == 1, f"{NODES - len(left)} pods were evicted where two are enough"
        else:
            first = await self._cluster.until(self._one_whole)
            second = "b" if first == "a" else "a"
            started = {first, second}
            await self._end(first)
            await self._cluster.until(lambda: self._whole(second, 4))
        await self.check()
        return started

    async def _one_whole(self) -> str:
        """The gang that runs, when nothing is left of the other one."""
        await self.check()
        held = Counter(name[0] for name in (*await self._cluster.places(), *await devices_of(self._cluster)))
        whole = [gang for gang in "ab" if await self._whole(gang, 4)]
        return whole[0] if len(whole) == 1 and len(held) == 1 else ""

    async def _whole(self, gang: str, pods: int) -> bool:
        await self._play_kubelet()
        await self.check()
        places = await self._cluster.places()
        return all(f"{gang}-{number}" in places for number in range(pods))

    async def _dead(self) -> bool:
        await self._play_kubelet()
        return self._trap.hit.is_set()

    async def _play_kubelet(self) -> None:
        for name, pod in (await self._cluster.pods()).items():
            if pod["metadata"].get("deletionTimestamp"):
                await self._cluster.delete_pod(name)

    # -- what must hold ----------------------------------------------------------------------------

    async def check(self) -> None:
        """Hold at every moment: no node has more than it can take, no device is given twice, claims go with pods."""
        pods = await self._cluster.pods()
        taken: Counter[str] = Counter()
        for pod in pods.values():
            requests = pod["spec"]["containers"][0]["resources"]["requests"]
            taken[pod["spec"].get("nodeName", "")] += int(requests.get("nvidia.com/gpu", 0))
        del taken[""]
        assert max(taken.values(), default=0) <= PER_NODE, taken
        given = await devices_of(self._cluster)
        each = Counter(device for results in given.values() for device in results)
        assert set(each.values()) <= {1}, each
        found = await claims(self._cluster)
        users = {name: (one.get("status") or {}).get("reservedFor", ()) for name, one in found.items()}
        for name, pod in pods.items():
            node = pod["spec"].get("nodeName")
            if node and pod["spec"].get("resourceClaims"):
                assert {pool for pool, _ in given[f"{name}-dev"]} == {node}
                assert [user["uid"] for user in users[f"{name}-dev"]] == [pod["metadata"]["uid"]]

    async def _end(self, gang: str) -> None:
        for name in await self._cluster.pods():
            if name.startswith(f"{gang}-"):
                await self._cluster.delete_pod(name)
        for name in await claims(self._cluster):
            if name.startswith(f"{gang}-"):
                await self._cluster._remove(CLAIMS.path(self._cluster.namespace, name))

    async def _clear(self) -> None:
        for gang in ("a", "b", "lent", "borrows"):
            await self._end(gang)
        for one in await list_all(self._cluster.client, PODGROUPS, self._cluster.namespace):
            await self._cluster.client.delete(PODGROUPS.path(self._cluster.namespace, one["metadata"]["name"]))


def _is_decisive(call: Call) -> bool:
    announces = call.path.endswith("/status") and b"DisruptionTarget" in call.body
    return announces or _DECISIVE.match(f"{call.method} {call.path}") is not None


#: Decisive writes until the first gang of a scene runs: four bindings; before them two writes for each of four claims;
#: two victims that are marked and deleted, and two bindings.
WRITES = {"gpus": 4, "claims": 12, "reclaim": 6}
#: The gangs that a scene wants started.
WANTED = {"gpus": {"a", "b"}, "claims": {"a", "b"}, "reclaim": {"lent"}}
