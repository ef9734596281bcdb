"""Manifests of pods that care about each other, what the store makes of them, and random ones for Hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from kai_py.api.decode import convert
from kai_py.api.meta import Namespace
from kai_py.api.pod import Pod
from kai_py.cluster.store import Store
from kai_py.core.options import Options
from kai_py.core.placement.gang import Placer
from kai_py.core.state.ledger import Ledger
from kai_py.podgrouper.grouping import group_of
from tests.cluster.objects import NOW, node, podgroup, put, queue, timestamp

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
HOST = "kubernetes.io/hostname"
ZONES = ("x", "y", "z")


def app(name):
    return {"matchLabels": {"app": name}}


def term(selector, key="zone", **more):
    return {"topologyKey": key, "labelSelector": selector, **more}


def near(*terms):
    return {"podAffinity": {REQUIRED: list(terms)}}


def far(*terms):
    return {"podAntiAffinity": {REQUIRED: list(terms)}}


def evenly(selector, key="zone", skew=1, hard=True, **more):
    when = "DoNotSchedule" if hard else "ScheduleAnyway"
    constraint = {"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": when, "labelSelector": selector, **more}
    return {"topologySpreadConstraints": [constraint]}


def manifest(name, labels=None, *, on="", namespace="ns", ports=(), leaving=False, ours=True, group="", gpus=1, **spec):
    meta = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "creationTimestamp": timestamp(NOW - 100),
        "labels": {"kai.scheduler/queue": "team", **(labels or {})},
        "annotations": {"pod-group-name": group} if group else {},
    }
    if leaving:
        meta["deletionTimestamp"] = timestamp(NOW - 1)
    container = {"name": "main", "ports": list(ports), "resources": {"requests": {"nvidia.com/gpu": gpus}}}
    scheduler = "kai-scheduler" if ours else "default-scheduler"
    return {
        "metadata": meta,
        "spec": {"schedulerName": scheduler, "containers": [container], **({"nodeName": on} if on else {}), **spec},
        "status": {"phase": "Running" if on else "Pending"},
    }


def a_world(nodes, *pods, namespaces=None, groups=None, gpus=8):
    """A store; nodes are given as name -> zone, or their labels; groups as name -> minimum."""
    store = Store(group_of)
    put(store, queue())
    for name, labels in nodes.items():
        own = {"zone": labels, HOST: name} if isinstance(labels, str) else labels
        put(store, node(name, labels=own, gpus=gpus))
    for name, labels in (namespaces or {}).items():
        store.put_namespace(convert(Namespace, {"metadata": {"name": name, "labels": labels}}))
    for name, minimum in (groups or {}).items():
        put(store, podgroup(name, minMember=minimum))
    for one in pods:
        put(store, convert(Pod, one))
    return store


def starts(store, name):
    """Names of the nodes where a pod could start now."""
    snapshot = store.take(NOW)
    (row,) = [row for row, key in enumerate(snapshot.pods.keys) if key.name == name]
    view = Placer(Ledger(snapshot), Options()).view(snapshot.pods.class_idx.item(row))
    places = {node: view.at(number) for number, node in enumerate(snapshot.nodes.names)}
    return {node for node, place in places.items() if place is not None and place.now}


selectors = st.one_of(
    st.sampled_from([app("a"), app("b"), app("a"), {}, None]),
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]).map(
        lambda operator: {
            "matchExpressions": [
                {"key": "app", "operator": operator, **({"values": ["a", "c"]} if operator.endswith("In") else {})}
            ]
        }
    ),
)
keys = st.sampled_from(["zone", "zone", HOST, "rack"])
spaces = st.one_of(
    st.just({}),
    st.just({}),
    st.sampled_from(
        [{"namespaces": ["other"]}, {"namespaceSelector": {}}, {"namespaceSelector": {"matchLabels": {"team": "red"}}}]
    ),
)
terms = st.builds(lambda selector, key, space: term(selector, key, **space), selectors, keys, spaces)
some_terms = st.lists(terms, max_size=2)
ports = st.lists(
    st.builds(
        lambda number, protocol, address: {
            "containerPort": 80,
            "hostPort": number,
            "protocol": protocol,
            **({"hostIP": address} if address else {}),
        },
        st.sampled_from([80, 81]),
        st.sampled_from(["TCP", "TCP", "UDP"]),
        st.sampled_from(["", "0.0.0.0", "10.0.0.1", "10.0.0.2"]),
    ),
    max_size=2,
)


@st.composite
def spreads(draw):
    hard = draw(st.sampled_from([True, True, True, False]))
    selector = draw(
        st.sampled_from([app("a"), app("a"), {"matchExpressions": [{"key": "app", "operator": "Exists"}]}, {}])
    )
    one = evenly(selector, draw(keys), draw(st.integers(1, 2)), hard)["topologySpreadConstraints"][0]
    if hard and draw(st.booleans()):
        one["minDomains"] = draw(st.integers(1, 4))
    if draw(st.booleans()):
        one["nodeAffinityPolicy"] = draw(st.sampled_from(["Honor", "Ignore"]))
    if draw(st.booleans()):
        one["nodeTaintsPolicy"] = draw(st.sampled_from(["Honor", "Ignore"]))
    if selector and draw(st.integers(0, 2)) == 0:
        one["matchLabelKeys"] = ["version"]
    return one


labels = st.fixed_dictionaries({}, optional={"app": st.sampled_from("aab"), "version": st.sampled_from(["1", "2"])})


@st.composite
def pods(draw, name, about, on=""):
    """A pod that asks for what a test is ``about``: affinity, spread or ports."""
    spec = {}
    if "affinity" in about and (own := draw(some_terms)):
        spec.setdefault("affinity", {})["podAffinity"] = {REQUIRED: own}
    if "affinity" in about and (own := draw(some_terms)):
        spec.setdefault("affinity", {})["podAntiAffinity"] = {REQUIRED: own}
    if "spread" in about and not on:
        spec["topologySpreadConstraints"] = draw(st.lists(spreads(), min_size=1, max_size=2))
        if draw(st.booleans()):
            spec["nodeSelector"] = {"rack": draw(st.sampled_from("rs"))}
        if draw(st.booleans()):
            spec["tolerations"] = [{"key": "slow", "operator": "Exists"}]
    return manifest(
        name,
        draw(labels),
        on=on,
        namespace=draw(st.sampled_from(["ns", "ns", "ns", "ns", "other", "third"])) if on else "ns",
        ports=draw(ports) if "ports" in about else (),
        leaving=bool(on) and draw(st.integers(0, 4)) == 0,
        ours=not on or draw(st.booleans()),
        **spec,
    )


@st.composite
def node_labels(draw, name):
    found = {HOST: name} if draw(st.integers(0, 6)) else {}
    if draw(st.integers(0, 6)):
        found["zone"] = draw(st.sampled_from(ZONES))
    if draw(st.integers(0, 2)):
        found["rack"] = draw(st.sampled_from("rs"))
    return found
