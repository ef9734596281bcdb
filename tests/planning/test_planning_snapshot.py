"""A snapshot replays to the same decisions, with its own names or with others."""

import gzip
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py import plan
from kai_py.errors import InputError
from kai_py.planning.manifests import Sourced
from kai_py.planning.redaction import redacted
from kai_py.planning.snapshot import read_snapshot, snapshot_of, write_snapshot
from kai_py.planning.trimming import trimmed

from .builders import NOW, node, pod, podgroup, queue

RACK = "acme.example/rack"
NAMES = st.text("abkpqyz019", min_size=1, max_size=6).map(lambda text: f"s{text}")


def labelled(node, **labels):
    return node | {"metadata": node["metadata"] | {"labels": labels}}


def job(name):
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {}}


def claim(name, queue, device="gpu.nvidia.com"):
    request = {
        "name": "secret-request",
        "exactly": {"deviceClassName": device, "allocationMode": "ExactCount", "count": 1},
    }
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "labels": {"kai.scheduler/queue": queue}},
        "spec": {"devices": {"requests": [request]}},
    }


def devices(node):
    found = [{"name": f"gpu-{n}", "attributes": {"model": {"string": "H100"}}} for n in range(2)]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-gpus"},
        "spec": {
            "driver": "gpu.nvidia.com",
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": found,
        },
    }


DEVICE_CLASS = {
    "apiVersion": "resource.k8s.io/v1",
    "kind": "DeviceClass",
    "metadata": {"name": "gpu.nvidia.com"},
    "spec": {"selectors": [{"cel": {"expression": 'device.attributes["gpu.nvidia.com"].model == "H100"'}}]},
}


def cluster(names):
    """Every name in it is one of those given: nodes, racks, queues, jobs, podgroups, claims, pods and labels."""
    n1, n2, n3, first, second, work, other, app = names[:8]
    near = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": app}}}
    away = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}
    wanted = {"key": RACK, "operator": "In", "values": [first]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [wanted]}]}
    here = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
    levels = [{"nodeLabel": RACK}, {"nodeLabel": "kubernetes.io/hostname"}]
    gang = podgroup(work, 2, queue=second)
    gang["spec"]["topologyConstraint"] = {"topology": other, "requiredTopologyLevel": RACK}
    derived = podgroup(f"pg-{other}-uid-{other}", 2, queue=first)
    with_app = [pod(f"{app}-{n}", 1, queue=first, affinity=away) for n in range(3)]
    for one in with_app:
        one["metadata"]["labels"]["app"] = app
    claiming = pod(f"{n1}-claims", 0, queue=second, resourceClaims=[{"name": "c", "resourceClaimName": n2}])
    claiming["spec"]["containers"][0]["resources"] = {"claims": [{"name": "c"}]}
    return [
        labelled(node(n1, 4), **{RACK: first, "kubernetes.io/hostname": n1}),
        labelled(node(n2, 4), **{RACK: first, "kubernetes.io/hostname": n2}),
        labelled(node(n3, 4), **{RACK: second, "kubernetes.io/hostname": n3}),
        {
            "apiVersion": "kai.scheduler/v1alpha1",
            "kind": "Topology",
            "metadata": {"name": other},
            "spec": {"levels": levels},
        },
        queue(first, 6),
        queue(second, 6, limit=8),
        gang,
        derived,
        job(other),
        DEVICE_CLASS,
        *(devices(one) for one in (n1, n2, n3)),
        claim(n2, second),
        *(pod(f"{work}-{n}", 2, queue=second, group=work) for n in range(2)),
        *(pod(f"{other}-{n}", 1, queue=first, owner=other) for n in range(2)),
        *(pod(f"{first}-{n}", 1, queue=first, on=n1, owner=first) for n in range(4)),
        *(pod(f"{second}-{n}", 1, queue=first, on=n3, owner=second) for n in range(4)),
        *with_app,
        pod(f"{n3}-here", 1, queue=second, affinity=here),
        pod(f"{n3}-lost", 1, queue=f"no-{n3}"),
        claiming,
    ]


def decided(answer, of=lambda text: text):
    """Decisions under other names, without messages."""
    cycles = [
        {
            "binds": sorted((of(one["pod"]), of(one["node"]), of(one["podGroup"])) for one in cycle["binds"]),
            "nominations": sorted((of(one["pod"]), of(one["node"])) for one in cycle["nominations"]),
            "evictions": sorted(
                (of(one["pod"]), of(one["preemptor"] or ""), one["action"]) for one in cycle["evictions"]
            ),
            "waiting": sorted(
                (of(one["podGroup"]), of(one["queue"]), [reason["code"] for reason in one["reasons"]])
                for one in cycle["waiting"]
            ),
            "devices": sorted(
                (of(claim["claim"]), of(result["pool"]), of(result["device"]))
                for one in cycle["binds"]
                for claim in one["claims"]
                for result in claim["allocation"]["devices"]["results"]
            ),
        }
        for cycle in answer["cycles"]
    ]
    pods = {of(name): (of(one["node"] or ""), one["state"]) for name, one in answer["pods"].items()}
    return cycles, pods, {of(name): numbers for name, numbers in answer["queues"].items()}


def whole(objects):
    """As the API server has them: with namespaces, uids and times."""
    found = []
    for position, one in enumerate(objects):
        meta = {"uid": f"u-{one['kind'].lower()}-{position}", "creationTimestamp": f"2026-01-30T12:{position:02}:00Z"}
        found.append(one | {"metadata": {"namespace": "default", **meta, **one["metadata"]}})
    return found


def test_this_cluster_has_everything_to_decide():
    answer = plan(cluster(["a", "b", "c", "d", "e", "f", "g", "h"]), cycles=2, now=NOW).to_dict()
    kinds = {kind for cycle in answer["cycles"] for kind, entries in cycle.items() if entries}
    assert {"binds", "nominations", "evictions", "waiting"} <= kinds
    assert any(claim for one in answer["cycles"][0]["binds"] for claim in one["claims"])
    decided = [one for kind in ("binds", "nominations", "waiting") for one in answer["cycles"][0][kind]]
    assert "default/pg-g-uid-g" in {one["podGroup"] for one in decided}


@settings(max_examples=12, deadline=None)
@given(st.lists(NAMES, min_size=8, max_size=8, unique=True))
def test_decisions_about_other_names_are_the_same(names):
    objects = [trimmed(one) for one in whole(cluster(names))]
    hidden, of = redacted(objects)
    before = plan(objects, cycles=3, now=NOW).to_dict()
    after = plan(hidden, cycles=3, now=NOW).to_dict()
    assert decided(after) == decided(before, of)
    assert not after["warnings"]


def test_a_snapshot_replays_to_the_same_decisions(tmp_path):
    objects = whole(cluster(["a", "b", "c", "d", "e", "f", "g", "h"]))
    live = [Sourced(one, "live", live=True) for one in objects]
    (tmp_path / "file").write_bytes(write_snapshot(snapshot_of(live, 1_800_000_000.25, server="v1.36.0")))
    read = read_snapshot(tmp_path / "file")
    assert (read.time, read.server, read.redacted) == ("2027-01-15T08:00:00.250000+00:00", "v1.36.0", False)
    again = plan(read.sourced("file"), cycles=3, now=NOW).to_dict()
    assert again == plan(live, cycles=3, now=NOW).to_dict()


SECRETS = {
    "image": "registry.acme.example/secret:1",
    "command": ["secret-command"],
    "args": ["secret-argument"],
    "env": [{"name": "TOKEN", "value": "secret-token"}],
    "envFrom": [{"secretRef": {"name": "secret-ref"}}],
    "livenessProbe": {"exec": {"command": ["secret-probe"]}},
}


def test_what_containers_run_is_never_in_a_snapshot():
    one = pod("a")
    one["spec"]["containers"][0] |= SECRETS
    one["spec"]["initContainers"] = [{"name": "first", **SECRETS}]
    one["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = "secret-manifest"
    one["status"] = {"message": "secret-message", "containerStatuses": [{"name": "main", "image": "secret-image"}]}
    workload = job("b")
    workload["spec"]["template"] = {"spec": {"containers": [{"name": "main", **SECRETS}]}}
    stored = node()
    stored["status"]["images"] = [{"names": ["secret-image"], "sizeBytes": 1}]
    taken = snapshot_of([Sourced(one), Sourced(workload), Sourced(stored)], 0.0)
    assert len(taken.objects) == 3
    assert b"secret" not in gzip.decompress(write_snapshot(taken))


def test_a_redacted_snapshot_shows_no_name_and_no_text():
    names = ["volga", "danube", "rhine", "thames", "seine", "tiber", "oder", "elbe"]
    objects = cluster(names)
    objects[0]["metadata"]["annotations"] = {"note": "call volga", "acme.example/owner": "danube", "user": "rhine"}
    objects[4]["spec"]["displayName"] = "Thames"
    taken = snapshot_of(map(Sourced, objects), 0.0, warnings=["volga is missing"], redact=True)
    text = gzip.decompress(write_snapshot(taken)).decode()
    assert not [word for word in (*names, "acme", "secret", "Thames") if word in text]
    assert '"nvidia.com/gpu"' in text
    assert "H100" in text


def test_settings_and_what_they_name_stay_as_they_are():
    document = "nodePool: {labelKey: acme.example/pool, value: blue}\n"
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kai-py-settings", "namespace": "kai-scheduler"},
        "data": {"settings.yaml": document},
    }
    usage = config | {
        "metadata": {"name": "kai-py-usage", "namespace": "kai-scheduler"},
        "data": {"usage.json": json.dumps({"version": 1, "resources": [], "buckets": [{"used": {"team": []}}]})},
    }
    one = labelled(node(), **{"acme.example/pool": "blue"})
    hidden, of = redacted([config, usage, one, queue("team")])
    assert hidden[0]["data"] == {"settings.yaml": document}
    assert json.loads(hidden[1]["data"]["usage.json"])["buckets"][0]["used"] == {of("team"): []}
    assert hidden[2]["metadata"]["labels"] == {"acme.example/pool": "blue"}
    assert hidden[3]["metadata"]["name"] == of("team") != "team"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"kind: Snapshot", "is not packed with gzip: write one with kai-py snapshot"),
        (gzip.compress(b"{}"), "is not a snapshot: write one with kai-py snapshot"),
        (gzip.compress(b"{"), "is not JSON inside"),
        (gzip.compress(b'{"kind": "Snapshot", "format": 9}'), "format 9 is not known to this version, which reads 1"),
        (gzip.compress(b'{"kind": "Snapshot", "format": 1}'), "the file is damaged"),
        (gzip.compress(b"{}" * 500)[:-12], "ends too early, or is damaged"),
    ],
    ids=["plain", "empty", "half", "new", "bare", "short"],
)
def test_a_file_that_is_no_snapshot_says_so(tmp_path, content, fault):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=fault) as caught:
        read_snapshot(tmp_path / "file")
    assert caught.value.faults[0].where == str(tmp_path / "file")


def test_a_pod_that_says_that_it_is_not_to_be_grouped_still_says_so():
    one = pod("team")
    one["metadata"]["annotations"]["kai.scheduler/skip-podgrouper"] = "true"
    one["metadata"]["labels"]["acme.example/lead"] = "worker"
    (hidden,), of = redacted([one])
    assert hidden["metadata"]["annotations"] == {"kai.scheduler/skip-podgrouper": "true"}
    assert hidden["metadata"]["labels"][of("acme.example/lead")] == "worker"


def test_services_spread_their_pods_in_a_plan_and_in_its_redacted_copy():
    """Replicas without GPUs are apart; what they are called makes no difference."""
    nodes = [labelled(node(name), **{"kubernetes.io/hostname": name}) for name in "ab"]
    pods = []
    for name in ("web-1", "web-2"):
        one = pod(name)
        one["metadata"]["labels"] |= {"acme.example/app": "shop"}
        one["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
        pods.append(one)
    selector = {"acme.example/app": "shop"}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop"}, "spec": {"selector": selector}}

    def nodes_of(objects):
        binds = [bind for cycle in plan(objects, now=NOW).to_dict()["cycles"] for bind in cycle["binds"]]
        return [bind["node"] for bind in binds]

    objects = [queue(), *nodes, *pods]
    assert len(set(nodes_of(objects))) == 1
    assert len(set(nodes_of([*objects, service]))) == 2
    shown, _ = redacted([*objects, service])
    assert "shop" not in json.dumps(shown)
    assert len(set(nodes_of(shown))) == 2
