"""From manifests to which node takes which pod, against the rules written down slowly."""

from __future__ import annotations

from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from kai_py.api.decode import convert
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.core.options import Options
from kai_py.core.placement.gang import Placer
from kai_py.core.scores.node_affinity import node_affinity
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.pods import PodState
from tests.cluster.objects import NOW, a_store
from tests.reference import feasible

KEYS, VALUES, NAMES = ("rack", "gen"), ("1", "2", "x"), ("m", "n")
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
taints = st.fixed_dictionaries(
    {"key": st.sampled_from("kl"), "effect": st.sampled_from(["NoSchedule", "PreferNoSchedule", "NoExecute"])},
    optional={"value": st.sampled_from("uv")},
)
amounts = st.fixed_dictionaries(
    {},
    optional={
        "cpu": st.sampled_from(["500m", "1", "2", "0"]),
        "memory": st.sampled_from(["1Gi", "512Mi"]),
        "example.com/nic": st.sampled_from([0, 1, 2]),
    },
)


@st.composite
def nodes(draw, name):
    return {
        "metadata": {"name": name, "labels": draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES)))},
        "spec": {
            "taints": draw(st.lists(taints, max_size=2, unique_by=lambda one: (one["key"], one["effect"]))),
            "unschedulable": draw(st.sampled_from([False, False, True])),
        },
        "status": {
            "allocatable": {
                "cpu": draw(st.sampled_from(["2", "4", "1500m"])),
                "memory": draw(st.sampled_from(["1Gi", "4Gi"])),
                "pods": draw(st.sampled_from(["2", "110"])),
                "example.com/nic": draw(st.sampled_from([0, 2])),
            },
            "declaredFeatures": draw(
                st.sampled_from([[], ["UserNamespacesHostNetworkSupport", "RestartAllContainersOnContainerExits"]])
            ),
        },
    }


@st.composite
def expressions(draw):
    operator = draw(st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]))
    values = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=2)) if operator.endswith("In") else []
    values = [draw(st.sampled_from("012"))] if operator in ("Gt", "Lt") else values
    return {"key": draw(st.sampled_from(KEYS)), "operator": operator, "values": values}


fields = st.builds(
    lambda operator, name: {"key": "metadata.name", "operator": operator, "values": [name]},
    st.sampled_from(["In", "NotIn"]),
    st.sampled_from(NAMES),
)
terms = st.fixed_dictionaries(
    {}, optional={"matchExpressions": st.lists(expressions(), max_size=2), "matchFields": st.lists(fields, max_size=1)}
)
tolerations = st.one_of(
    st.builds(lambda key, value: {"key": key, "value": value}, st.sampled_from("kl"), st.sampled_from(["", "u", "v"])),
    st.builds(lambda key: {"key": key, "operator": "Exists"}, st.sampled_from(["k", "l", UNSCHEDULABLE])),
    st.builds(
        lambda effect: {"operator": "Exists", "effect": effect}, st.sampled_from(["NoSchedule", "NoExecute", ""])
    ),
)
affinities = st.fixed_dictionaries(
    {},
    optional={
        "requiredDuringSchedulingIgnoredDuringExecution": st.fixed_dictionaries(
            {"nodeSelectorTerms": st.lists(terms, min_size=1, max_size=2)}
        ),
        "preferredDuringSchedulingIgnoredDuringExecution": st.lists(
            st.fixed_dictionaries({"weight": st.integers(1, 100), "preference": terms}), max_size=2
        ),
    },
)


@st.composite
def pods(draw, name, on=""):
    def container(number, prefix):
        made = {"name": f"{prefix}{number}", "resources": {"requests": draw(amounts)}}
        if draw(st.integers(0, 9)) == 9:
            made["restartPolicyRules"] = [{"action": "RestartAllContainers"}]
        return made

    inits = [container(n, "i") for n in range(draw(st.integers(0, 3)))]
    for one in inits:
        if draw(st.booleans()):
            one["restartPolicy"] = "Always"
    spec = {
        "schedulerName": "kai-scheduler",
        "nodeName": on,
        "containers": [container(n, "c") for n in range(draw(st.integers(1, 2)))],
        "initContainers": inits,
    }
    if draw(st.booleans()):
        spec["overhead"] = draw(amounts)
    if draw(st.integers(0, 3)) == 3:
        spec["resources"] = {"requests": {"cpu": draw(st.sampled_from(["1", "3"])), "memory": "1Gi"}}
    if not on:
        spec["nodeSelector"] = draw(st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=1))
        spec["tolerations"] = draw(st.lists(tolerations, max_size=2))
        spec["affinity"] = {"nodeAffinity": draw(affinities)}
        spec["hostNetwork"] = draw(st.booleans())
        spec["hostUsers"] = draw(st.sampled_from([True, True, False]))
    status = {"phase": "Running" if on else "Pending"}
    if on and draw(st.booleans()):
        status["containerStatuses"] = [{"name": "c0", "allocatedResources": draw(amounts.filter(bool))}]
        reason = draw(st.sampled_from(["Infeasible", "Deferred"]))
        status["conditions"] = [{"type": "PodResizePending", "status": "True", "reason": reason}]
    meta = {"name": name, "namespace": "ns", "uid": name, "labels": {"kai.scheduler/queue": "team"}}
    return {"metadata": meta, "spec": spec, "status": status}


def requested(snapshot, name):
    """What a pod asks for, in base units, by resource."""
    row = [key.name for key in snapshot.pods.keys].index(name)
    amounts = snapshot.classes.request[snapshot.pods.class_idx.item(row)].tolist()
    return {resource: units for resource, units in zip(snapshot.axis.names, amounts, strict=True) if units}


def asked_for(manifest):
    units = {name: ceil(value * (1000 if name == "cpu" else 1)) for name, value in feasible.request(manifest).items()}
    return {name: amount for name, amount in units.items() if amount} | {"pods": 1}


@given(
    st.tuples(*map(nodes, NAMES)),
    st.tuples(pods("r0", on="m"), pods("r1", on="n"), pods("r2", on="m")),
    pods("p"),
)
def test_which_node_takes_a_pod(machines, running, waiting):
    store = a_store()
    for name in "ab":
        store.nodes.drop(name)
    for machine in machines:
        assert store.put_node(convert(Node, machine))
    for one in (*running, waiting):
        assert store.put_pod(convert(Pod, one), NOW)
    snapshot = store.take(NOW)
    assert store.faults == {}
    row = [key.name for key in snapshot.pods.keys].index("p")
    assert snapshot.pods.state[row] == PodState.PENDING
    class_idx = snapshot.pods.class_idx.item(row)
    for one in (*running, waiting):
        assert requested(snapshot, one["metadata"]["name"]) == asked_for(one)
    view = Placer(Ledger(snapshot), Options()).view(class_idx)
    score = node_affinity(snapshot.classes.classes[class_idx], snapshot.nodes)
    worth = [feasible.preference(waiting, machine) for machine in machines]
    for number, machine in enumerate(machines):
        name = machine["metadata"]["name"]
        others = [one for one in running if one["spec"]["nodeName"] == name]
        assert view.allowed[number] == feasible.allowed(waiting, machine)
        expected = feasible.allowed(waiting, machine) and feasible.fits(waiting, machine, others)
        assert (view.at(number) is not None) == expected
        assert score[number] == (worth[number] / max(worth) if max(worth) else 0)
