"""Which devices a node sees: generations, completeness, validity, node selection, order."""

import random
from dataclasses import fields, replace

from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st

from kai_py.core.dra.blocks import Blocks
from kai_py.core.dra.devices import EVERYWHERE, CounterSet, Reach, Slice
from kai_py.core.dra.inventory import Inventory
from kai_py.core.dra.refusal import RefusalCode
from kai_py.core.tables.classes import NodeTerm, Requirement
from tests.core_dra.builders import DRIVER, World, claim, counters, device, names, nodes, pool, want
from tests.core_dra.strategies import worlds

LABELS = {"a": {"zone": "x"}, "b": {"zone": "y"}}
IN_X = Reach(term=NodeTerm((Requirement("zone", "In", ("x",)),)))
AT_A, AT_B = Reach(node="a"), Reach(node="b")


def sight(slices, node="a"):
    table = nodes("a", "b", labels=LABELS)
    inventory = Inventory.of(slices, table)
    seen = inventory.at(table.names.index(node))
    return [inventory.devices[row].name for row in seen.rows], seen.incomplete, seen.invalid


def part(name, *devices, generation=1, count=1, reach=AT_A, sets=(), pool="pool"):
    return Slice(name, DRIVER, pool, generation, count, reach, devices, sets)


def test_a_pool_is_used_when_all_its_slices_are_there():
    first, second = part("s1", device("g0"), count=2), part("s2", device("g1"), count=2)
    assert sight([first]) == ([], ("gpu.example.com/pool",), ())
    assert sight([second, first]) == (["g0", "g1"], (), ())


def test_slices_for_other_nodes_complete_a_pool():
    here, there = part("s1", device("g0"), count=2), part("s2", device("g1"), count=2, reach=AT_B)
    assert sight([here, there]) == (["g0"], (), ())
    assert sight([here, there], "b") == (["g1"], (), ())


def test_only_the_newest_generation_counts():
    old, new = part("s1", device("g0")), part("s2", device("g1"), generation=2)
    assert sight([old, new])[0] == ["g1"]


def test_a_pool_that_has_moved_to_another_node_is_gone_without_a_word():
    stale = part("s1", device("g0"), count=2)
    new = part("s2", device("g1"), count=2, generation=2, reach=AT_B)
    assert sight([stale, new]) == ([], (), ())


def test_an_old_generation_that_is_whole_is_used_while_the_new_one_appears_elsewhere():
    old, new = part("s1", device("g0")), part("s2", device("g1"), generation=2, reach=AT_B, count=2)
    assert sight([old, new]) == (["g0"], (), ())


def test_a_pool_with_two_devices_of_one_name_is_invalid():
    twice = [part("s1", device("g0"), count=2), part("s2", device("g0"), count=2)]
    assert sight(twice) == ([], (), ("gpu.example.com/pool",))
    world = World(twice, pool("good", device("g0", driver="other")))
    assert names(world.allocate(claim(want()))) == ["g0"]
    refusal = world.allocate(claim(want(2)))
    assert (refusal.code, refusal.pools) == (RefusalCode.POOL_INVALID, ("gpu.example.com/pool",))
    assert world.allocate(claim(want(-1))).code is RefusalCode.POOL_INVALID


def test_two_nodes_may_each_have_a_device_of_one_name():
    slices = [part("s1", device("g0"), count=2), part("s2", device("g0"), count=2, reach=AT_B)]
    assert sight(slices)[0] == sight(slices, "b")[0] == ["g0"]


def test_a_pool_that_consumes_what_is_not_there_is_invalid_for_all_its_nodes():
    unknown_set = device("g0", uses={"gone": {"m": 1}})
    unknown_counter = device("g0", uses={"gpu": {"x": 1}})
    for wrong in (unknown_set, unknown_counter):
        slices = [
            part("s1", device("g1"), count=3),
            part("s2", wrong, count=3, reach=AT_B),
            part("s3", count=3, sets=counters(gpu={"m": 8})),
        ]
        assert sight(slices) == ([], (), ("gpu.example.com/pool",))


def test_two_counter_sets_of_one_name_make_a_pool_invalid():
    sets = counters(gpu={"m": 8})
    slices = [part("s1", device("g0"), count=3), part("s2", count=3, sets=sets), part("s3", count=3, sets=sets)]
    assert sight(slices) == ([], (), ("gpu.example.com/pool",))


def test_devices_are_seen_by_selector_by_all_nodes_or_as_each_device_says():
    assert sight([part("s", device("g0"), reach=IN_X)])[0] == ["g0"]
    assert sight([part("s", device("g0"), reach=IN_X)], "b")[0] == []
    assert sight([part("s", device("g0"), reach=EVERYWHERE)], "b")[0] == ["g0"]
    mixed = part(
        "s",
        device("g0", reach=AT_A),
        device("g1", reach=AT_B),
        device("g2", reach=IN_X),
        device("g3", reach=EVERYWHERE),
        device("g4"),
        reach=None,
    )
    assert sight([mixed])[0] == ["g0", "g2", "g3"]
    assert sight([mixed], "b")[0] == ["g1", "g3"]


def test_pools_with_binding_conditions_come_last():
    slices = [
        part("s1", device("g0", conditions=("ready",)), device("g1"), pool="p1"),
        part("s2", device("g2"), pool="p2"),
    ]
    assert sight(slices)[0] == ["g2", "g0", "g1"]


def reference(slices, node):
    """The rules for pools one by one, as kube-scheduler goes through them for a node."""

    def reaches(reach):
        if reach is None:
            return False
        if reach.node:
            return reach.node == node
        return reach is EVERYWHERE or LABELS[node]["zone"] == "x"

    def relevant(one):
        if one.counter_sets:
            return True
        if one.reach is None:
            return any(reaches(device.reach) for device in one.devices)
        return reaches(one.reach)

    found, incomplete, invalid = [], [], []
    for key in sorted({(one.driver, one.pool) for one in slices}):
        everything = sorted((one for one in slices if (one.driver, one.pool) == key), key=lambda one: one.name)
        mine = [one for one in everything if relevant(one)]
        if not mine:
            continue
        newest = max(one.generation for one in mine)
        mine = [one for one in mine if one.generation == newest]
        same = [one for one in everything if one.generation == newest]
        if len(mine) != mine[0].count:
            if any(one.generation > newest for one in everything):
                continue
            if len(same) != mine[0].count:
                incomplete.append("/".join(key))
                continue
        own = [device for one in mine for device in one.devices]
        sets = [found for one in mine for found in one.counter_sets]
        known = {(found.name, name) for found in sets for name, _ in found.counters}
        used = {(use.counter_set, n) for one in same for d in one.devices for use in d.consumes for n, _ in use.amounts}
        if len({d.name for d in own}) < len(own) or len({s.name for s in sets}) < len(sets) or not used <= known:
            invalid.append("/".join(key))
            continue
        found += [d.name for one in mine for d in one.devices if reaches(one.reach or d.reach)]
    return found, tuple(incomplete), tuple(invalid)


@st.composite
def some_slices(draw):
    slices = []
    for i in range(draw(st.integers(0, 5))):
        reach = draw(st.sampled_from([AT_A, AT_A, AT_B, IN_X, EVERYWHERE, None]))
        devices, sets = (), ()
        if draw(st.integers(0, 3)):
            devices = tuple(
                device(
                    name,
                    uses=draw(st.sampled_from([{}, {}, {"gpu": {"m": 1}}])),
                    reach=None if reach else draw(st.sampled_from([AT_A, AT_B, IN_X, EVERYWHERE, None])),
                )
                for name in draw(st.lists(st.sampled_from(["g0", "g1", "g2"]), unique=True, max_size=2))
            )
        else:
            sets = (CounterSet("gpu", (("m", 8),)),)
        slices.append(
            part(
                f"s{i}",
                *devices,
                generation=draw(st.integers(1, 2)),
                count=draw(st.sampled_from([1, 1, 2, 3])),
                reach=reach,
                sets=sets,
                pool=draw(st.sampled_from(["p", "p", "q"])),
            )
        )
    return slices


@settings(max_examples=200, deadline=None)
@forall(some_slices(), st.sampled_from("ab"), st.randoms(use_true_random=False))
def test_a_node_sees_what_the_rules_say_in_whatever_order_slices_come(slices, node, shuffled: random.Random):
    expected = reference(slices, node)
    shuffled.shuffle(slices)
    assert sight(slices, node) == expected


@settings(max_examples=150, deadline=None)
@forall(worlds(), worlds(), st.data())
def test_a_layout_with_a_memory_is_one_that_is_made_anew(one, other, data):
    """Slices come, go and change; pools before and behind those shift."""
    memory, table = Blocks(), one.nodes
    renamed = [replace(each, pool=f"{each.pool}-2", name=f"{each.name}-2") for each in other.slices]
    everything = [*one.slices, *renamed]
    for _ in range(3):
        chosen = data.draw(st.lists(st.sampled_from(everything), unique_by=id)) if everything else []
        kept, fresh = Inventory.of(chosen, table, memory), Inventory.of(chosen, table)
        names = [field.name for field in fields(Inventory) if field.compare and field.name not in ("nodes", "node_idx")]
        assert {name: getattr(kept, name) for name in names} == {name: getattr(fresh, name) for name in names}
        assert kept.node_idx.tolist() == fresh.node_idx.tolist()
        assert [kept.at(node) for node in range(len(table))] == [fresh.at(node) for node in range(len(table))]
