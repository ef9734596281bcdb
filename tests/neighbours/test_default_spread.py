"""Replicas that say nothing about how they are spread: kube-scheduler's default constraints, and where they end."""

from __future__ import annotations

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.api.decode import convert
from kai_py.api.pod import Pod
from kai_py.api.service import Service
from kai_py.core.options import Options
from kai_py.core.placement.gang import Placer
from kai_py.core.state.ledger import Ledger
from kai_py.errors import SettingsError
from kai_py.settings.load import load_settings
from kai_py.settings.placement import DefaultTopologySpread
from tests.cluster.objects import NOW, node, put, reference
from tests.core.builders import bound, waiting
from tests.neighbours.test_neighbours_scenarios import decide
from tests.neighbours.worlds import HOST, a_world, app, evenly, manifest, term

ZONE = "topology.kubernetes.io/zone"
SYSTEM = DefaultTopologySpread()
OFF = DefaultTopologySpread(defaulting_type="List")
#: Four nodes in two zones.
NODES = {name: {HOST: name, ZONE: zone} for name, zone in zip("abcd", "xxyy", strict=True)}


def replica(name, owner="web-1", kind="ReplicaSet", *, cpu="1", labels=None, **spec):
    one = manifest(name, labels or {"app": "web"}, gpus=spec.pop("gpus", 0), **spec)
    if not spec.get("gpus") and not one["spec"]["containers"][0]["resources"]["requests"]["nvidia.com/gpu"]:
        one["spec"]["containers"][0]["resources"]["requests"] = {"cpu": cpu}
    if owner:
        one["metadata"]["ownerReferences"] = [{**reference(kind, owner), "apiVersion": "apps/v1"}]
    return one


def service(name, namespace="ns", **selector):
    return convert(
        Service, {"metadata": {"name": name, "namespace": namespace}, "spec": {"selector": selector or None}}
    )


def world(*pods, settings=SYSTEM, services=(), nodes=NODES, **more):
    store = a_world(nodes, *pods, **more)
    store.spread_by_default(settings, NOW)
    for one in services:
        store.put_service(one)
    return store


def places(store, **options):
    return bound(decide(store, **options))


def test_replicas_of_one_replicaset_are_on_different_nodes_and_in_different_zones():
    pods = [replica(f"p{n}") for n in range(4)]
    found = places(world(*pods))
    assert sorted(found.values()) == ["a", "b", "c", "d"]
    assert {found["p0"], found["p1"]} in ({"a", "c"}, {"a", "d"})  # one in each zone first
    assert set(places(world(*pods, settings=OFF)).values()) == {"a"}


def test_replicas_of_another_owner_do_not_count():
    there = [replica("old", "other", on="a"), replica("older", "other", on="c")]
    assert places(world(*there, replica("p"))) == {"p": "a"}
    there = [replica("old", on="a")]
    assert places(world(*there, replica("p"))) == {"p": "c"}


def test_what_replicas_have_of_their_own_makes_no_difference():
    """Pods of a StatefulSet have their index as a label."""
    pods = [replica(f"p{n}", "db", "StatefulSet", labels={"apps.kubernetes.io/pod-index": str(n)}) for n in range(3)]
    assert len(set(places(world(*pods)).values())) == 3


@pytest.mark.parametrize(("kind", "apart"), [("Job", False), ("ReplicaSet", True)])
def test_pods_of_jobs_are_no_replicas(kind, apart):
    pods = [replica(f"p{n}", kind=kind) for n in range(2)]
    for pod in pods:
        pod["metadata"]["ownerReferences"][0]["apiVersion"] = {"Job": "batch/v1"}.get(kind, "apps/v1")
    assert len(set(places(world(*pods)).values())) == 1 + apart


def test_pods_of_a_service_are_replicas_from_the_moment_that_it_selects_them():
    pods = [replica(f"p{n}", owner="") for n in range(2)]
    assert len(set(places(world(*pods)).values())) == 1
    assert len(set(places(world(*pods, services=[service("s", app="web")])).values())) == 2
    for other in (service("s", app="db"), service("s"), service("s", "elsewhere", app="web")):
        assert len(set(places(world(*pods, services=[other])).values())) == 1


def test_all_services_that_select_a_pod_are_meant_together():
    tiers = {"app": "web", "tier": "front"}
    there = [replica("old", owner="", labels={"app": "web"}, on="a")]
    store = world(*there, replica("p", owner="", labels=tiers), services=[service("s", app="web")])
    assert places(store) == {"p": "c"}
    store.put_service(service("t", tier="front"))
    assert places(store) == {"p": "a"}  # nobody else has both labels
    store.drop_service(("ns", "t"))
    assert places(store) == {"p": "c"}
    store.put_service(service("s", app="db"))
    assert places(store) == {"p": "a"}


def test_who_has_constraints_of_its_own_is_left_to_them():
    there = [replica("old", on="a")]
    own = replica("p", **evenly(app("none"), key=HOST, hard=False))
    assert places(world(*there, own)) == {"p": "a"}


def test_gpus_are_packed_unless_the_settings_say_otherwise():
    pods = [replica(f"p{n}", gpus=1) for n in range(2)]
    assert len(set(places(world(*pods)).values())) == 1
    assert len(set(places(world(*pods, settings=DefaultTopologySpread(devices=True))).values())) == 2


def test_nobody_goes_to_a_gpu_node_to_be_alone():
    store = world(*(replica(f"p{n}") for n in range(3)))
    put(store, node("cpu", gpus=0, labels={HOST: "cpu", ZONE: "x"}))
    assert set(places(store).values()) == {"cpu"}


def test_nodes_without_the_label_of_a_zone_are_as_good_as_any():
    """kube-scheduler leaves out nodes that lack a label only where somebody has asked for it."""
    nodes = {name: {HOST: name} for name in "abc"}
    pods = [replica(f"p{n}") for n in range(3)]
    assert len(set(places(world(*pods, nodes=nodes)).values())) == 3


def test_a_list_of_constraints_takes_the_place_of_the_systems():
    only_zones = {"topologyKey": ZONE, "maxSkew": 1}
    soft = DefaultTopologySpread.model_validate({"defaultingType": "List", "defaultConstraints": [only_zones]})
    found = places(world(*(replica(f"p{n}") for n in range(4)), settings=soft))
    assert sorted(found.values()) == ["a", "a", "c", "c"]
    hard = {**only_zones, "whenUnsatisfiable": "DoNotSchedule"}
    strict = DefaultTopologySpread.model_validate({"defaultingType": "List", "defaultConstraints": [hard]})
    there = [replica("old", on="a")]
    closed = {name: labels for name, labels in NODES.items() if labels[ZONE] == "x"}
    store = world(*there, replica("p"), nodes={**closed, "c": NODES["c"]}, settings=strict)
    assert places(store) == {"p": "c"}
    store = world(*there, replica("p", cpu="1000"), nodes=NODES, settings=strict)
    assert len(waiting(decide(store))) == 1


def test_a_list_beside_the_systems_constraints_is_refused():
    text = "placement: {defaultTopologySpread: {defaultConstraints: [{topologyKey: zone, maxSkew: 1}]}}"
    with pytest.raises(SettingsError, match="defaultConstraints needs defaultingType List"):
        load_settings(text)
    twice = "[{topologyKey: zone, maxSkew: 1}, {topologyKey: zone, maxSkew: 2}]"
    text = f"placement: {{defaultTopologySpread: {{defaultingType: List, defaultConstraints: {twice}}}}}"
    with pytest.raises(SettingsError, match="twice"):
        load_settings(text)


def test_a_running_replica_asks_for_nothing_and_settings_may_change():
    store = world(replica("old", on="a"), replica("p"))
    assert store.classes.asking
    put(store, convert(Pod, replica("p", on="b")))
    assert not store.classes.asking
    put(store, convert(Pod, replica("q")))
    assert store.classes.asking
    store.spread_by_default(OFF, NOW)
    assert not store.classes.asking


def test_pods_that_ask_for_company_are_still_spread():
    """An affinity of the pod is one thing, how its replicas are spread another."""
    wish = {
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term(app("x"), HOST)}]
        }
    }
    pods = [replica(f"p{n}", affinity=wish) for n in range(2)]
    assert len(set(places(world(*pods)).values())) == 2


# -- the score, against a slow rendering of the rule ---------------------------------------------------


labels = st.fixed_dictionaries({}, optional={HOST: st.sampled_from("abc"), ZONE: st.sampled_from("xy")})


def scores(nodes, counts):
    """PodTopologySpread's scores of nodes with so many replicas each, by the system's constraints; 0 to 1."""
    raw = [0.0] * len(nodes)
    for key, skew in ((HOST, 3), (ZONE, 5)):
        domains = {own[key] for own in nodes if key in own}
        for row, own in enumerate(nodes):
            if key in own:
                here = sum(count for other, count in zip(nodes, counts, strict=True) if other.get(key) == own[key])
                raw[row] += here * log(len(domains) + 2) + skew - 1
    if max(raw) == 0:
        return [1.0] * len(raw)
    return [(max(raw) + min(raw) - one) / max(raw) for one in raw]


@given(st.lists(st.tuples(labels, st.integers(0, 3)), min_size=1, max_size=5))
def test_scores_are_those_of_the_rule(drawn):
    nodes, counts = [own for own, _ in drawn], [count for _, count in drawn]
    there = [replica(f"r{row}-{n}", on=f"n{row}") for row, count in enumerate(counts) for n in range(count)]
    store = world(*there, replica("p"), nodes={f"n{row}": own for row, own in enumerate(nodes)})
    snapshot = store.take(NOW)
    (row,) = [row for row, key in enumerate(snapshot.pods.keys) if key.name == "p"]
    placer = Placer(Ledger(snapshot), Options(weights={"defaultSpread": 1.0}))
    placer.view(snapshot.pods.class_idx.item(row))
    near = placer.neighbourhood(row)
    bonus = near.bonus() if near is not None else None
    if bonus is None:
        assert not any(own for own in nodes)
    else:
        assert bonus.tolist() == pytest.approx(scores(nodes, counts))
