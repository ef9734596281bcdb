"""``kai-py bench soak``."""

from __future__ import annotations

from kai_py.cli.bench import soak
from kai_py.cli.bench.churn import Churn
from kai_py.cli.bench.soak import measure_soak
from kai_py.core.result import Action, Bind


def test_half_a_busy_hour_contradicts_nothing_and_everything_happens_in_it():
    result = measure_soak(pods=1000, nodes=20, seed=1)
    assert result["contradictions"] == []
    assert result["pods"] >= 1000
    for what in ("bound", "evicted", "moved", "finished", "givenUp", "lostWithNodes"):
        assert result[what] > 0, what
    assert result["flat"]
    assert len(result["memoryMiB"]) == soak.PARTS


def test_too_much_on_a_node_is_noticed():
    churn = Churn(1, 1)
    churn.step(())
    while churn.submitted < 60:
        churn.step(())
    pods = [pod for pod in churn.world.pods.values() if pod.spec.containers[0].resources.requests.get("nvidia.com/gpu")]
    binds = [Bind(f"soak/{pod.metadata.name}", pod.metadata.uid, "node-0000", "", Action.ALLOCATE) for pod in pods]
    (found,) = [one for one in churn.step(binds) if "in use" in one]
    assert found.startswith("node-0000 has")


def test_a_gang_that_stays_broken_is_noticed():
    churn = Churn(4, 1)
    while not (gangs := [job for job in churn._jobs.values() if job.minimum > 1]):
        churn.step(())
    name = gangs[0].pods[0]
    pod = churn.world.pods[name]
    found = churn.step([Bind(f"soak/{name[1]}", pod.metadata.uid, "node-0000", "", Action.ALLOCATE)])
    for _ in range(10):
        found += churn.step(())
    assert any("has run with 1 of" in one for one in found)
