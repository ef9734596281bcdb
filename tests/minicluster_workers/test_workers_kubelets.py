from __future__ import annotations

import pytest

from kai_py.errors import ApiError
from kai_py.minicluster import DeleteOptions, MiniCluster, pools
from kai_py.minicluster.workers import Kubelets, ManualClock

from .manifests import container, pod
from .world import World


async def test_a_bound_pod_runs_after_the_start_latency(world: World):
    [node] = world.add_nodes()
    world.storage.create("pods", pod())
    await world.pass_(100)
    assert world.phase() == "Pending"
    world.storage.bind("default", "a", node)
    await world.pass_(0.9)
    assert world.phase() == "Pending"
    await world.pass_(0.2)
    assert world.phase() == "Running"


async def test_a_running_pod_says_what_a_real_one_says(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod())
    status = world.pod()["status"]
    conditions = {one["type"]: one["status"] for one in status["conditions"]}
    assert conditions == {
        "PodScheduled": "True",
        "PodReadyToStartContainers": "True",
        "Initialized": "True",
        "Ready": "True",
        "ContainersReady": "True",
    }
    assert status["startTime"] == "2027-01-15T08:00:01Z"
    assert status["qosClass"] == "Guaranteed"
    assert status["containerStatuses"][0]["state"] == {"running": {"startedAt": "2027-01-15T08:00:01Z"}}
    assert status["hostIP"] == "10.0.0.1"


async def test_init_containers_have_ended_and_sidecars_run(world: World):
    [node] = world.add_nodes()
    manifest = pod()
    init, sidecar = container() | {"name": "init"}, container() | {"name": "side", "restartPolicy": "Always"}
    manifest["spec"]["initContainers"] = [init, sidecar]
    await world.run_on(node, manifest)
    states = {one["name"]: [*one["state"]] for one in world.pod()["status"]["initContainerStatuses"]}
    assert states == {"init": ["terminated"], "side": ["running"]}


async def test_a_pod_decides_when_it_starts(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod(start_after="30s"))
    await world.pass_(28)
    assert world.phase() == "Pending"
    await world.pass_(1)
    assert world.phase() == "Running"


@pytest.mark.parametrize(("code", "phase"), [("0", "Succeeded"), ("1", "Failed")])
async def test_a_pod_ends_after_its_duration(world: World, code: str, phase: str):
    [node] = world.add_nodes()
    await world.run_on(node, pod(duration="20s", exit=code))
    await world.pass_(19)
    assert world.phase() == "Running"
    await world.pass_(1)
    assert world.phase() == phase
    ended = world.pod()["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["startedAt"], ended["finishedAt"]) == (
        int(code),
        "2027-01-15T08:00:01Z",
        "2027-01-15T08:00:21Z",
    )
    assert world.kubelets.used(node) == {}


async def test_a_pod_without_duration_runs_for_ever(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod())
    await world.pass_(1_000_000)
    assert world.phase() == "Running"


async def test_an_annotation_that_cannot_be_read_fails_the_pod_and_names_itself(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod(duration="soon"), pod("b"))
    status = world.pod()["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "InvalidAnnotation")
    assert "minicluster.kai-py/duration" in status["message"]
    assert world.phase("b") == "Running"


async def test_a_deleted_pod_keeps_its_room_until_it_has_stopped(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod(gpus=8, stop_after="10s"))
    world.storage.delete("pods", "a", "default")
    await world.pass_(9)
    assert world.kubelets.used(node)["nvidia.com/gpu"] == 8
    await world.pass_(1)
    assert world.pods() == []
    assert world.kubelets.used(node) == {}


async def test_a_pod_that_takes_longer_than_its_grace_is_killed(world: World):
    [node] = world.add_nodes()
    manifest = pod(grace=5, stop_after="1h")
    manifest["metadata"]["finalizers"] = ["test.example/keep"]
    await world.run_on(node, manifest)
    world.storage.delete("pods", "a", "default")
    await world.pass_(5)
    state = world.pod()["status"]["containerStatuses"][0]["state"]["terminated"]
    assert state["exitCode"] == 137
    assert world.phase() == "Failed"


async def test_a_pod_that_is_stopped_has_not_succeeded(world: World):
    [node] = world.add_nodes()
    manifest = pod()
    manifest["metadata"]["finalizers"] = ["test.example/keep"]
    await world.run_on(node, manifest)
    world.storage.delete("pods", "a", "default")
    await world.pass_(1)
    assert world.phase() == "Failed"


async def test_a_second_deletion_shortens_the_grace(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod(grace=600, stop_after="1h"))
    world.storage.delete("pods", "a", "default")
    await world.pass_(10)
    world.storage.delete("pods", "a", "default", DeleteOptions(grace=1))
    await world.pass_(1)
    assert world.pods() == []


@pytest.mark.parametrize(
    ("second", "reason"),
    [(pod("b", gpus=1), "OutOfnvidia.com/gpu"), (pod("b", gpus=0, cpu="31500m"), "OutOfcpu")],
    ids=["gpu", "cpu"],
)
async def test_a_pod_for_which_there_is_no_room_is_refused_and_counted(world: World, second: dict, reason: str):
    [node] = world.add_nodes()
    await world.run_on(node, pod(gpus=8), second)
    status = world.pod("b")["status"]
    assert (status["phase"], status["reason"]) == ("Failed", reason)
    assert "Node didn't have enough resource" in status["message"]
    assert world.kubelets.overcommitted == 1
    assert world.phase("a") == "Running"


async def test_a_node_takes_exactly_as_many_pods_as_it_says(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, *(pod(f"p{i}", gpus=0, cpu="0") for i in range(111)))
    reasons = [one["status"].get("reason") for one in world.pods()]
    assert reasons.count("OutOfpods") == 1
    assert world.kubelets.overcommitted == 1


async def test_room_that_a_finished_pod_gave_back_can_be_taken(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod(gpus=8, duration="5s"))
    await world.pass_(5)
    await world.run_on(node, pod("b", gpus=8))
    assert world.phase("b") == "Running"
    assert world.kubelets.overcommitted == 0


async def test_a_pod_waits_for_a_node_that_is_late(world: World):
    world.storage.create("pods", pod())
    [node] = pools.nodes("bench", 1)
    world.storage.bind("default", "a", node["metadata"]["name"])
    await world.pass_(10)
    assert world.phase() == "Pending"
    world.add_nodes()
    await world.pass_(1)
    assert world.phase() == "Running"


async def test_nothing_happens_on_a_failed_node_until_it_is_restored(world: World):
    [node] = world.add_nodes()
    await world.run_on(node, pod(duration="20s"), pod("b"))
    world.kubelets.fail(node)
    world.storage.delete("pods", "b", "default")
    await world.pass_(60)
    assert world.phase("a") == "Running"
    assert "deletionTimestamp" in world.pod("b")["metadata"]
    world.kubelets.restore(node)
    await world.pass_(1)
    assert world.phase("a") == "Succeeded"
    assert [one["metadata"]["name"] for one in world.pods()] == ["a"]


async def test_failing_an_unknown_node_is_refused(world: World):
    await world.settle()
    with pytest.raises(ApiError, match="not found"):
        world.kubelets.fail("nowhere")


async def test_pods_that_run_already_are_taken_over():
    clock = ManualClock()
    first, second = Kubelets(clock=clock, start_after=0), Kubelets(clock=clock, start_after=0)
    world = World()
    world.clock, world.cluster = clock, MiniCluster(workers=[first.run])
    async with world.cluster:
        [node] = world.add_nodes()
        await world.run_on(node, pod(gpus=8, duration="60s"))
        storage = world.storage
    successor = World()
    successor.clock, successor.cluster = clock, MiniCluster(workers=[second.run])
    successor.cluster.storage = storage
    async with successor.cluster:
        await successor.pass_(30)
        assert second.used(node)["nvidia.com/gpu"] == 8
        assert successor.phase() == "Running"
        await successor.pass_(30)
        assert successor.phase() == "Succeeded"


async def test_nodes_renew_their_leases_only_while_they_are_up():
    clock = ManualClock()
    kubelets = Kubelets(clock=clock, heartbeat=10)
    world = World()
    world.clock, world.cluster = clock, MiniCluster(workers=[kubelets.run])

    def renewed() -> str:
        lease = world.storage.get("leases.coordination.k8s.io", node, "kube-node-lease")
        return str(lease["spec"]["renewTime"])

    async with world.cluster:
        [node] = world.add_nodes()
        await world.settle()
        first = renewed()
        await world.pass_(10)
        second = renewed()
        kubelets.fail(node)
        await world.pass_(10)
        assert first < second == renewed()
        kubelets.restore(node)
        await world.pass_(10)
        assert renewed() > second


async def test_a_pod_starts_only_when_its_claims_are_reserved_for_it(world: World):
    [node] = world.add_nodes()
    manifest = pod()
    manifest["spec"]["resourceClaims"] = [{"name": "gpu", "resourceClaimName": "shared"}]
    world.storage.create(
        "resourceclaims.resource.k8s.io", {"metadata": {"name": "shared", "namespace": "default"}, "spec": {}}
    )
    await world.run_on(node, manifest)
    await world.pass_(5)
    assert world.phase() == "Pending"
    claim = world.storage.get("resourceclaims.resource.k8s.io", "shared", "default")
    consumer = {"resource": "pods", "name": "a", "uid": world.pod()["metadata"]["uid"]}
    claim["status"] = {"allocation": {"devices": {}}, "reservedFor": [consumer]}
    world.storage.update("resourceclaims.resource.k8s.io", claim, subresource="status")
    await world.pass_(1)
    assert world.phase() == "Running"
