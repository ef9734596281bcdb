import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cluster.objects import node, put
from tests.neighbours.reference import feasible
from tests.neighbours.worlds import a_world, node_labels, pods, starts

NAMESPACES = {"ns": {}, "other": {"team": "red"}, "third": {"team": "blue"}}


@st.composite
def worlds(draw, about):
    nodes = {
        name: {"labels": draw(node_labels(name)), "taints": [{"key": "slow"}] if draw(st.integers(0, 3)) == 0 else []}
        for name in draw(st.sampled_from(["n", "nmo", "nmop", "nmopq"]))
    }
    count = draw(st.integers(0, 7))
    there = [draw(pods(f"p{row}", about, on=draw(st.sampled_from(sorted(nodes))))) for row in range(count)]
    return nodes, there, draw(pods("new", about))


@pytest.mark.parametrize("about", ["affinity", "spread", "ports", "affinity spread ports"])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_pod_may_start_exactly_where_kube_schedulers_rules_let_it(about, data):
    nodes, there, pod = data.draw(worlds(about))
    store = a_world({}, *there, pod, namespaces=NAMESPACES, gpus=64)
    for name, what in nodes.items():
        put(store, node(name, labels=what["labels"], taints=["slow"] if what["taints"] else [], gpus=64))
    assert starts(store, "new") == feasible(pod, there, nodes, NAMESPACES)
