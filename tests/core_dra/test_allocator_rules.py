"""What the allocator does, rule by rule."""

from dataclasses import replace

from kai_py.core.dra.allocation import Source
from kai_py.core.dra.claims import ALL, Claim, Configuration, Constraint, DeviceClass
from kai_py.core.dra.devices import Reach, Slice
from kai_py.core.dra.refusal import RefusalCode
from kai_py.core.tables.classes import NodeTerm, Requirement, Toleration
from kai_py.core.tables.nodes import Taint
from tests.core_dra.builders import (
    Named,
    World,
    claim,
    device,
    given,
    gpus,
    names,
    nodes,
    own,
    pool,
    request,
    want,
    zoned,
)

BAD = Taint("bad", "", "NoSchedule")


def test_a_claim_gets_the_first_devices_that_qualify():
    world = World(pool("pool", *gpus(4)))
    assert names(world.allocate(claim(want(2, "g1", "g2", "g3")))) == ["g1", "g2"]


def test_a_device_is_given_to_one_claim_only():
    world = World(pool("pool", *gpus(2)))
    assert names(world.commit(claim(want()))) == ["g0"]
    assert names(world.commit(claim(want()))) == ["g1"]
    assert world.allocate(claim(want())).code is RefusalCode.IN_USE


def test_requests_move_for_each_other():
    world = World(pool("pool", *gpus(2)))
    found = world.allocate(claim(want(1, "g0", "g1")), claim(want(1, "g0")))
    assert given(found) == [[("r0", "g1")], [("r0", "g0")]]


def test_claims_of_a_pod_compete_with_each_other():
    world = World(pool("pool", *gpus(1)))
    assert world.allocate(claim(want()), claim(want())).code is RefusalCode.TOGETHER


def test_a_claim_without_requests_gets_nothing_and_is_content():
    found = World(pool("pool", *gpus(1))).allocate(Claim("empty"))
    assert given(found) == [[]]
    assert found.claims[0].term is None


# all devices ------------------------------------------------------------------------------------------
def test_all_devices_means_every_device_that_matches():
    world = World(pool("pool", *gpus(3)))
    assert names(world.allocate(claim(want(ALL, "g0", "g2")))) == ["g0", "g2"]


def test_all_devices_fails_if_somebody_has_one_of_them():
    world = World(pool("pool", *gpus(3)))
    world.occupy("g2")
    assert world.allocate(claim(want(ALL))).code is RefusalCode.IN_USE
    assert names(world.allocate(claim(want(ALL, "g0", "g1")))) == ["g0", "g1"]


def test_all_devices_of_none_is_a_refusal():
    assert World(pool("pool", *gpus(3))).allocate(claim(want(ALL, "other"))).code is RefusalCode.NO_MATCH


def test_all_devices_does_not_guess_what_an_incomplete_pool_will_have():
    missing = Slice("s", "other.example.com", "pool", 1, 2, Reach(node="a"), ())
    world = World(pool("pool", *gpus(3)), [missing])
    refusal = world.allocate(claim(want(ALL)))
    assert (refusal.code, refusal.pools) == (RefusalCode.POOL_INCOMPLETE, ("other.example.com/pool",))
    assert names(world.allocate(claim(want(1)))) == ["g0"]


def test_more_than_32_devices_are_too_many_for_one_claim_but_not_for_two():
    world = World(pool("pool", *gpus(40)))
    assert world.allocate(claim(want(33))).code is RefusalCode.TOO_MANY_DEVICES
    assert world.allocate(claim(want(20), want(20))).code is RefusalCode.TOO_MANY_DEVICES
    assert len(names(world.allocate(claim(want(20)), claim(want(20))))) == 40


def test_an_alternative_that_makes_a_claim_too_large_is_passed_over():
    world = World(pool("pool", *gpus(40)))
    found = world.allocate(claim(want(20), request("r1", want(20), want(10))))
    assert {request for request, _ in given(found)[0]} == {"r0", "r1/1"}


# alternatives -----------------------------------------------------------------------------------------
def test_the_first_alternative_that_works_is_taken_and_scored():
    world = World(pool("pool", *gpus(2)))
    found = world.allocate(claim(request("r", want(3), want(2), want(1))))
    assert given(found) == [[("r/1", "g0"), ("r/1", "g1")]]
    assert found.score == 7
    assert world.allocate(claim(want())).score == 0


def test_a_later_request_makes_an_earlier_one_take_its_second_alternative():
    world = World(pool("pool", *gpus(2)))
    found = world.allocate(claim(request("r0", want(1, "g0"), want(1, "g1")), want(1, "g0")))
    assert given(found) == [[("r0/1", "g1"), ("r1", "g0")]]


# admin access -----------------------------------------------------------------------------------------
def test_admin_access_sees_devices_in_use_and_takes_nothing():
    world = World(pool("pool", *gpus(1)))
    world.occupy("g0")
    found = world.allocate(claim(want(admin=True)))
    assert names(found) == ["g0"]
    assert found.claims[0].devices[0].admin
    assert found.takes(world.inventory) == ()


def test_admin_access_does_not_keep_a_device_from_other_claims_in_either_order():
    world = World(pool("pool", *gpus(1)))
    looking, using = claim(want(admin=True)), claim(want())
    assert names(world.allocate(looking, using)) == ["g0", "g0"]
    assert names(world.allocate(using, looking)) == ["g0", "g0"]


def test_a_claim_does_not_get_the_same_device_twice_even_to_look_at():
    world = World(pool("pool", *gpus(1)))
    assert world.allocate(claim(want(admin=True), want(admin=True))).code is RefusalCode.TOGETHER


# constraints ------------------------------------------------------------------------------------------
def test_devices_that_must_match_come_from_one_group():
    world = zoned(g0="x", g1="y", g2="x", g3="y")
    assert names(world.allocate(claim(want(2), same=own("zone")))) == ["g0", "g2"]


def test_a_value_matches_only_its_own_type():
    assert zoned(g0=1, g1=True).allocate(claim(want(2), same=own("zone"))).code is RefusalCode.CONSTRAINT
    assert zoned(g0="1.0.0", g1="v1.0.0").allocate(claim(want(2), same=own("zone"))).code is RefusalCode.CONSTRAINT


def test_devices_without_the_attribute_cannot_be_used_under_a_constraint():
    world = World(pool("pool", device("g0"), device("g1", has={"zone": "x"})))
    assert names(world.allocate(claim(want(), same=own("zone")))) == ["g1"]
    assert names(world.allocate(claim(want(), different=own("zone")))) == ["g1"]


def test_no_two_of_three_devices_share_a_value_that_must_be_distinct():
    world = zoned(g0="x", g1="y", g2="x", g3="z")
    assert names(world.allocate(claim(want(3), different=own("zone")))) == ["g0", "g1", "g3"]
    assert zoned(g0="x", g1="y", g2="x").allocate(claim(want(3), different=own("zone"))).code is RefusalCode.CONSTRAINT


def test_lists_match_in_any_member_that_all_have():
    world = zoned(g0=("x", "y"), g1=("y", "z"), g2=("z", "x"))
    assert names(world.allocate(claim(want(2), same=own("zone")))) == ["g0", "g1"]
    assert world.allocate(claim(want(3), same=own("zone"))).code is RefusalCode.CONSTRAINT


def test_what_lists_have_in_common_is_restored_when_a_device_is_given_back():
    # g0 and g1 have y in common, which no third device has; g0, g2 and g3 share x.
    world = zoned(g0=("x", "y"), g1=("y",), g2=("x",), g3=("x",))
    assert names(world.allocate(claim(want(3), same=own("zone")))) == ["g0", "g2", "g3"]


def test_lists_are_distinct_when_no_member_is_shared():
    world = zoned(g0=("x", "y"), g1=("y", "z"), g2=("z",))
    assert names(world.allocate(claim(want(2), different=own("zone")))) == ["g0", "g2"]


def test_a_constraint_binds_only_the_requests_that_it_names():
    world = zoned(g0="x", g1="y", g2="x")
    bound = Constraint(own("zone"), requests=frozenset({"r0", "r2"}))
    found = world.allocate(claim(want(1, "g0"), want(1, "g1"), want(), constraints=[bound]))
    assert names(found) == ["g0", "g1", "g2"]


def test_a_constraint_can_name_one_alternative():
    world = zoned(g0="x", g1="y")
    bound = Constraint(own("zone"), requests=frozenset({"r0", "r1/0"}))
    found = world.allocate(claim(want(1, "g0"), request("r1", want(), want()), constraints=[bound]))
    assert given(found) == [[("r0", "g0"), ("r1/1", "g1")]]


def test_all_devices_against_a_constraint_is_told_and_does_not_end_the_search():
    world = zoned(g0="x", g1="y")
    assert world.allocate(claim(want(ALL), same=own("zone"))).code is RefusalCode.ALL_AGAINST_CONSTRAINT
    # The first request has to move away from g0 before all of g2 can match.
    world = zoned(g0="x", g1="y", g2="y")
    assert names(world.allocate(claim(want(1, "g0", "g1"), want(ALL, "g2"), same=own("zone")))) == ["g1", "g2"]


def test_an_attribute_can_be_written_with_its_drivers_domain_or_without():
    devices = [device("g0", has={own("zone"): "x"}), device("g1", has={"zone": "x"})]
    assert names(World(pool("pool", *devices)).allocate(claim(want(2), same=own("zone")))) == ["g0", "g1"]
    foreign = [device("g0", has={"zone": "x"}), device("g1", has={"zone": "x"})]
    refusal = World(pool("pool", *foreign)).allocate(claim(want(2), same="other.example.com/zone"))
    assert refusal.code is RefusalCode.CONSTRAINT


# taints -----------------------------------------------------------------------------------------------
def test_tainted_devices_go_to_those_who_tolerate_them():
    world = World(pool("pool", device("g0", taints=[BAD]), device("g1", taints=[Taint("soft", "", "None")])))
    assert names(world.allocate(claim(want()))) == ["g1"]
    assert world.allocate(claim(want(2))).code is RefusalCode.TAINTED
    assert names(world.allocate(claim(want(2, tolerations=(Toleration("bad", "Exists"),))))) == ["g0", "g1"]


def test_all_devices_fails_if_one_of_them_is_tainted():
    world = World(pool("pool", device("g0"), device("g1", taints=[BAD])))
    assert world.allocate(claim(want(ALL))).code is RefusalCode.TAINTED


def test_a_taint_on_a_device_that_is_used_up_does_not_keep_all_the_others():
    full = device("g1", capacity={"mem": 8}, shareable=True, taints=[BAD])
    world = World(pool("pool", device("g0"), full))
    assert world.allocate(claim(want(ALL))).code is RefusalCode.TAINTED
    world.commit(claim(want(1, "g1", tolerations=(Toleration("bad", "Exists"),))))
    assert names(world.allocate(claim(want(ALL)))) == ["g0"]


def test_admin_access_needs_tolerations_as_well():
    world = World(pool("pool", device("g0", taints=[BAD])))
    assert world.allocate(claim(want(admin=True))).code is RefusalCode.TAINTED


# selectors --------------------------------------------------------------------------------------------
def test_a_selector_that_fails_on_a_device_that_is_tried_ends_the_attempt():
    world = World(pool("pool", *gpus(2)))
    refusal = world.allocate(claim(want(selectors=(Named(broken=("g0",)),))))
    assert (refusal.code, refusal.message) == (RefusalCode.SELECTOR_FAILED, "no such key on g0")


def test_a_selector_that_fails_on_the_device_that_fits_best_does_not_hide_the_ones_before_it():
    def small_fails(*more):
        devices = [device("large", capacity={"mem": 80}), device("small", capacity={"mem": 40}), *more]
        return World(pool("pool", *devices)).allocate(claim(want(selectors=(Named(broken=("small",)),))))

    assert names(small_fails()) == ["large"]
    assert names(small_fails(device("tiny", capacity={"mem": 10}))) == ["tiny"]


def test_a_selector_that_fails_before_the_device_that_fits_best_counts_as_with_kube_scheduler():
    devices = [device("large", capacity={"mem": 80}), device("small", capacity={"mem": 40})]
    world = World(pool("pool", *devices))
    refusal = world.allocate(claim(want(selectors=(Named(broken=("large",)),))))
    assert (refusal.code, refusal.message) == (RefusalCode.SELECTOR_FAILED, "no such key on large")


def test_a_device_that_is_not_needed_may_be_beyond_a_selector():
    world = World(pool("pool", *gpus(2)))
    assert names(world.allocate(claim(want(selectors=(Named(broken=("g1",)),))))) == ["g0"]
    world.occupy("g0")
    assert names(world.allocate(claim(want(selectors=(Named(broken=("g0",)),))))) == ["g1"]


def test_the_class_is_asked_before_the_request():
    mine = DeviceClass("mine", (Named(("g1",)),))
    world = World(pool("pool", *gpus(2)))
    assert names(world.allocate(claim(want(device_class=mine, selectors=(Named(broken=("g0",)),))))) == ["g1"]


# results ----------------------------------------------------------------------------------------------
def test_the_result_names_the_nodes_that_can_use_all_devices():
    labels = {"a": {"zone": "x", "rack": "1"}}
    zone = Requirement("zone", "In", ("x",))
    rack = Requirement("rack", "Exists")
    slices = [
        Slice("s0", "d0", "p", reach=Reach(term=NodeTerm((zone,))), devices=(device("n0", driver="d0"),)),
        Slice("s1", "d1", "p", reach=Reach(term=NodeTerm((zone, rack))), devices=(device("n1", driver="d1"),)),
        Slice("s2", "d2", "p", devices=(device("n2", driver="d2"),)),
        Slice("s3", "d3", "p", devices=(device("n3", driver="d3", binds_to_node=True),)),
        Slice("s4", "d4", "p", reach=Reach(node="a"), devices=(device("n4", driver="d4"),)),
    ]
    world = World(slices, table=nodes("a", labels=labels))

    def term(*wanted):
        return world.allocate(claim(*(want(1, name) for name in wanted))).claims[0].term

    assert term("n2") is None
    assert term("n0", "n2") == NodeTerm((zone,))
    assert term("n0", "n1") == NodeTerm((zone, rack))
    here = NodeTerm(names=(Requirement("metadata.name", "In", ("a",)),))
    assert term("n0", "n3") == term("n0", "n4") == here


def test_configuration_comes_from_the_classes_that_are_used_and_then_from_the_claim():
    one = DeviceClass("one", config=(Configuration("one-a"), Configuration("one-b")))
    two = DeviceClass("two", config=(Configuration("two"),))
    config = (
        Configuration("all"),
        Configuration("both", ("r0", "r1")),
        Configuration("no", ("r2/0",)),
        Configuration("yes", ("r2/1",)),
    )
    listed = request("r2", want(9, device_class=one), want(1, device_class=two))
    wanted = claim(want(1, device_class=one), want(1, device_class=one), listed, config=config)
    found = World(pool("pool", *gpus(3))).allocate(wanted).claims[0].config
    assert [(one.source, one.requests, one.opaque) for one in found] == [
        (Source.CLASS, ("r0", "r1"), "one-a"),
        (Source.CLASS, ("r0", "r1"), "one-b"),
        (Source.CLASS, ("r2/1",), "two"),
        (Source.CLAIM, (), "all"),
        (Source.CLAIM, ("r0", "r1"), "both"),
        (Source.CLAIM, ("r2/1",), "yes"),
    ]


def test_more_configuration_than_the_api_server_stores_is_refused():
    classes = [DeviceClass(f"c{i}", config=tuple(Configuration(f"{i}-{j}") for j in range(25))) for i in range(3)]
    world = World(pool("pool", *gpus(3)))
    assert len(world.allocate(claim(*(want(device_class=one) for one in classes[:2]))).claims[0].config) == 50
    refusal = world.allocate(claim(*(want(device_class=one) for one in classes)))
    assert (refusal.code, refusal.needed) == (RefusalCode.TOO_MANY_CONFIGURATIONS, 75)


def test_devices_with_binding_conditions_come_last_and_bring_them_along():
    waiting = device("g0", conditions=("ready",), failures=("broken",))
    world = World(pool("pool-1", waiting), pool("pool-2", device("g1")))
    found = world.allocate(claim(want(2)))
    assert sorted(names(found)) == ["g0", "g1"]
    assert names(world.allocate(claim(want()))) == ["g1"]
    with_conditions = next(one for one in found.claims[0].devices if one.device == "g0")
    assert (with_conditions.conditions, with_conditions.failures) == (("ready",), ("broken",))


# order ------------------------------------------------------------------------------------------------
def test_a_single_device_is_taken_from_the_group_that_is_broken_already():
    devices = [device(f"g{i}", has={"resource.kubernetes.io/pcieRoot": f"pci{i // 2}"}) for i in range(4)]
    world = World(pool("pool", *devices))
    world.occupy("g2")
    assert names(world.allocate(claim(want()))) == ["g3"]
    assert names(world.allocate(claim(want(2)))) == ["g0", "g1"]


def test_the_smallest_whole_device_that_will_do_is_taken():
    world = World(pool("pool", device("large", capacity={"mem": 80}), device("small", capacity={"mem": 40})))
    assert names(world.allocate(claim(want()))) == ["small"]


def test_requests_that_ask_for_the_same_get_devices_in_the_order_of_the_node():
    world = World(pool("pool", device("large", capacity={"mem": 80}), device("small", capacity={"mem": 40})))
    assert given(world.allocate(claim(want(), want()))) == [[("r0", "large"), ("r1", "small")]]


def test_only_pools_that_devices_could_be_of_are_told():
    """What is wrong with the pools of other drivers is no reason for this claim."""
    twice = pool("odd", device("x0", driver="other.example.com"), device("x0", driver="other.example.com"))
    part = [replace(one, count=2) for one in pool("part", device("x1", driver="other.example.com"))]
    world = World(pool("pool", device("g0")), twice, part)
    others = DeviceClass("others", (Named(("x0",)),))
    updated = DeviceClass("updated", (Named(("x1",)),))
    mine = DeviceClass("mine", (Named(("g0",)),))
    found = world.allocate(claim(want(2, device_class=mine)))
    assert (found.code, found.pools) == (RefusalCode.NO_MATCH, ())
    found = world.allocate(claim(want(device_class=others)))
    assert (found.code, [one.partition("/")[2] for one in found.pools]) == (RefusalCode.POOL_INVALID, ["odd"])
    found = world.allocate(claim(want(device_class=updated)))
    assert (found.code, [one.partition("/")[2] for one in found.pools]) == (RefusalCode.POOL_INCOMPLETE, ["part"])
