"""The search: what it need not try, what it proves, and when it gives up."""

from kai_py.core.dra.allocator import AllocatorOptions
from kai_py.core.dra.claims import Constraint
from kai_py.core.dra.refusal import RefusalCode
from tests.core_dra.builders import (
    Kinds,
    World,
    claim,
    counters,
    device,
    gpus,
    names,
    own,
    partitioned,
    pool,
    profiles,
    want,
    zoned,
)


def test_interchangeable_devices_are_tried_once():
    # 15 devices, of which each group has 5: choosing 6 of one group fails, and there are 5005 ways to try.
    world = World(pool("pool", *(device(f"g{i:02}", has={"zone": f"z{i % 3}", "kind": "A"}) for i in range(15))))
    refusal = world.allocate(claim(want(6, selectors=(Kinds(("A",)),)), same=own("zone")))
    assert refusal.code is RefusalCode.CONSTRAINT
    assert refusal.steps < 200


def test_interchangeable_gpus_are_cut_once():
    parts = [device(f"{gpu}-{i}", uses={gpu: {"m": 4}}) for gpu in "pqrstuvw" for i in range(3)]
    sets = counters(**{gpu: {"m": 8} for gpu in "pqrstuvw"})
    refusal = World(pool("pool", *parts, sets=sets)).allocate(claim(want(17)))
    assert refusal.code is RefusalCode.TOGETHER
    assert refusal.steps < 50


def test_gpus_that_the_search_has_cut_differently_are_not_interchangeable():
    sizes = {"A": 1, "B": 2, "C": 3, "D": 2}
    parts = [
        device(f"{gpu}-{kind}", uses={gpu: {"m": size}}, has={"kind": kind})
        for gpu in "st"
        for kind, size in sizes.items()
    ]
    world = World(pool("pool", *parts, sets=counters(s={"m": 4}, t={"m": 4})))
    # B cuts s, C cuts t; A would like to be on s, where D must go.
    wanted = claim(*(want(selectors=(Kinds((kind,)),)) for kind in "BCAD"))
    assert names(world.allocate(wanted)) == ["s-B", "t-C", "t-A", "s-D"]


def test_gpus_of_which_others_left_more_or_less_are_not_interchangeable():
    parts = [
        device(f"{gpu}-{kind}", uses={gpu: {"m": size}}, has={"kind": kind})
        for gpu in "st"
        for kind, size in (("A", 2), ("W", 6))
    ]
    world = World(pool("pool", *parts, sets=counters(s={"m": 4}, t={"m": 6})))
    # A is the smaller part of t, but W fits nowhere else.
    assert names(world.allocate(claim(want(selectors=(Kinds(("A",)),)), want(selectors=(Kinds(("W",)),))))) == [
        "s-A",
        "t-W",
    ]


def test_partitions_of_one_gpu_that_take_different_counters_are_not_interchangeable():
    small = device("small", uses={"gpu": {"m": 1}}, has={"kind": "A"})
    other = device("other", uses={"gpu": {"c": 3}}, has={"kind": "A"})
    large = device("large", uses={"gpu": {"m": 4}}, has={"kind": "B"})
    world = World(pool("pool", small, other, large, sets=counters(gpu={"m": 4, "c": 4})))
    assert names(world.allocate(claim(want(selectors=(Kinds(("A",)),)), want(selectors=(Kinds(("B",)),))))) == [
        "other",
        "large",
    ]


def test_who_took_a_device_matters_where_a_constraint_binds_one_of_them():
    world = zoned(g0="x", g1="y", g2="x", g3="z")
    bound = Constraint(own("zone"), requests=frozenset({"r1", "r2"}))
    # g0 and g3 lead nowhere for the first two requests, but g3 and g0 do.
    wanted = claim(want(1, "g0", "g3"), want(1, "g0", "g1", "g3"), want(1, "g2"), constraints=[bound])
    assert names(world.allocate(wanted)) == ["g3", "g0", "g2"]


def test_requests_that_outnumber_their_devices_are_refused_by_proof():
    world = World(pool("pool", *(device(f"g{i:02}", has={"zone": i}) for i in range(24))))
    some = [f"g{i:02}" for i in range(12)]
    refusal = world.allocate(claim(*(want(1, *some) for _ in range(13))))
    assert refusal.code is RefusalCode.TOGETHER
    assert refusal.steps < 100


def test_a_search_that_takes_too_long_says_so():
    world = World(pool("pool", *gpus(6)), options=AllocatorOptions(steps=4))
    refusal = world.allocate(claim(want(3)), claim(want(3)))
    assert refusal.code is RefusalCode.CUT
    assert refusal.steps == 5


def test_a_claim_that_finds_nothing_even_alone_is_named_when_all_together_take_too_long():
    world = World(pool("pool", *gpus(6)), options=AllocatorOptions(steps=12))
    refusal = world.allocate(claim(want(4)), claim(want(1, "g5"), want(1, "g5"), name="greedy"))
    assert (refusal.code, refusal.claim) == (RefusalCode.TOGETHER, "greedy")


def test_a_caller_can_share_a_budget_among_nodes():
    world = World(pool("pool", *gpus(6)))
    wanted = [claim(want(2)), claim(want(2))]
    assert world.allocator.allocate(wanted, 0, world.ledger, steps=2).code is RefusalCode.CUT
    assert world.allocator.allocate(wanted, 0, world.ledger, steps=40).steps == 4


def test_where_the_order_of_requests_takes_too_long_the_largest_devices_are_sought_first():
    wanted = profiles("1g+", "1g", "3g", "2g", "4g", "4g", "4g")
    world = World(partitioned("s", "t", "u"), options=AllocatorOptions(steps=100))
    found = world.allocate(wanted)
    assert [name.split("-")[1] for name in names(found)] == ["1g+", "1g", "3g", "2g", "4g", "4g", "4g"]
    assert found.steps > 25


def test_partitions_are_placed_where_they_are_in_the_way_of_few_others():
    world = World(partitioned("s", "t"))
    assert names(world.commit(profiles("3g"))) == ["s-3g-4"]
    assert names(world.commit(profiles("4g"))) == ["s-4g-0"]
    assert names(world.commit(profiles("1g"))) == ["t-1g-6"]
    assert names(world.commit(profiles("4g"))) == ["t-4g-0"]


def test_sums_of_counters_prove_that_profiles_do_not_fit_together():
    world = World(partitioned(*"stuvwxyz"))
    refusal = world.allocate(profiles(*["1g"] * 24, *["7g"] * 5))
    assert refusal.code is RefusalCode.TOGETHER
    assert refusal.steps < 50
    assert len(names(world.allocate(profiles(*["1g"] * 21, *["7g"] * 5)))) == 26


def test_values_of_an_attribute_prove_that_there_are_not_enough_of_them():
    world = World(pool("pool", *(device(f"g{i:02}", has={"zone": i % 5, "rack": i % 7}) for i in range(64))))
    wanted = claim(*(want() for _ in range(8)), different=own("rack"), same=own("zone"))
    refusal = world.allocate(wanted)
    assert refusal.code is RefusalCode.CONSTRAINT
    assert refusal.steps < 100
    wanted = claim(*(want() for _ in range(7)), different=own("rack"), same=own("zone"))
    assert len(names(world.allocate(wanted))) == 7


def test_a_list_that_all_devices_must_share_a_member_of_is_looked_for_member_by_member():
    # Each pair of devices has something in common, no three have.
    pairs = [tuple(f"{min(i, j)}-{max(i, j)}" for j in range(30) if j != i) for i in range(30)]
    world = World(pool("pool", *(device(f"g{i:02}", has={"zone": zone}) for i, zone in enumerate(pairs))))
    assert len(names(world.allocate(claim(want(2), same=own("zone"))))) == 2
    refusal = world.allocate(claim(want(3), same=own("zone")))
    assert refusal.code is RefusalCode.CONSTRAINT
    assert refusal.steps < 100
