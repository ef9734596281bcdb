"""Two replicas: who dies is replaced in less than five seconds, and who was only asleep does no harm."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from kai_py.operators.run import RunConfig

from .harness import Cluster
from .proxy import Answer, Call, CutError, Proxy
from .schedulers import Scheduler, scheduler


@dataclass
class Replica:
    """A scheduler, and the proxy through which alone it reaches the API server."""

    scheduler: Scheduler
    proxy: Proxy


@contextlib.asynccontextmanager
async def replicas(cluster: Cluster, folder: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    """The leader, and another one whose memory is filled."""
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for name in ("first", "second"):
            proxy = Proxy(cluster.kubeconfig, folder / name)
            await stack.enter_async_context(proxy.running())
            config = RunConfig(
                kubeconfig=str(proxy.kubeconfig), lease=("default", f"lease-{cluster.namespace}"), identity=name
            )
            one = stack.enter_context(scheduler(folder / f"{name}.log", config))
            await one.until_said("ready")
            if not made:
                await one.until_said("leading")
            made.append(Replica(one, proxy))
        assert not made[1].scheduler.has_said("leading")
        yield made[0], made[1]


async def test_a_crashed_leader_is_replaced_in_less_than_five_seconds(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.nodes(2)
    await cluster.queue("team")
    async with replicas(cluster, tmp_path) as (leader, standby):
        await cluster.pod("before")
        await cluster.until_bound("before")
        began = time.monotonic()
        leader.scheduler.kill()
        await cluster.pod("after")
        await cluster.until_bound("after")
        seconds = time.monotonic() - began
        assert standby.scheduler.has_said("leading")
        print(f"bound {seconds:.2f} s after the crash")
        assert seconds < 5.0


async def test_a_leader_that_stops_hands_over_at_once(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.nodes(1)
    await cluster.queue("team")
    given_back: list[str] = []

    async def note_lease(call: Call) -> Answer | None:
        if _writes_lease(call) and not json.loads(call.body)["spec"].get("holderIdentity"):
            given_back.append(call.path)
        return None

    async with replicas(cluster, tmp_path) as (leader, standby):
        leader.proxy.before = note_lease
        began = time.monotonic()
        leader.scheduler.send(signal.SIGTERM)
        await cluster.pod("after")
        await cluster.until_bound("after")
        print(f"bound {time.monotonic() - began:.2f} s after the end")
        assert len(given_back) == 1  # so that nobody has to wait until it runs out
        assert standby.scheduler.has_said("leading")


async def test_a_leader_that_was_asleep_past_its_lease_sends_nothing_more(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.nodes(10)
    await cluster.queue("team")
    names = [f"train-{number}" for number in range(60)]
    sent: Counter[tuple[str, str]] = Counter()
    awake = True

    async with replicas(cluster, tmp_path) as (leader, standby):

        async def put_to_sleep(call: Call) -> Answer | None:
            """With its first binding, the leader is paused; what it has sent until then is lost."""
            nonlocal awake
            if _writes(call):
                if not call.path.endswith("/binding"):
                    return None
                if awake:
                    leader.scheduler.send(signal.SIGSTOP)
                    awake = False
                raise CutError
            return None

        async def note_other(call: Call) -> Answer | None:
            if call.path.endswith("/binding"):
                sent["second", call.path] += 1
            return None

        leader.proxy.before, standby.proxy.before = put_to_sleep, note_other
        await cluster.gang("train", pods=60)
        await cluster.until_bound(*names, patience=30)
        assert not awake
        assert standby.scheduler.has_said("leading")

        late: list[str] = []

        async def note_late(call: Call) -> Answer | None:
            if _writes(call):
                late.append(f"{call.method} {call.path}")
            return None

        leader.proxy.before = note_late
        leader.scheduler.send(signal.SIGCONT)
        await leader.scheduler.until_said("no longer leading")
        await cluster.pod("next")
        await cluster.until_bound("next")
        await cluster.delete_pod("next")
        assert late == []
        assert set(sent.values()) == {1}
        assert len(sent) == 61


def _writes(call: Call) -> bool:
    """Whether it changes anything but the lease, which is changed only by who may have it, and Events.

    An Event decides nothing: it tells what was done before, and one may be on its way when the leader falls asleep.
    """
    return call.method != "GET" and "/leases" not in call.path and not call.path.partition("?")[0].endswith("/events")


def _writes_lease(call: Call) -> bool:
    return call.method != "GET" and "/leases/" in call.path
