import pytest

from kai_py.api.decode import convert
from kai_py.api.pod import Pod
from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.options import Options
from kai_py.telemetry.sentences import sentence
from tests.cluster.objects import NOW, blocked, node, podgroup, priority_class, put, topology
from tests.core.builders import bound, evicted, nominated, waiting
from tests.neighbours.worlds import HOST, PREFERRED, REQUIRED, a_world, app, evenly, far, manifest, near, starts, term

FOUR = {"a": "x", "b": "x", "c": "y", "d": "y"}
PORT = [{"containerPort": 80, "hostPort": 80}]


def decide(store, **options):
    snapshot = store.take(NOW)
    result = run_cycle(snapshot, Options(**options), clock=lambda: 0.0)
    assert violations(snapshot, result, Options(**options)) == ()
    return result


def why(result, podgroup="pg-new-uid-new"):
    return sentence(waiting(result)[podgroup].reasons[0])


# -- host ports -----------------------------------------------------------------------------------


def test_two_pods_with_one_host_port_go_to_two_nodes_and_the_third_says_why_it_waits():
    pods = [manifest(name, ports=PORT) for name in ("p", "q", "new")]
    result = decide(a_world({"a": "x", "b": "x"}, *pods))
    assert len({bound(result)[name] for name in bound(result)}) == 2
    (last,) = waiting(result).values()
    assert "2 have their ports taken (80/TCP)" in sentence(last.reasons[0])


def test_a_port_of_one_address_is_no_obstacle_to_another_but_0_0_0_0_is():
    def on(address):
        return [{"containerPort": 80, "hostPort": 80, "hostIP": address}]

    there = manifest("p", on="a", ports=on("10.0.0.1"), ours=False)
    for address, free in (("10.0.0.2", {"a"}), ("10.0.0.1", set()), ("0.0.0.0", set()), ("", set())):
        assert starts(a_world({"a": "x"}, there, manifest("new", ports=on(address))), "new") == free


def test_ports_of_sidecars_count_and_those_of_other_init_containers_do_not():
    for policy, free in (("Always", set()), ("", {"a"})):
        init = [{"name": "i", "ports": PORT, **({"restartPolicy": policy} if policy else {})}]
        store = a_world({"a": "x"}, manifest("p", on="a", initContainers=init), manifest("new", ports=PORT))
        assert starts(store, "new") == free


def test_with_the_nodes_own_network_every_port_is_one_of_the_node():
    own = [{"containerPort": 80}]
    store = a_world({"a": "x"}, manifest("p", on="a", ports=own, hostNetwork=True), manifest("new", ports=PORT))
    assert starts(store, "new") == set()


def test_a_pod_that_is_leaving_has_its_port_until_it_is_gone():
    result = decide(a_world({"a": "x"}, manifest("p", on="a", ports=PORT, leaving=True), manifest("new", ports=PORT)))
    assert (bound(result), nominated(result)) == ({}, {"new": "a"})


# -- affinity and anti-affinity ---------------------------------------------------------------------


def test_anti_affinity_keeps_away_from_pods_of_any_scheduler_and_names_them():
    web = manifest("p", {"app": "web"}, on="a", ours=False)
    store = a_world({"a": "x", "b": "x"}, web, manifest("new", affinity=far(term(app("web")))))
    assert "2 have pods near them that the pod's anti-affinity excludes (pods app=web in zone x)" in why(decide(store))


def test_the_anti_affinity_of_others_keeps_a_pod_away():
    grumpy = manifest("p", on="a", ours=False, affinity=far(term(app("web"), HOST)))
    store = a_world({"a": "x", "b": "x"}, grumpy, manifest("new", {"app": "web"}))
    assert starts(store, "new") == {"b"}
    store = a_world({"a": "x"}, grumpy, manifest("new", {"app": "web"}))
    assert "1 has pods near it whose anti-affinity excludes the pod (pods app=web in" in why(decide(store))


def test_the_first_pod_of_a_series_may_go_anywhere_and_the_others_follow():
    pods = [manifest(f"p{n}", {"app": "a"}, affinity=near(term(app("a"))), gpus=2) for n in range(4)]
    places = bound(decide(a_world(FOUR, *pods, gpus=4)))
    assert len(places) == 4
    assert len({FOUR[place] for place in places.values()}) == 1


def test_a_pod_that_needs_others_waits_and_says_for_whom():
    store = a_world(FOUR, manifest("new", affinity=near(term(app("db")))))
    assert "4 have none of the pods near them that the pod's affinity asks for (pods app=db by zone)" in why(
        decide(store)
    )


def test_a_namespace_selector_means_pods_of_namespaces_with_such_labels():
    selecting = near(term(app("db"), namespaceSelector={"matchLabels": {"team": "red"}}))
    db = manifest("db", {"app": "db"}, on="a", namespace="data")
    store = a_world(FOUR, db, manifest("new", affinity=selecting), namespaces={"data": {"team": "blue"}})
    assert starts(store, "new") == set()
    assert store.neighbours.put_namespace("data", {"team": "red"})
    assert starts(store, "new") == {"a", "b"}
    assert store.neighbours.drop_namespace("data")
    assert starts(store, "new") == set()


def test_label_keys_of_affinities_are_worked_in_for_pods_that_no_server_has_seen():
    old = manifest("old", {"app": "a", "version": "1"}, on="a")
    new = {"app": "a", "version": "2"}
    keep = far(term(app("a"), matchLabelKeys=["version"]))
    assert starts(a_world(FOUR, old, manifest("new", new, affinity=keep)), "new") == set(FOUR)
    keep = far(term(app("a"), mismatchLabelKeys=["version"]))
    assert starts(a_world(FOUR, old, manifest("new", new, affinity=keep)), "new") == {"c", "d"}


def test_preferences_of_both_sides_decide_between_nodes_that_fit():
    def wish(which, selector):
        weighted = [{"weight": 50, "podAffinityTerm": term(selector)}]
        return {which: {PREFERRED: weighted}}

    db = manifest("db", {"app": "db"}, on="c")
    for affinity, zone in ((wish("podAffinity", app("db")), "y"), (wish("podAntiAffinity", app("db")), "x")):
        assert FOUR[bound(decide(a_world(FOUR, db, manifest("new", affinity=affinity))))["new"]] == zone
    shy = manifest("shy", on="a", affinity=wish("podAntiAffinity", app("web")))
    assert FOUR[bound(decide(a_world(FOUR, shy, manifest("new", {"app": "web"}))))["new"]] == "y"
    fond = manifest("fond", {"app": "web"}, on="c", affinity=near(term(app("web"))))
    assert FOUR[bound(decide(a_world(FOUR, fond, manifest("new", {"app": "web"}))))["new"]] == "y"


# -- gangs --------------------------------------------------------------------------------------------


def test_a_gang_whose_members_repel_each_other_gets_a_node_each_or_none():
    gang = [manifest(f"w{n}", {"app": "w"}, group="g", affinity=far(term(app("w"), HOST))) for n in range(4)]
    assert len(set(bound(decide(a_world(FOUR, *gang, groups={"g": 4}))).values())) == 4
    result = decide(a_world({"a": "x", "b": "x"}, *gang, groups={"g": 4}))
    assert bound(result) == {}
    assert "2 have pods near them that the pod's anti-affinity excludes (pods app=w by" in why(result, "g")


def test_a_gang_whose_members_require_each_other_starts_in_an_empty_cluster():
    one = manifest("w0", {"app": "one"}, group="g", affinity=near(term(app("other"))))
    other = manifest("w1", {"app": "other"}, group="g", affinity=near(term(app("one"))))
    places = bound(decide(a_world(FOUR, one, other, groups={"g": 2})))
    assert len({FOUR[node] for node in places.values()}) == len(places) - 1 == 1


def test_a_gang_that_belongs_together_goes_where_all_have_room_and_not_where_the_first_fits_best():
    filler = [manifest("f", on="a", gpus=7), manifest("g", on="b", gpus=7)]
    gang = [manifest(f"w{n}", {"app": "w"}, group="gang", affinity=near(term(app("w")))) for n in range(6)]
    places = bound(decide(a_world(FOUR, *filler, *gang, groups={"gang": 6})))
    assert {FOUR[node] for node in places.values()} == {"y"}


def test_a_worker_that_comes_before_those_whom_it_needs_is_no_obstacle():
    worker = manifest("w0", group="g", affinity=near(term(app("server"), HOST)))
    server = manifest("w1", {"app": "server"}, group="g")
    places = bound(decide(a_world(FOUR, worker, server, groups={"g": 2})))
    assert places["w0"] == places["w1"]


def test_a_gang_in_one_rack_whose_members_repel_each_other_gets_nodes_of_one_rack():
    store = a_world({**FOUR, "e": "y"}, groups={})
    put(store, podgroup("g", minMember=3, topologyConstraint={"topology": "dc", "requiredTopologyLevel": "zone"}))
    put(store, topology("dc", "zone"))
    for n in range(3):
        one = manifest(f"w{n}", {"app": "w"}, group="g", affinity=far(term(app("w"), HOST)))
        put(store, convert(Pod, one))
    assert sorted(bound(decide(store)).values()) == ["c", "d", "e"]


def test_a_gang_whose_members_need_and_avoid_each_other_waits():
    both = {**near(term(app("w"))), **far(term(app("w")))}
    gang = [manifest(f"w{n}", {"app": "w"}, group="g", affinity=both) for n in range(2)]
    result = decide(a_world({"a": "x", "c": "y"}, *gang, groups={"g": 2}))
    assert (bound(result), nominated(result)) == ({}, {})


# -- spreading ----------------------------------------------------------------------------------------


def test_a_gang_is_spread_over_zones_as_evenly_as_it_asks_for():
    gang = [manifest(f"w{n}", {"app": "w"}, group="g", **evenly(app("w"))) for n in range(4)]
    places = bound(decide(a_world(FOUR, *gang, groups={"g": 4})))
    assert sorted(FOUR[node] for node in places.values()) == ["x", "x", "y", "y"]


def test_fewer_domains_than_the_least_number_count_as_an_empty_one():
    there = manifest("p", {"app": "w"}, on="a")
    other = manifest("q", {"app": "w"}, on="c")
    for domains, free in ((2, set(FOUR)), (3, set())):
        new = manifest("new", {"app": "w"}, **evenly(app("w"), minDomains=domains))
        assert starts(a_world(FOUR, there, other, new), "new") == free


@pytest.mark.parametrize(("policy", "free"), [("Honor", {"a"}), ("Ignore", set())])
def test_tainted_nodes_count_as_domains_unless_the_policy_says_otherwise(policy, free):
    store = a_world({"a": "x"}, manifest("p", {"app": "w"}, on="a"))
    put(store, node("b", labels={"zone": "y", HOST: "b"}, taints=["slow"]))
    new = manifest("new", {"app": "w"}, **evenly(app("w"), nodeTaintsPolicy=policy))
    put(store, convert(Pod, new))
    assert starts(store, "new") == free


def test_a_node_without_the_label_says_so():
    store = a_world({"a": {HOST: "a"}}, manifest("new", {"app": "w"}, **evenly(app("w"))))
    assert "1 lacks a label over which the pod is spread" in why(decide(store))


def test_who_is_too_far_ahead_is_told_with_the_pods_that_are_counted():
    store = a_world(
        {"a": "x", "c": "y"},
        manifest("p", {"app": "w"}, on="a"),
        manifest("full", on="c", gpus=8),
        manifest("new", {"app": "w"}, **evenly(app("w"))),
    )
    assert "1 would have too many of the pods that are spread (pods app=w in zone x)" in why(decide(store))


def test_with_two_constraints_only_nodes_with_both_labels_count():
    # Counted over all nodes, zone x would be one ahead of the empty zone y, whose node has no rack.
    both = evenly(app("w"))["topologySpreadConstraints"] + evenly(app("none"), "rack")["topologySpreadConstraints"]
    nodes = {"a": {"zone": "x", "rack": "r"}, "c": {"zone": "y"}}
    new = manifest("new", {"app": "w"}, topologySpreadConstraints=both)
    assert starts(a_world(nodes, manifest("p", {"app": "w"}, on="a"), new), "new") == {"a"}


def test_soft_constraints_prefer_the_domain_with_the_fewest():
    there = [manifest("p", {"app": "w"}, on="a"), manifest("q", {"app": "w"}, on="b")]
    result = decide(a_world(FOUR, *there, manifest("new", {"app": "w"}, **evenly(app("w"), hard=False))))
    assert FOUR[bound(result)["new"]] == "y"


# -- victims ------------------------------------------------------------------------------------------


def test_preemption_makes_room_for_anti_affinity_and_does_not_spare_whom_the_pod_avoids():
    web = [manifest(f"p{n}", {"app": "web"}, on=name, priorityClassName="low") for n, name in enumerate("ab")]
    new = manifest("new", affinity=far(term(app("web"), HOST)), priorityClassName="high", gpus=1)
    store = a_world({"a": "x", "b": "x"})
    put(store, priority_class("low", 10))
    put(store, priority_class("high", 75))
    for one in (*web, new):
        put(store, convert(Pod, one))
    result = decide(store)
    assert len(evicted(result)) == 1
    (place,) = nominated(result).values()
    assert evicted(result) == {"p0" if place == "a" else "p1": "pg-new-uid-new"}


# -- what cannot be understood ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (
            {"affinity": far(term({"matchExpressions": [{"key": "app", "operator": "Like", "values": ["x"]}]}))},
            f"spec.affinity.podAntiAffinity.{REQUIRED}[0].labelSelector.matchExpressions[0].operator",
        ),
        (
            {"affinity": near(term({"matchLabels": {"": "x"}}))},
            f"spec.affinity.podAffinity.{REQUIRED}[0].labelSelector.matchLabels",
        ),
        (evenly(app("a"), skew=0), "spec.topologySpreadConstraints[0].maxSkew"),
        (evenly(app("a"), key=""), "spec.topologySpreadConstraints[0].topologyKey"),
    ],
)
def test_a_pod_that_cannot_be_understood_waits_with_the_field_and_delays_nobody(spec, field):
    store = a_world(FOUR, manifest("new", **spec), manifest("fine"))
    assert bound(decide(store)).keys() == {"fine"}
    assert blocked(store.take(NOW), "pg-new-uid-new") == "PodInvalid"
    assert store.faults["Pod", "ns/new"][0].field == field


def test_what_cannot_be_understood_of_a_pod_that_runs_is_left_out():
    broken = {"matchLabels": {"": "x"}}
    there = manifest("p", on="a", affinity=far(term(broken), term(app("web"), HOST)))
    assert starts(a_world(FOUR, there, manifest("new", {"app": "web"})), "new") == {"b", "c", "d"}


def test_clusters_without_such_pods_have_no_table_of_neighbours():
    store = a_world(FOUR, manifest("p", {"app": "a"}, on="a"), manifest("new"))
    snapshot = store.take(NOW)
    assert snapshot.neighbours is None
    assert snapshot.classes is store.take(NOW).classes
