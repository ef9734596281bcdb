"""``kill -9`` at every step of a gang's start: nothing is lost, nothing doubled, nothing waits for ever.

Twenty random points here; ``make nightly`` takes two hundred, with another seed each time. KILL_POINTS and KILL_SEED
repeat what it has found.
"""

from __future__ import annotations

import os
from pathlib import Path

from .harness import Cluster
from .kill_points import WANTED, Kills, points
from .proxy import Proxy

COUNT = int(os.environ.get("KILL_POINTS", "20"))
SEED = int(os.environ.get("KILL_SEED", "1"))


async def test_whoever_comes_next_finishes_what_a_killed_scheduler_began(cluster: Cluster, tmp_path: Path) -> None:
    print(f"{COUNT} points, KILL_SEED={SEED}")
    async with Proxy(cluster.kubeconfig, tmp_path / "kubeconfig.proxy").running() as proxy:
        kills = Kills(cluster, proxy, tmp_path)
        try:
            await kills.furnish()
            for number, point in enumerate(points(SEED, COUNT)):
                print(number, point, flush=True)
                assert await kills.run(point) == WANTED[point.scene]
        finally:
            kills.close()
