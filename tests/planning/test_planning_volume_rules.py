"""Volumes decide as kube-scheduler has it: compared node by node with a slow reference, on random clusters."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kai_py import plan
from tests.reference.volumes import Storage, feasible

from .builders import NOW, queue
from .test_planning_volumes import ZONE, claim, csi_node, node, storage_class, using, volume

CLASSES = [
    storage_class("local", provisioner="kubernetes.io/no-provisioner"),
    storage_class("made"),
    storage_class("made-in-x", allowedTopologies=[{"matchLabelExpressions": [{"key": ZONE, "values": ["x"]}]}]),
    storage_class("now", "Immediate"),
]
NODES = ("a", "b", "c")
MODES = st.sampled_from([("ReadWriteOnce",), ("ReadWriteMany",), ("ReadWriteOncePod",), ("ReadOnlyMany",)])
SIZES = st.sampled_from(["1Gi", "2Gi", "1.5Gi"])


@st.composite
def storages(draw):
    nodes = [node(name, **draw(st.sampled_from([{}, {ZONE: "x"}, {ZONE: "y"}]))) for name in NODES]
    limits = [csi_node(name, draw(st.sampled_from([None, 0, 1, 2]))) for name in NODES if draw(st.booleans())]
    claims, volumes = [], []
    for number in range(draw(st.integers(1, 4))):
        name, modes = f"c{number}", draw(MODES)
        if draw(st.booleans()):
            labels = draw(st.sampled_from([{}, {ZONE: "x"}, {"failure-domain.beta.kubernetes.io/zone": "x__y"}]))
            on = draw(st.none() | st.lists(st.sampled_from(NODES), min_size=1, max_size=2))
            handle = draw(st.sampled_from(["", "h", f"h{number}"]))
            volumes.append(volume(f"v{number}", to=name, on=on, labels=labels, handle=handle, modes=modes))
            claims.append(claim(name, volume=f"v{number}", modes=modes))
        else:
            cls = draw(st.sampled_from(["local", "made", "made-in-x", "now", "unknown"]))
            claims.append(claim(name, draw(SIZES), cls=cls, modes=modes))
    for number in range(draw(st.integers(0, 3))):
        on = draw(st.none() | st.lists(st.sampled_from(NODES), min_size=1, max_size=2))
        cls = draw(st.sampled_from(["local", "local", "made"]))
        volumes.append(volume(f"free{number}", draw(SIZES), on=on, cls=cls, modes=["ReadWriteOnce", "ReadWriteMany"]))
    names = st.sets(st.sampled_from([one["metadata"]["name"] for one in claims]), max_size=2).map(sorted)
    pods = [
        using(f"r{number}", *draw(names), on=draw(st.sampled_from(NODES))) for number in range(draw(st.integers(0, 3)))
    ]
    pending = using("p", *(draw(names) or ["c0"]))
    return [*CLASSES, *nodes, *limits, *claims, *volumes, *pods], pending


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(storages())
def test_a_node_takes_a_pod_with_volumes_where_the_rules_let_it(found):
    objects, pending = found
    storage = Storage(objects)
    for name in NODES:
        there = storage.named("Node", name)
        pod = {**pending, "spec": {**pending["spec"], "nodeSelector": {"kubernetes.io/hostname": name}}}
        answer = plan([queue(), *objects, pod], now=NOW).to_dict()
        assert (answer["pods"]["default/p"]["node"] == name) == bool(feasible(storage, pod, there)), name
