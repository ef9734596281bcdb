"""Topologies as tables: what podgroups ask for as levels, what is wrong, and what is laid out anew."""

from __future__ import annotations

import msgspec
import pytest

from kai_py.api import keys
from kai_py.api.decode import convert
from kai_py.api.meta import OwnerReference
from kai_py.api.resource import ResourceSlice
from kai_py.core.result import ReasonCode
from kai_py.core.tables.domains import ROOT
from kai_py.core.tables.patterns import Pattern, Shape
from kai_py.core.tables.pods import NONE
from kai_py.errors import Fault
from tests.cluster.objects import NOW, a_store, blocked, node, owner, pod, podgroup, put, row_of, topology

A = {"zone": "z", "rack": "r1"}
B = {"zone": "z", "rack": "r2"}
NODES = (node("a", labels=A), node("b", labels=B))


def near(required="", preferred="", name="dc"):
    return {"topology": name, "requiredTopologyLevel": required, "preferredTopologyLevel": preferred}


def gang(**spec):
    return podgroup("g", **spec)


def take(*objects):
    return a_store(*NODES, *objects).take(NOW)


def reason(snapshot, name="g"):
    return snapshot.podgroups.blocked.get(row_of(snapshot, name))


def asked(snapshot):
    """Topology row, required and preferred level of all subgroups."""
    table = snapshot.topologies
    columns = (table.topology_idx.tolist(), table.required.tolist(), table.preferred.tolist())
    return list(zip(*columns, strict=True))


def test_without_constraints_there_is_no_table_and_no_topology_is_laid_out():
    store = a_store(*NODES, topology(), gang(), pod("p", group="g"))
    assert store.take(NOW).topologies is None
    assert store.take(NOW).podgroups is store.take(NOW).podgroups


def test_a_podgroup_and_its_subgroups_ask_for_levels():
    parts = [
        {"name": "x", "minMember": 1, "topologyConstraint": near("rack")},
        {"name": "y", "minMember": 1},
    ]
    snapshot = take(
        topology(), gang(subGroups=parts, topologyConstraint=near("zone", "rack")), pod("p", group="g", subgroup="x")
    )
    assert asked(snapshot) == [(0, 0, 1), (0, 1, ROOT), (NONE, ROOT, ROOT)]
    assert snapshot.topologies.topologies[0].paths == ((("z",),), (("z", "r1"), ("z", "r2")))
    assert snapshot.topologies.fixed.tolist() == [True]
    assert reason(snapshot) is None


def test_a_preferred_level_alone_does_not_keep_pods_where_they_are():
    snapshot = take(topology(), gang(topologyConstraint=near(preferred="rack")), pod("p", group="g"))
    assert asked(snapshot) == [(0, ROOT, 1)]
    assert snapshot.topologies.fixed.tolist() == [False]


def test_a_level_may_be_named_by_its_alias():
    snapshot = take(topology("dc", "zone", "rack=shelf"), gang(topologyConstraint=near("shelf")), pod("p", group="g"))
    assert asked(snapshot) == [(0, 1, ROOT)]


def test_a_constraint_without_a_level_asks_for_nothing():
    assert take(gang(topologyConstraint={"topology": "elsewhere"}), pod("p", group="g")).topologies is None


def test_annotations_say_who_talks_to_whom():
    said = {keys.RANK_PATTERN_ANNOTATION: "tree", keys.RANK_GROUP_SIZE_ANNOTATION: "8"}
    objects = topology(), pod("p", group="g"), pod("q", group="h")
    groups = (
        podgroup("g", topologyConstraint=near("rack"), annotations=said),
        podgroup("h", topologyConstraint=near("rack")),
    )
    snapshot = take(*objects, *groups)
    assert snapshot.topologies.patterns == {row_of(snapshot, "g"): Pattern(Shape.TREE, 8)}


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (keys.RANK_PATTERN_ANNOTATION, "star"),
        (keys.RANK_GROUP_SIZE_ANNOTATION, "0"),
        (keys.RANK_GROUP_SIZE_ANNOTATION, "-2"),
        (keys.RANK_GROUP_SIZE_ANNOTATION, "1e3"),
        (keys.RANK_GROUP_SIZE_ANNOTATION, "9" * 5000),
    ],
)
def test_a_pattern_that_means_nothing_is_told_and_waits(key, text):
    snapshot = take(
        topology(), podgroup("g", topologyConstraint=near("rack"), annotations={key: text}), pod("p", group="g")
    )
    code, details = reason(snapshot)
    assert code == ReasonCode.TOPOLOGY_INVALID
    assert (details["object"], details["field"]) == ("PodGroup ns/g", f"metadata.annotations[{key}]")


def test_a_changed_pattern_is_noticed():
    store = a_store(*NODES, topology(), podgroup("g", topologyConstraint=near("rack")), pod("p", group="g"))
    assert store.take(NOW).topologies.patterns == {}
    said = {keys.RANK_PATTERN_ANNOTATION: "all"}
    put(store, podgroup("g", topologyConstraint=near("rack"), annotations=said))
    assert store.take(NOW).topologies.patterns == {0: Pattern(Shape.ALL)}


def test_annotations_of_the_workload_are_heard():
    said = {keys.TOPOLOGY_ANNOTATION: "dc", keys.REQUIRED_LEVEL_ANNOTATION: "rack"}
    job = owner("Job", "train", annotations=said)
    snapshot = take(topology(), job, pod("p", owner=("Job", "train")))
    assert asked(snapshot) == [(0, 1, ROOT)]


def test_an_annotated_level_without_a_topology_is_not_passed_over():
    snapshot = take(topology(), pod("p", annotations={keys.REQUIRED_LEVEL_ANNOTATION: "rack"}))
    code, details = reason(snapshot, "pg-p-uid-p")
    assert code is ReasonCode.TOPOLOGY_INVALID
    assert details["field"] == "spec.topologyConstraint.topology"


def by_kubernetes(level="rack", kind="PodGroup"):
    said = {"uid": "uid-k", "name": "k", "kind": kind, "apiVersion": "scheduling.k8s.io/v1alpha2"}
    made = gang(topologyConstraint={"requiredTopologyLevel": level})
    return made.model_copy(
        update={"metadata": msgspec.structs.replace(made.metadata, owner_references=(convert(OwnerReference, said),))}
    )


def test_a_podgroup_of_kubernetes_names_a_label_of_nodes_and_needs_no_topology():
    snapshot = take(by_kubernetes(), pod("p", group="g"))
    assert reason(snapshot) is None
    assert asked(snapshot) == [(0, 0, ROOT)]
    assert snapshot.topologies.topologies[0].paths == ((("r1",), ("r2",)),)


def test_of_a_label_that_no_node_has_it_is_told():
    code, details = reason(take(by_kubernetes("row"), pod("p", group="g")))
    assert code is ReasonCode.TOPOLOGY_INVALID
    assert "none has the label row" in details["message"]


@pytest.mark.parametrize(
    ("constraint", "code", "field", "message"),
    [
        (near("rack", name="no"), "TopologyDoesNotExist", "topology", "there is no Topology no"),
        (
            near("row"),
            "TopologyConstraintInvalid",
            "requiredTopologyLevel",
            "Topology dc has no level row, but zone, rack",
        ),
        (
            near("zone", "row"),
            "TopologyConstraintInvalid",
            "preferredTopologyLevel",
            "Topology dc has no level row, but zone, rack",
        ),
        (
            near("rack", "zone"),
            "TopologyConstraintInvalid",
            "preferredTopologyLevel",
            "zone is wider than rack, which is required",
        ),
        (
            near("rack", name="bare"),
            "TopologyConstraintInvalid",
            "requiredTopologyLevel",
            "no node is in a domain of rack: none has all labels row, rack",
        ),
    ],
)
def test_what_cannot_be_kept_makes_only_its_podgroup_wait(constraint, code, field, message):
    snapshot = take(
        topology(),
        topology("bare", "row", "rack"),
        gang(topologyConstraint=constraint),
        pod("p", group="g"),
        podgroup("other", topologyConstraint=near("rack")),
        pod("q", group="other"),
    )
    found, details = reason(snapshot)
    assert (str(found), details["object"], details["field"], details["message"]) == (
        code,
        "PodGroup ns/g",
        f"spec.topologyConstraint.{field}",
        message,
    )
    assert blocked(snapshot, "other") is None
    assert snapshot.topologies.fixed.tolist() == [True, True]


def test_each_part_of_a_podgroup_may_ask_for_a_topology_of_its_own():
    parts = [{"name": "x", "minMember": 1, "topologyConstraint": near("rack", name="other")}]
    spec = {"subGroups": parts, "topologyConstraint": near("zone")}
    snapshot = take(topology(), topology("other"), gang(**spec), pod("p", group="g", subgroup="x"))
    table = snapshot.topologies
    assert blocked(snapshot, "g") is None
    assert [table.topologies[row].name for row in table.topology_idx.tolist()] == ["dc", "other"]
    assert (table.required.tolist(), table.preferred.tolist()) == ([0, 1], [-1, -1])


def test_the_topology_of_a_part_that_does_not_exist_is_named():
    parts = [{"name": "x", "minMember": 1, "topologyConstraint": near("rack", name="other")}]
    spec = {"subGroups": parts, "topologyConstraint": near("zone")}
    code, details = reason(take(topology(), gang(**spec), pod("p", group="g", subgroup="x")))
    assert (code, details["field"], details["topology"]) == (
        ReasonCode.TOPOLOGY_MISSING,
        "spec.subGroups[x].topologyConstraint.topology",
        "other",
    )


def test_a_topology_that_cannot_be_read_holds_up_who_asks_for_it_until_it_is_mended():
    store = a_store(*NODES, topology(), gang(topologyConstraint=near("rack")), pod("p", group="g"))
    fault = Fault("Topology dc", "spec.levels[1].nodeLabel", "zone is a level already")
    assert store.topologies.put_malformed("dc", fault)
    code, details = reason(store.take(NOW))
    assert (code, details["object"], details["field"]) == (ReasonCode.TOPOLOGY_INVALID, fault.where, fault.field)
    assert store.faults["Topology", "dc"] == (fault,)
    assert put(store, topology())
    assert reason(store.take(NOW)) is None


def test_a_topology_may_come_later_and_go():
    store = a_store(*NODES, gang(topologyConstraint=near("rack")), pod("p", group="g"))
    assert blocked(store.take(NOW), "g") == "TopologyDoesNotExist"
    assert put(store, topology())
    assert not put(store, topology())
    assert blocked(store.take(NOW), "g") is None
    assert store.topologies.drop("dc")
    assert blocked(store.take(NOW), "g") == "TopologyDoesNotExist"


def test_a_topology_is_laid_out_anew_only_when_its_labels_or_the_nodes_change():
    store = a_store(*NODES, topology(), gang(topologyConstraint=near("rack")), pod("p", group="g"))
    first = store.take(NOW).topologies
    put(store, pod("lonely"))
    put(store, node("a", labels=A, gpus=4))
    assert store.take(NOW).topologies.topologies[0] is first.topologies[0]
    put(store, node("a", labels={**A, "driver": "new"}))
    assert store.take(NOW).topologies.topologies[0] is first.topologies[0]
    put(store, node("a", labels=B))
    moved = store.take(NOW).topologies.topologies[0]
    assert moved.paths[1] == (("z", "r2"),)
    put(store, node("c", labels=A))
    assert store.take(NOW).topologies.topologies[0].nodes == ("a", "b", "c")


def test_nothing_is_made_anew_while_nothing_changes():
    store = a_store(*NODES, topology(), gang(topologyConstraint=near("rack")), pod("p", group="g"))
    one, other = store.take(NOW), store.take(NOW + 1)
    assert one.topologies is other.topologies
    assert one.podgroups is other.podgroups


@pytest.mark.parametrize(
    ("labels", "rank"),
    [
        ({}, NONE),
        ({keys.JOB_INDEX_LABEL: "7"}, 7),
        ({keys.POD_INDEX_LABEL: "0"}, 0),
        ({keys.JOB_INDEX_LABEL: "-1"}, NONE),
        ({keys.JOB_INDEX_LABEL: "９"}, NONE),
        ({keys.POD_INDEX_LABEL: "9" * 10}, NONE),
    ],
)
def test_the_index_of_a_pod_is_its_rank(labels, rank):
    assert take(pod("p", labels=labels)).pods.rank.tolist() == [rank]


# -- levels that devices define ------------------------------------------------------------------------

DRIVER = "gpu.example.com"
LINK = f"{DRIVER}/link"


def a_slice(name, link, *, pool="", generation=1, attribute="link", **where):
    """One device; ``link`` is its attribute's value, None = it has none."""
    value = {"bool": link} if isinstance(link, bool) else {"int": link} if isinstance(link, int) else {"string": link}
    attributes = {attribute: value} if link is not None else {}
    pooled = {"name": pool or name, "generation": generation, "resourceSliceCount": 1}
    spec = {"driver": DRIVER, "pool": pooled, "devices": [{"name": "gpu", "attributes": attributes}]}
    return convert(ResourceSlice, {"metadata": {"name": name}, "spec": {**spec, **(where or {"nodeName": name[0]})}})


def linked(*slices):
    nodes = [node(name, labels=A if name in "ab" else B) for name in "abcd"]
    store = a_store(*nodes, topology("dc", "rack", LINK), gang(topologyConstraint=near(LINK)), pod("p", group="g"))
    for one in slices:
        store.claims.devices.put(one)
    return store


def domains(store):
    """The link of each node; None where it has none."""
    snapshot = store.take(NOW)
    if reason(snapshot) is not None:
        return None
    (found,) = snapshot.topologies.topologies
    rows = found.domain_idx[1].tolist()
    return {name: found.paths[1][row][-1] if row >= 0 else None for name, row in zip(found.nodes, rows, strict=True)}


def test_an_attribute_of_devices_may_be_the_narrowest_level():
    store = linked(a_slice("a", "x"), a_slice("b", "x"), a_slice("c", "y"), a_slice("d", None))
    assert domains(store) == {"a": "x", "b": "x", "c": "y", "d": None}
    (found,) = store.take(NOW).topologies.topologies
    assert found.paths == ((("r1",), ("r2",)), (("r1", "x"), ("r2", "y")))


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (7, "7"), ("7", "7")])
def test_values_of_any_sort_are_domains(value, text):
    assert domains(linked(a_slice("a", value)))["a"] == text


def test_devices_of_a_node_have_to_agree_and_to_be_its_own():
    store = linked(a_slice("a", "x"), a_slice("a2", "y"), a_slice("b", "x"), a_slice("b2", None))
    assert domains(store) == {"a": None, "b": "x", "c": None, "d": None}
    assert domains(linked(a_slice("e", "x", allNodes=True))) is None


def test_the_newest_generation_of_a_pool_counts():
    old, new = a_slice("a1", "x", pool="p"), a_slice("a2", "y", pool="p", generation=2)
    assert domains(linked(old, new))["a"] == "y"


def test_attributes_may_be_written_with_their_domain_and_another_drivers_are_not_meant():
    assert domains(linked(a_slice("a", "x", attribute=LINK)))["a"] == "x"
    assert domains(linked(a_slice("a", "x", attribute="other.example.com/link"))) is None


def test_a_level_follows_its_devices_and_a_label_of_nodes_comes_first():
    store = linked(a_slice("a", "x"), a_slice("b", "y"))
    assert domains(store)["b"] == "y"
    first = store.take(NOW).topologies
    assert store.take(NOW).topologies is first
    store.claims.devices.put(a_slice("b", "x"))
    assert domains(store)["b"] == "x"
    store.claims.devices.drop("a")
    assert domains(store)["a"] is None
    put(store, node("c", labels={**B, LINK: "z"}))
    assert domains(store) == {"a": None, "b": None, "c": "z", "d": None}
