"""Volumes decide where pods go: golden scenarios, one for each rule of kube-scheduler's volume plugins."""

from __future__ import annotations

import pytest

from kai_py import plan

from .builders import NOW, pod, queue
from .builders import node as plain_node

ZONE = "topology.kubernetes.io/zone"


def node(name, gpus=8, **labels):
    found = plain_node(name, gpus)
    found["metadata"]["labels"] = {"kubernetes.io/hostname": name, **labels}
    return found


def storage_class(name="later", mode="WaitForFirstConsumer", provisioner="csi.example.com", **more):
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": mode,
        **more,
    }


def claim(name, size="1Gi", *, volume="", bound=None, cls="later", modes=("ReadWriteOnce",), **metadata):
    bound = bool(volume) if bound is None else bound
    annotations = {"pv.kubernetes.io/bind-completed": "yes"} if bound else {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, **metadata, "annotations": annotations | metadata.get("annotations", {})},
        "spec": {
            "accessModes": list(modes),
            "resources": {"requests": {"storage": size}},
            "storageClassName": cls,
            **({"volumeName": volume} if volume else {}),
        },
        "status": {"phase": "Bound" if bound else "Pending"},
    }


def volume(name, size="1Gi", *, on=None, to=None, cls="later", labels=None, handle=None, modes=("ReadWriteOnce",)):
    spec = {"capacity": {"storage": size}, "accessModes": list(modes), "storageClassName": cls}
    if on is not None:
        terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": list(on)}]}]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": terms}}
    if to:
        spec["claimRef"] = {"namespace": "default", "name": to}
    if handle:
        spec["csi"] = {"driver": "csi.example.com", "volumeHandle": handle}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
        "status": {"phase": "Bound" if to else "Available"},
    }


def csi_node(name, count=None, keys=()):
    driver = {"name": "csi.example.com", "nodeID": name, "topologyKeys": list(keys)}
    if count is not None:
        driver["allocatable"] = {"count": count}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSINode",
        "metadata": {"name": name},
        "spec": {"drivers": [driver]},
    }


def using(name, *claims, on=None, gpus=0, volumes=(), **more):
    mounts = [{"name": f"v{n}", "persistentVolumeClaim": {"claimName": one}} for n, one in enumerate(claims)]
    found = pod(name, gpus, on=on, volumes=[*mounts, *volumes], **more)
    if gpus == 0:
        found["spec"]["containers"][0]["resources"] = {}
    return found


def ask(*objects, **options):
    return plan([queue(), *objects], **{"now": NOW, **options}).to_dict()


def nodes_of(answer):
    return {name.removeprefix("default/"): one["node"] for name, one in answer["pods"].items()}


def why(answer):
    """Code and nodes' reasons of what waits, by podgroup."""
    return {one["podGroup"]: one["reasons"][0] for one in answer["cycles"][-1]["waiting"]}


def test_a_bound_volume_is_reached_from_the_nodes_of_its_affinity():
    objects = node("a"), node("b"), volume("v", on=["b"], to="c"), claim("c", volume="v"), using("p", "c")
    assert nodes_of(ask(*objects)) == {"p": "b"}


def test_without_a_node_that_reaches_it_the_pod_waits_and_is_told():
    (reason,) = why(ask(node("a"), volume("v", on=["gone"], to="c"), claim("c", volume="v"), using("p", "c"))).values()
    assert "does not reach a volume of the pod" in reason["message"]


@pytest.mark.parametrize(
    ("labels", "place"),
    [({ZONE: "x"}, "a"), ({ZONE: "x__y"}, "a"), ({"failure-domain.beta.kubernetes.io/zone": "y"}, "b"), ({}, "a")],
)
def test_zone_labels_of_a_volume_are_kept(labels, place):
    objects = node("a", **{ZONE: "x"}), node("b", **{ZONE: "y"}), volume("v", to="c", labels=labels)
    assert nodes_of(ask(*objects, claim("c", volume="v"), using("p", "c"))) == {"p": place}


def test_a_node_without_zone_labels_is_let_pass():
    objects = node("a"), volume("v", to="c", labels={ZONE: "x"}), claim("c", volume="v"), using("p", "c")
    assert nodes_of(ask(*objects)) == {"p": "a"}


@pytest.mark.parametrize(
    ("objects", "code", "names"),
    [
        ([], "PersistentVolumeClaimDoesNotExist", "default/c"),
        ([claim("c", cls="now")], "VolumeNotBound", "default/c"),
        ([claim("c", volume="v", bound=False)], "VolumeNotBound", "default/c"),
        ([claim("c", volume="gone")], "PersistentVolumeClaimInvalid", "gone"),
        ([claim("c") | {"status": {"phase": "Lost"}}], "PersistentVolumeClaimInvalid", "lost"),
        ([claim("c", deletionTimestamp=NOW)], "PersistentVolumeClaimInvalid", "deleted"),
        ([claim("c", size="much")], "PersistentVolumeClaimInvalid", "storage"),
    ],
)
def test_a_claim_that_cannot_be_used_is_named_and_others_are_served(objects, code, names):
    answer = ask(node("a"), storage_class(), storage_class("now", "Immediate"), *objects, using("p", "c"), using("q"))
    (reason,) = why(answer).values()
    assert reason["code"] == code
    assert names in reason["message"]
    assert nodes_of(answer) == {"p": None, "q": "a"}


def test_a_claim_gets_the_smallest_volume_that_suits_it_and_its_pod_goes_there():
    objects = (
        storage_class(provisioner="kubernetes.io/no-provisioner"),
        *(node(name) for name in "abc"),
        volume("large", "100Gi", on=["a"]),
        volume("small", "1Gi", on=["b"]),
        volume("fits", "10Gi", on=["c"]),
        claim("c", "10Gi"),
    )
    answer = ask(*objects, using("p", "c", nodeSelector={"kubernetes.io/hostname": "c"}), using("q", "c"), cycles=2)
    assert nodes_of(answer) == {"p": "c", "q": "c"}


@pytest.mark.parametrize(
    "odd",
    [
        volume("v", cls="other"),
        volume("v", "1Mi"),
        volume("v", modes=["ReadOnlyMany"]),
        volume("v", to="somebody"),
        volume("v") | {"status": {"phase": "Released"}},
    ],
)
def test_volumes_that_do_not_suit_are_left_alone(odd):
    objects = storage_class(provisioner="kubernetes.io/no-provisioner"), node("a"), odd, claim("c"), using("p", "c")
    (reason,) = why(ask(*objects)).values()
    assert "has no volume for a claim of the pod" in reason["message"]


def test_two_pods_do_not_get_one_volume():
    objects = (
        storage_class(provisioner="kubernetes.io/no-provisioner"),
        node("a"),
        node("b"),
        volume("va", on=["a"]),
        volume("vb", on=["b"]),
        *(claim(f"c{n}") for n in range(3)),
        *(using(f"p{n}", f"c{n}") for n in range(3)),
    )
    answer = ask(*objects, cycles=3)
    assert sorted(filter(None, nodes_of(answer).values())) == ["a", "b"]
    assert len(why(answer)) == 1


def test_a_pod_with_several_claims_needs_a_volume_for_each_on_one_node():
    objects = (
        storage_class(provisioner="kubernetes.io/no-provisioner"),
        node("a"),
        node("b"),
        volume("va", "2Gi", on=["a"]),
        volume("vb", "2Gi", on=["b"]),
        volume("wb", "1Gi", on=["b"]),
        claim("small", "1Gi"),
        claim("large", "2Gi"),
    )
    assert nodes_of(ask(*objects, using("p", "large", "small"))) == {"p": "b"}


def test_a_volume_is_made_where_its_class_allows_it():
    terms = [{"matchLabelExpressions": [{"key": ZONE, "values": ["y", "z"]}]}]
    objects = storage_class(allowedTopologies=terms), node("a", **{ZONE: "x"}), node("b", **{ZONE: "y"}), claim("c")
    assert nodes_of(ask(*objects, using("p", "c"))) == {"p": "b"}


def test_a_volume_is_made_where_its_driver_has_room():
    driver = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": "csi.example.com"},
        "spec": {"storageCapacity": True},
    }
    capacities = [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "CSIStorageCapacity",
            "metadata": {"name": f"cap-{name}", "namespace": "kube-system"},
            "storageClassName": "later",
            "nodeTopology": {"matchLabels": {"kubernetes.io/hostname": name}},
            "capacity": size,
        }
        for name, size in (("a", "1Gi"), ("b", "20Gi"))
    ]
    objects = storage_class(), driver, *capacities, node("a"), node("b"), claim("c", "10Gi")
    assert nodes_of(ask(*objects, using("p", "c"))) == {"p": "b"}


def test_a_node_that_was_selected_for_a_claim_stays_selected():
    objects = storage_class(), node("a"), node("b"), claim("c", annotations={"volume.kubernetes.io/selected-node": "b"})
    assert nodes_of(ask(*objects, using("p", "c"))) == {"p": "b"}


def test_a_node_attaches_no_more_volumes_than_its_driver_says():
    objects = (
        storage_class(),
        node("a"),
        csi_node("a", 2),
        *(volume(f"v{n}", to=f"c{n}", handle=f"h{n}") for n in range(3)),
        *(claim(f"c{n}", volume=f"v{n}") for n in range(3)),
        claim("c3"),
        using("r", "c0", on="a"),
        *(using(f"p{n}", f"c{n}") for n in (1, 2, 3)),
    )
    answer = ask(*objects, cycles=2)
    assert nodes_of(answer) == {"r": "a", "p1": "a", "p2": None, "p3": None}
    assert all("can attach no more volumes" in one["message"] for one in why(answer).values())


def test_a_volume_that_is_attached_already_counts_once():
    objects = (
        node("a"),
        csi_node("a", 1),
        volume("v", to="c", handle="h", modes=["ReadWriteMany"]),
        claim("c", volume="v"),
        using("r", "c", on="a"),
        using("p", "c"),
    )
    assert nodes_of(ask(*objects)) == {"r": "a", "p": "a"}


def test_an_attachment_counts_though_no_pod_uses_it():
    attached = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "VolumeAttachment",
        "metadata": {"name": "at"},
        "spec": {"attacher": "csi.example.com", "nodeName": "a", "source": {"persistentVolumeName": "old"}},
    }
    objects = node("a"), node("b"), csi_node("a", 1), csi_node("b", 1), volume("old", handle="o"), attached
    more = volume("v", to="c", handle="h"), claim("c", volume="v"), using("p", "c")
    assert nodes_of(ask(*objects, *more)) == {"p": "b"}


def test_a_claim_for_one_pod_alone_has_one_pod():
    objects = node("a"), node("b"), volume("v", to="c", modes=["ReadWriteOncePod"])
    answer = ask(
        *objects, claim("c", volume="v", modes=["ReadWriteOncePod"]), using("p", "c"), using("q", "c"), cycles=2
    )
    assert nodes_of(answer) == {"p": "a", "q": None}
    (reason,) = why(answer).values()
    assert "cannot share a volume that is in use" in reason["message"]


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ({"gcePersistentDisk": {"pdName": "d"}}, {"gcePersistentDisk": {"pdName": "d"}}, False),
        ({"gcePersistentDisk": {"pdName": "d"}}, {"gcePersistentDisk": {"pdName": "e"}}, True),
        (
            {"gcePersistentDisk": {"pdName": "d", "readOnly": True}},
            {"gcePersistentDisk": {"pdName": "d", "readOnly": True}},
            True,
        ),
        (
            {"awsElasticBlockStore": {"volumeID": "d", "readOnly": True}},
            {"awsElasticBlockStore": {"volumeID": "d", "readOnly": True}},
            False,
        ),
        (
            {"rbd": {"monitors": ["m", "n"], "image": "i"}},
            {"rbd": {"monitors": ["n", "o"], "image": "i", "readOnly": True}},
            False,
        ),
        ({"rbd": {"monitors": ["m"], "image": "i"}}, {"rbd": {"monitors": ["o"], "image": "i"}}, True),
        ({"iscsi": {"iqn": "q", "lun": 1}}, {"iscsi": {"iqn": "q", "lun": 2}}, False),
    ],
)
def test_two_pods_on_a_node_do_not_share_a_disk_that_one_writes(one, other, together):
    objects = (
        node("a"),
        using("r", on="a", volumes=[{"name": "d", **one}]),
        using("p", volumes=[{"name": "d", **other}]),
    )
    assert nodes_of(ask(*objects)) == {"r": "a", "p": "a" if together else None}


def test_a_more_important_pod_may_have_the_volume_of_a_less_important_one():
    """A limit on volumes is room like any other: who preempts makes it."""
    classes = [
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": name},
            "value": value,
        }
        for name, value in (("low", 10), ("high", 50))
    ]
    objects = (
        *classes,
        node("a"),
        csi_node("a", 1),
        *(volume(f"v{n}", to=f"c{n}", handle=f"h{n}") for n in range(2)),
        *(claim(f"c{n}", volume=f"v{n}") for n in range(2)),
        using("low", "c0", on="a", gpus=1, owner="job", priorityClassName="low"),
        using("high", "c1", gpus=1, priorityClassName="high"),
    )
    answer = ask(*objects, cycles=3)
    assert [one["pod"] for one in answer["cycles"][0]["evictions"]] == ["default/low"]
    assert nodes_of(answer)["high"] == "a"
