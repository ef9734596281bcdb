"""Claims that pods share through their PodGroup on a live cluster, with the gate on; and with it off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from kai_py.api.meta import PartialObject
from kai_py.errors import InvalidError
from kai_py.kube.listing import list_all
from kai_py.kube.resource import ResourceKind
from kai_py.minicluster import MiniCluster
from kai_py.operators import unused_claims
from kai_py.operators.kinds import CLAIMS, PODS

from .claims import allocate, claim, claims, devices, devices_of, said, wanted
from .conftest import CRDS, _cluster
from .control_plane import assets, control_plane, running_process
from .harness import Cluster, Json

GATES = ("GenericWorkload", "DRAWorkloadResourceClaims")
FLAGS = f"--feature-gates={','.join(f'{gate}=true' for gate in GATES)}"
GROUPS = ResourceKind("scheduling.k8s.io", "v1alpha2", "podgroups", PartialObject)
TEMPLATES = ResourceKind("resource.k8s.io", "v1", "resourceclaimtemplates", PartialObject)
SHARED = {"name": "dev", "resourceClaimName": "shared"}
MADE = {"name": "dev", "resourceClaimTemplateName": "template"}


@pytest.fixture(scope="module")
def real_with_gates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    binaries = assets()
    if binaries is None:
        yield None
        return
    flags = FLAGS, "--runtime-config=scheduling.k8s.io/v1alpha2=true"
    with control_plane(binaries, tmp_path_factory.mktemp("gates"), *flags) as kubeconfig:
        yield kubeconfig


@pytest.fixture(params=["embedded", "real"])
async def gated(request: pytest.FixtureRequest, tmp_path: Path, real_with_gates: Path | None) -> AsyncIterator[Cluster]:
    """An empty cluster with the gates on."""
    if request.param == "real":
        if real_with_gates is None:
            pytest.skip("KUBEBUILDER_ASSETS does not name a folder with etcd and kube-apiserver")
        async for made in _cluster(real_with_gates, real=True, faults=None):
            yield made
            await unprotect(made)
        return
    async with MiniCluster(crds=CRDS, gates=frozenset(GATES)) as mini:
        kubeconfig = tmp_path / "kubeconfig"
        mini.write_kubeconfig(kubeconfig)
        async for made in _cluster(kubeconfig, real=False, faults=mini.faults):
            yield made


@pytest.fixture
def faulty(gated: Cluster) -> Cluster:
    """Faults can only be ordered from the embedded server."""
    if gated.real:
        pytest.skip("a real kube-apiserver does not fail on demand")
    return gated


async def unprotect(cluster: Cluster) -> None:
    """No controller lets PodGroups go."""
    for one in await list_all(cluster.client, GROUPS, cluster.namespace):
        path = GROUPS.path(cluster.namespace, one["metadata"]["name"])
        await cluster.client.patch(path, {"metadata": {"finalizers": None}})


async def furnish(cluster: Cluster, *nodes: str, count: int = 1) -> None:
    await cluster.nodes(2)
    for node in nodes:
        await devices(cluster, node, count)
    await cluster.queue("team")


async def pod_group(cluster: Cluster, *entries: Json, minimum: int = 1) -> Json:
    """A gang with claims."""
    spec = {"schedulingPolicy": {"gang": {"minCount": minimum}}, "resourceClaims": list(entries)}
    body = {"apiVersion": GROUPS.api_version, "kind": "PodGroup", "metadata": {"name": "group"}, "spec": spec}
    return await cluster.create(GROUPS.path(cluster.namespace), body)


async def member(cluster: Cluster, name: str, *entries: Json, **spec: Any) -> Json:
    group = {"podGroupName": "group"}
    return await cluster.pod(name, gpus=0, resourceClaims=list(entries), schedulingGroup=group, **spec)


async def make(cluster: Cluster, group: Json, *pods: str) -> None:
    """Do what the claim controller does: one claim for the group, told to all its pods."""
    identity = {"name": "group", "uid": group["metadata"]["uid"], "controller": True}
    owner = {"apiVersion": GROUPS.api_version, "kind": "PodGroup", **identity}
    metadata = {"name": "group-dev", "ownerReferences": [owner]}
    body = {"apiVersion": CLAIMS.api_version, "kind": "ResourceClaim", "metadata": metadata, "spec": wanted()}
    await cluster.create(CLAIMS.path(cluster.namespace), body)
    status = {"status": {"resourceClaimStatuses": [{"name": "dev", "resourceClaimName": "group-dev"}]}}
    await cluster.client.patch(GROUPS.path(cluster.namespace, "group", "status"), status)
    for name in pods:
        await cluster.client.patch(PODS.path(cluster.namespace, name, "status"), status)


async def consumers(cluster: Cluster, name: str) -> list[Json]:
    found: list[Json] = (await claims(cluster))[name].get("status", {}).get("reservedFor", [])
    return found


def reservation(group: Json) -> Json:
    identity = {"name": group["metadata"]["name"], "uid": group["metadata"]["uid"]}
    return {"apiGroup": "scheduling.k8s.io", "resource": "podgroups", **identity}


async def scheduled(cluster: Cluster) -> bool:
    """Whether the group's status says that it is scheduled."""
    (found,) = await list_all(cluster.client, GROUPS, cluster.namespace)
    conditions = found.get("status", {}).get("conditions", ())
    return any((one["type"], one["status"]) == ("PodGroupScheduled", "True") for one in conditions)


async def test_a_gang_shares_the_claim_that_is_made_for_it(gated: Cluster) -> None:
    names = ["one", "two", "three"]
    await furnish(gated, "node-1")
    async with gated.scheduler():
        group = await pod_group(gated, MADE, minimum=3)
        for name in names:
            await member(gated, name, MADE)
        text = f"claim from {gated.namespace}/template has not been made for PodGroup {gated.namespace}/group yet"
        await gated.until(lambda: _says(gated, "one", text))
        await make(gated, group, *names)
        assert set((await gated.until_bound(*names)).values()) == {"node-1"}
        assert await gated.until(lambda: scheduled(gated))
    assert await consumers(gated, "group-dev") == [reservation(group)]
    version = (await claims(gated))["group-dev"]["metadata"]["resourceVersion"]
    async with gated.scheduler():  # who comes next knows it all from what is written
        await member(gated, "four", MADE)
        status = {"status": {"resourceClaimStatuses": [{"name": "dev", "resourceClaimName": "group-dev"}]}}
        await gated.client.patch(PODS.path(gated.namespace, "four", "status"), status)
        assert (await gated.until_bound("four"))["four"] == "node-1"
    assert (await claims(gated))["group-dev"]["metadata"]["resourceVersion"] == version


async def _says(cluster: Cluster, pod: str, text: str) -> bool:
    return text in await cluster.message(pod)


async def test_more_pods_than_a_claim_has_consumers_share_it_through_their_group(faulty: Cluster) -> None:
    await faulty.nodes(6)
    await devices(faulty, "all", 0)
    slice_ = {"driver": "devices.example.com", "allNodes": True, "devices": [{"name": "fabric"}]}
    spec = {**slice_, "pool": {"name": "fabric", "generation": 1, "resourceSliceCount": 1}}
    metadata = {"name": "fabric"}
    body = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": metadata, "spec": spec}
    await faulty.create("/apis/resource.k8s.io/v1/resourceslices", body)
    await faulty.queue("team")
    await claim(faulty, "shared")
    group = await pod_group(faulty, SHARED, minimum=300)
    names = [f"p-{number}" for number in range(300)]
    async with faulty.scheduler():
        for name in names:
            await member(faulty, name, SHARED)
        await faulty.until_bound(*names, patience=120)
    assert await consumers(faulty, "shared") == [reservation(group)]


async def test_a_pod_whose_entry_differs_uses_the_claim_itself_and_is_told(gated: Cluster) -> None:
    await furnish(gated, "node-0", "node-1")
    for name in ("shared", "mine"):
        await claim(gated, name)
    async with gated.scheduler():
        await pod_group(gated, SHARED)
        own = await member(gated, "own", SHARED | {"resourceClaimName": "mine"})
        await gated.until_bound("own")
        told = await gated.until(lambda: said(gated, "own", "PassedOver"))
    assert await consumers(gated, "mine") == [{"resource": "pods", "name": "own", "uid": own["metadata"]["uid"]}]
    assert "spec.resourceClaims[0] is called 'dev' as one of PodGroup 'group'" in told


async def test_a_group_for_which_others_have_reserved_needs_no_write(gated: Cluster) -> None:
    await furnish(gated, "node-0", "node-1")
    await claim(gated, "shared")
    await allocate(gated, "shared", "node-1", "dev-0")
    group = await pod_group(gated, SHARED)
    path = CLAIMS.path(gated.namespace, "shared", "status")
    await gated.client.patch(path, {"status": {"reservedFor": [reservation(group)]}})
    version = (await claims(gated))["shared"]["metadata"]["resourceVersion"]
    async with gated.scheduler():
        await member(gated, "one", SHARED)
        await gated.until_bound("one")
    assert (await claims(gated))["shared"]["metadata"]["resourceVersion"] == version


async def test_an_evicted_gang_frees_its_claim_when_its_last_pod_is_gone(
    gated: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unused_claims, "EVERY", 0.3)
    await furnish(gated, "node-0")
    await gated.priority("urgent", 90)
    for name in ("shared", "other"):
        await claim(gated, name)
    async with gated.scheduler():
        group = await pod_group(gated, SHARED, minimum=2)
        for name in ("one", "two"):
            await member(gated, name, SHARED)
        await gated.until_bound("one", "two")
        used = [{"name": "dev", "resourceClaimName": "other"}]
        await gated.pod("quick", gpus=0, resourceClaims=used, priorityClassName="urgent")

        async def leaving() -> bool:
            pods = await gated.pods()
            return all("deletionTimestamp" in pods[name]["metadata"] for name in ("one", "two"))

        await gated.until(leaving)
        await gated.delete_pod("one")
        await member(gated, "again", SHARED)  # its controller makes it anew
        assert await consumers(gated, "shared") == [reservation(group)]
        await gated.delete_pod("two")
        await gated.until_bound("quick")
        assert "again" not in await gated.places()
    assert await devices_of(gated) == {"other": (("node-0", "dev-0"),)}
    assert await consumers(gated, "shared") == []


async def test_what_a_gang_that_was_not_bound_has_got_is_given_back_once(faulty: Cluster) -> None:
    await furnish(faulty, "node-0", "node-1")
    await claim(faulty, "shared")
    async with faulty.scheduler():
        faulty.faults.answer(422, verb="POST", path="/binding", times=99)
        await pod_group(faulty, SHARED, minimum=2)
        for name in ("one", "two"):
            await member(faulty, name, SHARED)
        assert await faulty.until(lambda: said(faulty, "one", "FailedBinding"))

        async def free() -> bool:
            return await devices_of(faulty) == {}

        await faulty.until(free)
        assert await consumers(faulty, "shared") == []
        faulty.faults.clear()
        await faulty.until_bound("one", "two")


@pytest.mark.parametrize("writes", range(6))
async def test_a_scheduler_that_dies_between_two_writes_is_continued_by_the_next(
    faulty: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """Protection, devices with reservation, two bindings: after none to all of them nothing goes through any more."""
    monkeypatch.setattr(unused_claims, "EVERY", 0.3)
    await furnish(faulty, "node-0", "node-1")
    await claim(faulty, "shared")
    group = await pod_group(faulty, SHARED, minimum=2)
    for name in ("one", "two"):
        await member(faulty, name, SHARED)
    allowed = [("PATCH", "/shared$"), ("PUT", "/shared/status"), ("POST", "/one/binding"), ("POST", "/two/binding")]
    for verb, path in allowed[writes:]:
        faulty.faults.answer(503, verb=verb, path=path, times=9999)
    async with faulty.scheduler():
        await faulty.until(lambda: _done(faulty, writes))
    faulty.faults.clear()
    async with faulty.scheduler():
        places = await faulty.until_bound("one", "two")
    assert len(set(places.values())) == 1
    ((name, ((node, _),)),) = (await devices_of(faulty)).items()
    assert (name, node) == ("shared", places["one"])
    assert await consumers(faulty, "shared") == [reservation(group)]


async def _done(cluster: Cluster, writes: int) -> bool:
    """Whether so many of the writes of a start have come through."""
    found = (await claims(cluster))["shared"]
    places = await cluster.places()
    steps = (
        bool(found["metadata"].get("finalizers")),
        "allocation" in found.get("status", {}),
        "one" in places,
        "two" in places,
    )
    return all(steps[:writes])


async def test_without_the_gate_pods_have_claims_of_their_own(cluster: Cluster) -> None:
    await cluster.nodes(1)
    await devices(cluster, "node-0", 1)
    await cluster.queue("team")
    await claim(cluster, "shared")
    pod = await cluster.pod("one", gpus=0, resourceClaims=[SHARED], schedulingGroup={"podGroupName": "group"})
    assert "schedulingGroup" not in pod["spec"]
    async with cluster.scheduler():
        await cluster.until_bound("one")
    assert [one["resource"] for one in await consumers(cluster, "shared")] == ["pods"]


async def test_servers_agree_about_pod_groups(gated: Cluster) -> None:
    """Field by field what is refused, and what is stored."""
    basic, path = {"schedulingPolicy": {"basic": {}}}, GROUPS.path(gated.namespace)
    claimed, field = MADE | {"name": "a"}, "spec.resourceClaims"
    for spec, fields in (
        ({"schedulingPolicy": {"basic": {}, "gang": {"minCount": 0}}}, ["spec.schedulingPolicy", _COUNT]),
        ({"schedulingPolicy": {}}, ["spec.schedulingPolicy"]),
        ({"schedulingPolicy": {"gang": {"minCount": -1}}}, [_COUNT]),
        (basic | {"resourceClaims": [claimed] * 5}, [field]),
        (basic | {"resourceClaims": [claimed, claimed]}, [f"{field}[1]"]),
        (basic | {"resourceClaims": [claimed | {"resourceClaimName": "b"}]}, [f"{field}[0]"]),
        (basic | {"resourceClaims": [{"name": "B_"}]}, [f"{field}[0]", f"{field}[0].name"]),
        (basic | {"resourceClaims": [{"name": "", **SHARED, "resourceClaimName": "B_"}]}, [_NAME]),
        (basic | {"podGroupTemplateRef": {}}, ["spec.podGroupTemplateRef"]),
    ):
        body = {"apiVersion": GROUPS.api_version, "kind": "PodGroup", "metadata": {"name": "bad"}, "spec": spec}
        with pytest.raises(InvalidError) as refused:
            await gated.client.post(path, body)
        assert sorted({one for _, one, _ in refused.value.causes}) == sorted(fields), spec
    more = {"disruptionMode": "PodGroup", "priorityClassName": "x", "priority": 3}
    body = {"apiVersion": GROUPS.api_version, "kind": "PodGroup", "metadata": {"name": "good"}}
    good = await gated.create(path, body | {"spec": basic | more | {"resourceClaims": [claimed]}, "status": _TOLD})
    spec = {key: value for key, value in good["spec"].items() if value is not None}
    assert spec == basic | {"resourceClaims": [claimed], "disruptionMode": "Pod"}
    assert (good["status"], good["metadata"]["finalizers"]) == ({}, ["scheduling.k8s.io/podgroup-protection"])
    assert "generation" not in good["metadata"]
    for patch in ({"resourceClaims": None}, {"schedulingPolicy": {"basic": None, "gang": {"minCount": 1}}}):
        with pytest.raises(InvalidError) as refused:
            await gated.client.patch(f"{path}/good", {"spec": patch})
        assert [one for _, one, _ in refused.value.causes] == [f"spec.{next(iter(patch))}"]
    for status, fields in ((_TOLD, []), ({"resourceClaimStatuses": [{"name": "b"}]}, ["[0].name"])):
        found: list[str] = []
        try:
            await gated.client.patch(f"{path}/good/status", {"status": status})
        except InvalidError as error:
            found = [one for _, one, _ in error.causes]
        assert found == [f"status.resourceClaimStatuses{one}" for one in fields]


_COUNT = "spec.schedulingPolicy.gang.minCount"
_NAME = "spec.resourceClaims[0].resourceClaimName"
_TOLD = {"resourceClaimStatuses": [{"name": "a", "resourceClaimName": "x"}]}


@pytest.fixture
async def with_controllers(gated: Cluster, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A real control plane with kube-controller-manager, all with the gates on."""
    binaries = assets()
    if not gated.real or binaries is None or not (binaries / "kube-controller-manager").exists():
        pytest.skip("there is no kube-controller-manager beside a real control plane")
    command = [
        str(binaries / "kube-controller-manager"), f"--kubeconfig={gated.kubeconfig}", "--secure-port=0",
        f"--cert-dir={tmp_path}", "--leader-elect=false", FLAGS,
        "--controllers=resourceclaim-controller,garbage-collector-controller,podgroup-protection-controller",
    ]  # fmt: skip
    with running_process(command, tmp_path / "controllers.log"):
        yield gated


async def test_kube_controller_manager_makes_the_claim_and_takes_it_back_with_the_group(
    with_controllers: Cluster,
) -> None:
    cluster = with_controllers
    await furnish(cluster, "node-1")
    body = {"apiVersion": TEMPLATES.api_version, "kind": "ResourceClaimTemplate", "metadata": {"name": "template"}}
    await cluster.create(TEMPLATES.path(cluster.namespace), body | {"spec": {"spec": wanted()}})
    async with cluster.scheduler():
        group = await pod_group(cluster, MADE, minimum=2)
        for name in ("one", "two"):
            await member(cluster, name, MADE)
        assert set((await cluster.until_bound("one", "two", patience=90)).values()) == {"node-1"}
        (name,) = await claims(cluster)
        assert name.startswith("group-dev-")
        assert await consumers(cluster, name) == [reservation(group)]
        for pod in ("one", "two"):
            await cluster.delete_pod(pod)
        await cluster.client.delete(GROUPS.path(cluster.namespace, "group"))

        async def gone() -> bool:
            return not await claims(cluster)

        await cluster.until(gone, patience=90)
