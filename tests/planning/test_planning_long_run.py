"""What queues hold in the long run: hours of virtual time, in which everybody always asks for more than there is.

The numbers that docs/fairness.md tells of are measured here.
"""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest
from msgspec.structs import replace

from kai_py.api.decode import convert
from kai_py.api.pod import Pod
from kai_py.cluster.pods import key_of
from kai_py.cluster.store import Store
from kai_py.cluster.usage import UsageBook, Window
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.result import Evict
from kai_py.planning.objects import read_objects
from kai_py.planning.world import World
from kai_py.podgrouper.grouping import group_of

from .builders import node, pod, queue

START = 1_800_000_000.0
GPUS = 64
#: Seconds from cycle to cycle.
STEP = 60.0


class Simulation:
    """Eight nodes of eight GPUs, and queues of which each has pods waiting that would fill them.

    A pod asks for 1, 2 or 4 GPUs and runs for 5 to 25 minutes; one that is evicted begins anew.

    Args:
        queues: manifests.
        k_value: how strongly past usage counts.
    """

    def __init__(self, *queues, k_value=0.0):
        objects = read_objects([*(node(f"n{number}") for number in range(GPUS // 8)), *queues], START)
        store = Store(group_of)
        for one in objects.nodes:
            store.put_node(one)
        for one in objects.queues:
            store.put_queue(one)
        self.world, self.now = World(store, (), START), START
        self.options = Options(k_value=k_value)
        self.usage = UsageBook(Window(size=1e9))
        self.evictions = 0
        self._random = random.Random(7)
        self._gpus, self._left = {}, {}

    def step(self, asking):
        """One cycle and the minute after it; returns GPUs by queue: what it held in that minute, and its fair share."""
        for name in asking:
            self._submit(name)
        store = self.world.store
        snapshot = store.take(self.now)
        result = run_cycle(snapshot, self.options, clock=lambda: 0.0)
        store.carryover.remember(result, self.now)
        self.evictions += sum(isinstance(decision, Evict) and not decision.moved for decision in result.decisions)
        self.now += STEP
        self.world.settle(result.decisions, self.now)
        held, shares, resources = self._held(), result.shares, snapshot.axis.accounted
        gpu = resources.index("gpu")
        amounts = np.zeros((len(held), len(resources)))
        amounts[:, gpu] = [gpus * 1000 for gpus in held.values()]
        self.usage.record(self.now, STEP, resources=resources, queues=tuple(held), held=amounts, capacity=shares.total)
        store.queues.remember_usage(self.usage.usage(self.now), resources)
        self._finish()
        return held, dict(zip(shares.names, (shares.fair_share[:, gpu] / 1000).tolist(), strict=True))

    def used(self):
        """What each queue has used since the beginning, as a fraction of what all have used."""
        used = {name: float(amounts.max()) for name, amounts in self.usage.usage(self.now).items()}
        return {name: amount / sum(used.values()) for name, amount in used.items()}

    def _submit(self, name):
        waiting = sum(
            self._gpus[each] for each, one in self.world.pods.items() if not one.spec.node_name and _queue(one) == name
        )
        while waiting < GPUS:
            gpus, number = self._random.choice((1, 2, 4)), len(self._gpus)
            manifest = pod(f"{name}-{number:05}", gpus, queue=name, owner=f"job-{number:05}")
            manifest["metadata"] |= {"namespace": "default", "uid": f"{number:05}"}
            made = convert(Pod, manifest)
            self._gpus[made.metadata.key], waiting = gpus, waiting + gpus
            self._left[made.metadata.key] = self._random.randint(5, 25)
            self.world.put(replace(made, status=replace(made.status, phase="Pending")), self.now)

    def _held(self):
        held = Counter()
        for name, one in self.world.pods.items():
            if one.spec.node_name:
                held[_queue(one)] += self._gpus[name]
        return {name: held[name] for name in sorted(held)}

    def _finish(self):
        for name, one in list(self.world.pods.items()):
            if one.spec.node_name:
                self._left[name] -= 1
                if self._left[name] <= 0:
                    self.world.store.drop_pod(key_of(one))
                    del self.world.pods[name]


def _queue(one):
    return one.metadata.labels["kai.scheduler/queue"]


FLAT = [queue(name, gpus=0, weight=weight) for name, weight in (("a", 1), ("b", 2), ("c", 3), ("d", 6))]
NESTED = [
    queue("science", gpus=16),
    queue("product", gpus=8, weight=2),
    queue("biology", gpus=8, parent="science"),
    queue("physics", gpus=4, limit=6, parent="science"),
    queue("search", gpus=0, limit=10, parent="product"),
    queue("ads", gpus=4, weight=3, parent="product"),
    queue("maps", gpus=0, parent="product"),
]
#: The largest pod: nobody can be told to hold less than it of too much or too little.
LARGEST = 4


@pytest.mark.parametrize(
    ("tree", "shares"),
    [
        pytest.param(FLAT, {"a": 5, "b": 11, "c": 16, "d": 32}, id="weights"),
        pytest.param(NESTED, {"biology": 23, "physics": 6, "search": 6, "ads": 23, "maps": 6}, id="departments"),
    ],
)
def test_every_queue_comes_to_hold_its_fair_share(tree, shares):
    simulation, first, totals = Simulation(*tree), next(iter(shares)), Counter()
    for _ in range(20):
        held, _ = simulation.step([first])
    assert held == {first: GPUS}
    distances = []
    for number in range(180):
        held, fair = simulation.step(shares)
        assert {name: fair[name] for name in shares} == shares
        distances.append(max(abs(held.get(name, 0) - share) for name, share in shares.items()))
        if number >= 40:
            totals.update(held)
    # One cycle evicts, the next one takes what was freed; one is to spare.
    assert min(number for number, distance in enumerate(distances) if distance <= LARGEST) <= 2
    mean = {name: totals[name] / 140 for name in shares}
    assert max(abs(mean[name] - share) for name, share in shares.items()) < 1.0, mean
    assert sum(mean.values()) > 0.97 * GPUS


def after_a_head_start(k_value):
    """What queues of weights 1, 1 and 2 have used after five hours, of which the first had 40 minutes for itself."""
    simulation = Simulation(*(queue(name, gpus=0, weight=weight) for name, weight in WEIGHTS.items()), k_value=k_value)
    for number in range(300):
        simulation.step(["a"] if number < 40 else WEIGHTS)
    return simulation.used()


WEIGHTS = {"a": 1, "b": 1, "c": 2}


def unfairness(used):
    """The largest distance from what the weight says, as a fraction of that."""
    owed = {name: weight / sum(WEIGHTS.values()) for name, weight in WEIGHTS.items()}
    return max(abs(used[name] - owed[name]) / owed[name] for name in WEIGHTS)


def test_with_usage_a_head_start_evens_out():
    assert unfairness(after_a_head_start(1.0)) < 0.1


def test_without_usage_a_head_start_stays():
    assert unfairness(after_a_head_start(0.0)) > 0.3
