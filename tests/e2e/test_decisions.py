"""The decision log of a scheduler that runs."""

import socket

import aiohttp

from .harness import Cluster


async def test_a_running_scheduler_tells_what_it_has_done(cluster: Cluster) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await cluster.nodes(1, gpus=2)
    await cluster.queue("team")
    async with cluster.scheduler(decisions_at=("127.0.0.1", port)), aiohttp.ClientSession() as session:
        await cluster.pod("fits", gpus=2)
        await cluster.until_bound("fits")
        await cluster.pod("waits", gpus=2)

        async def decisions():
            async with session.get(f"http://127.0.0.1:{port}/decisions") as response:
                items = (await response.json())["items"]
            done = [one for one in items if one.get("outcome") == "done"]
            waits = [one for one in items if one["kind"] == "wait"]
            return (done, waits) if done and waits else None

        (done, *_), (waits, *_) = await cluster.until(decisions)
        assert (done["kind"], done["pod"], done["node"]) == ("bind", f"{cluster.namespace}/fits", "node-0")
        assert waits["pods"] == [f"{cluster.namespace}/waits"]
        assert waits["alternatives"]["nodes"] == {"InsufficientResources": 1}
