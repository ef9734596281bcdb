"""How long the topology engine takes, and how good its mappings are: ``python -m tests.core_topology.measure``."""

from statistics import median
from time import perf_counter

import numpy as np

from kai_py.core.tables.domains import Topology
from kai_py.core.tables.patterns import Pattern, Shape
from kai_py.core.topology.arrange import arrange
from kai_py.core.topology.choice import Choice, Constraint, Offer, Shortfall
from kai_py.core.topology.choose import choose
from kai_py.core.topology.parts import Arrangement, Part
from kai_py.core.topology.prices import by_price, cheapest_slots
from kai_py.core.topology.ranks import place_ranks
from tests.core_topology.builders import column, grid

ZONE, BLOCK, RACK = 0, 1, 2
TREE = grid(4, 8, 8, 2)
LARGE = grid(8, 16, 16, 8)


def timed(work, repeat=7):
    """The median, and the first time: caches of the topology are cold then."""
    seconds = []
    for _ in range(repeat):
        start = perf_counter()
        result = work()
        seconds.append(perf_counter() - start)
    return result, f"{1000 * median(seconds):8.2f} ms (first {1000 * seconds[0]:.2f})"


def told(answer):
    """An answer in a few words."""
    if isinstance(answer, Choice):
        return f"level {answer.level}, {len(answer.cover)} domains, {answer.leftover} left over, exact {answer.exact}"
    if isinstance(answer, Arrangement):
        return f"level {answer.level}, {len(answer.leaves)} leaves, {answer.misses} levels missed, exact {answer.exact}"
    if isinstance(answer, Shortfall):
        return f"{answer.code}: {answer.fits} of {answer.pods} in {'/'.join(answer.domain)}, exact {answer.exact}"
    return f"mean {answer.cost / answer.pairs:.3f} hops, {answer.cost / max(answer.bound, 1):.3f} of the bound"


def show(name, work, **options):
    """Run and print one line."""
    answer, time = timed(work, **options)
    print(f"{name:58} {time:30} {told(answer)}")


def layouts(tree):
    """Slots per node: empty, and fragmented at random."""
    count = len(tree.nodes)
    return {"empty": np.full(count, 4), "fragmented": np.random.default_rng(0).integers(0, 5, count)}


def alike():
    """Equal pods."""
    for tree in (TREE, LARGE):
        for name, slots in layouts(tree).items():
            for pods in (512, 8000) if tree is LARGE else (64, 512):
                for required, preferred in ((-1, RACK), (ZONE, RACK), (BLOCK, -1)):
                    ask = Constraint(required, preferred)
                    offer, demand = Offer.of_slots(slots), np.array([pods])
                    title = f"{len(tree.nodes)} nodes {name}, {pods} pods, {required}/{preferred}"
                    show(title, lambda t=tree, a=ask, o=offer, d=demand: choose(t, a, o, d))


def mixed():
    """Pods that differ."""
    rng = np.random.default_rng(0)
    free = np.stack([rng.integers(0, 129, 512) * 1000, rng.integers(0, 9, 512) * 1000], axis=1)
    offer = Offer.of(np.array([[4000, 0], [16000, 2000], [8000, 1000]]), free, np.ones((3, 512), dtype=np.bool_))
    for demand in ([1, 16, 0], [1, 100, 0], [4, 200, 100], [10, 300, 300]):
        for required, preferred in ((-1, RACK), (ZONE, BLOCK), (BLOCK, -1)):
            title = f"512 nodes fragmented, {demand} pods, {required}/{preferred}"
            ask, pods = Constraint(required, preferred), np.array(demand)
            show(title, lambda a=ask, d=pods: choose(TREE, a, offer, d), repeat=3)


def subgroups():
    """Segments and replicas."""
    offer = Offer.of_slots(np.random.default_rng(0).integers(0, 9, 512))

    def group(constraint, sizes, inner):
        parts = tuple(Part(f"s{row}", (size,), inner) for row, size in enumerate(sizes))
        return Part("", (0,), constraint, parts)

    in_rack = Constraint(RACK, RACK)
    for name, podgroup in {
        "32 segments of 8, a rack each, in a zone": group(Constraint(ZONE), [8] * 32, in_rack),
        "512 segments of 2, a rack each": group(Constraint(), [2] * 512, in_rack),
        "40 subgroups of 3 to 12, a rack each, in a zone": group(Constraint(ZONE), [3, 5, 6, 9, 12] * 8, in_rack),
        "64 segments of 8, preferably a rack": group(Constraint(), [8] * 64, Constraint(BLOCK, RACK)),
    }.items():
        show(name, lambda p=podgroup: arrange(TREE, p, offer), repeat=3)


def ranks():
    """Ranks of 512 pods on nodes."""
    rng = np.random.default_rng(0)
    for name, counts in {
        "one zone": np.where(np.arange(512) < 128, 4, 0),
        "one per node": np.ones(512, dtype=np.int64),
        "scattered": np.bincount(rng.integers(0, 512, 512), minlength=512),
    }.items():
        for shape in Shape:
            for group in (1, 8):
                pattern = Pattern(shape, group)
                title = f"512 ranks {name}, {shape} of groups of {group}"
                show(title, lambda c=counts, p=pattern: place_ranks(TREE, c[None, :], p), repeat=3)


def rest():
    """Building a topology, and pricing domains."""
    for tree in (TREE, LARGE):
        columns = [
            column([tree.paths[level][row][-1] for row in tree.domain_idx[level].tolist()])
            for level in range(len(tree.levels))
        ]
        _, time = timed(lambda t=tree, c=columns: Topology.of(t.name, t.levels, c, t.nodes))
        print(f"{len(tree.nodes)} nodes laid out as a topology {time:>48}")
    offers = np.sort(np.random.default_rng(0).random((512, 8)), axis=1)
    free = TREE.sums(RACK, np.random.default_rng(1).integers(0, 2, 512))
    found, time = timed(lambda: next(by_price(free, 8, cheapest_slots(TREE, RACK, offers))))
    print(f"the cheapest of 256 racks for 8 pods: {found} {time}")


if __name__ == "__main__":
    for part in (alike, mixed, subgroups, ranks, rest):
        part()
