"""JobSets and PyTorchJobs: what their controllers make, and how they end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kai_py.minicluster import RefusedError
from kai_py.minicluster.kinds import CRDS, EVENTS

from .manifests import container
from .world import World

Object = dict[str, Any]

JOBSETS = "jobsets.jobset.x-k8s.io"
PYTORCH = "pytorchjobs.kubeflow.org"
JOBS = "jobs.batch"
EXAMPLES = Path(__file__).parents[2] / "examples" / "workloads"
_JS = "jobset.sigs.k8s.io/"
_KF = "training.kubeflow.org/"


def template(**annotations: str) -> Object:
    return {
        "metadata": {"labels": {"team": "vision"}, "annotations": annotations},
        "spec": {"containers": [container()]},
    }


def jobset(*parts: tuple[str, int, int], **spec: Any) -> Object:
    """Parts are name, replicas, pods of each."""
    jobs = [
        {
            "name": name,
            "replicas": replicas,
            "template": {
                "spec": {"parallelism": pods, "completions": pods, "backoffLimit": 0, "template": template()},
            },
        }
        for name, replicas, pods in parts
    ]
    meta = {"name": "train", "namespace": "default"}
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": meta,
        "spec": {"replicatedJobs": jobs, **spec},
    }


def pytorch(masters: int | None = 1, workers: int | None = 2, restart: str = "OnFailure", **policy: Any) -> Object:
    roles = {"Master": masters, "Worker": workers}
    specs = {
        role: {"replicas": count, "restartPolicy": restart, "template": template()}
        for role, count in roles.items()
        if count is not None
    }
    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "train", "namespace": "default"},
        "spec": {"pytorchReplicaSpecs": specs, "runPolicy": policy},
    }


async def submit(world: World, kind: str, manifest: Object) -> Object:
    made = world.storage.create(kind, manifest)
    await world.settle()
    return made


async def end(world: World, *names: str, phase: str = "Succeeded", code: int = 0) -> None:
    """What kubelets would say about pods that have ended."""
    ended = {"name": "main", "state": {"terminated": {"exitCode": code}}, "image": "", "imageID": "", "ready": False}
    for name in names:
        status = {"phase": phase, "containerStatuses": [ended | {"restartCount": 0}]}
        world.storage.patch("pods", name, {"status": status}, "default", subresource="status")
    await world.settle()


async def start(world: World, *names: str) -> None:
    for name in names:
        ready = [{"type": "Ready", "status": "True"}]
        status = {"phase": "Running", "conditions": ready}
        world.storage.patch("pods", name, {"status": status}, "default", subresource="status")
    await world.settle()


def of(world: World, **labels: str) -> list[str]:
    """Names of the pods with labels of JobSet."""
    wanted = {f"{_JS}{key.replace('_', '-')}": text for key, text in labels.items()}
    return [one["metadata"]["name"] for one in world.pods() if wanted.items() <= one["metadata"]["labels"].items()]


def status(world: World, kind: str) -> Object:
    return dict(world.storage.get(kind, "train", "default").get("status") or {})


def holds(world: World, kind: str) -> list[str]:
    return [one["type"] for one in status(world, kind).get("conditions", ()) if one["status"] == "True"]


def jobs(world: World) -> list[str]:
    return [one["metadata"]["name"] for one in world.storage.list(JOBS, "default")]


async def test_jobs_and_pods_of_a_jobset_look_like_the_real_ones(world: World):
    made = await submit(world, JOBSETS, jobset(("driver", 1, 1), ("worker", 2, 2)))
    assert jobs(world) == ["train-driver-0", "train-worker-0", "train-worker-1"]
    job = world.storage.get(JOBS, "train-worker-1", "default")
    [owner] = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("JobSet", made["metadata"]["uid"], True)
    marks = {
        f"{_JS}jobset-name": "train",
        f"{_JS}replicatedjob-name": "worker",
        f"{_JS}replicatedjob-replicas": "2",
        f"{_JS}global-replicas": "3",
        f"{_JS}job-index": "1",
        f"{_JS}job-global-index": "2",
        f"{_JS}restart-attempt": "0",
    }
    key = job["metadata"]["labels"][f"{_JS}job-key"]
    assert len(key) == 40
    assert job["metadata"]["labels"].items() >= marks.items()
    assert job["spec"]["completionMode"] == "Indexed"
    pods = [one for one in world.pods() if one["metadata"]["name"].startswith("train-worker-1-")]
    assert len(pods) == 2
    for pod in pods:
        assert pod["metadata"]["labels"].items() >= (marks | {"team": "vision", f"{_JS}job-key": key}).items()
        assert pod["metadata"]["annotations"].items() >= marks.items()
        assert (pod["spec"]["subdomain"], pod["spec"]["restartPolicy"]) == ("train", "OnFailure")
    indexes = {pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for pod in pods}
    assert indexes == {"0", "1"}


async def test_a_jobset_is_complete_with_the_jobs_of_its_success_policy(world: World):
    policy = {"operator": "All", "targetReplicatedJobs": ["driver"]}
    await submit(world, JOBSETS, jobset(("driver", 1, 1), ("worker", 1, 2), successPolicy=policy))
    await start(world, *of(world))
    counts = {one["name"]: one for one in status(world, JOBSETS)["replicatedJobsStatus"]}
    assert counts["worker"] == {"name": "worker", "ready": 1, "active": 1, "succeeded": 0, "failed": 0, "suspended": 0}
    assert holds(world, JOBSETS) == []
    await end(world, *of(world, replicatedjob_name="driver"))
    assert holds(world, JOBSETS) == ["Completed"]
    assert status(world, JOBSETS)["terminalState"] == "Completed"
    await world.comes(lambda: jobs(world) == ["train-driver-0"])
    assert jobs(world) == ["train-driver-0"]


async def test_a_failed_job_restarts_the_whole_jobset_as_often_as_the_policy_says(world: World):
    await submit(world, JOBSETS, jobset(("worker", 2, 1), failurePolicy={"maxRestarts": 1}))
    before = of(world)
    await end(world, before[0], phase="Failed", code=1)
    assert await world.comes(lambda: len(of(world, restart_attempt="1")) == 2)
    assert not set(before) & set(of(world))
    assert status(world, JOBSETS)["restarts"] == 1
    await end(world, of(world)[0], phase="Failed", code=1)
    assert holds(world, JOBSETS) == ["Failed"]
    assert status(world, JOBSETS)["restarts"] == 1


@pytest.mark.parametrize(
    ("rule", "restarts", "state"),
    [
        ({"action": "FailJobSet", "targetReplicatedJobs": ["worker"]}, 0, ["Failed"]),
        ({"action": "FailJobSet", "targetReplicatedJobs": ["other"]}, 1, []),
        ({"action": "FailJobSet", "onJobFailureReasons": ["BackoffLimitExceeded"]}, 0, ["Failed"]),
        ({"action": "RestartJobSetAndIgnoreMaxRestarts"}, 1, []),
    ],
)
async def test_rules_of_a_failure_policy_say_what_a_failure_means(
    world: World, rule: Object, restarts: int, state: list[str]
):
    most = 0 if rule["action"].endswith("MaxRestarts") else 1
    await submit(world, JOBSETS, jobset(("worker", 1, 1), failurePolicy={"maxRestarts": most, "rules": [rule]}))
    await end(world, *of(world), phase="Failed", code=1)
    assert (status(world, JOBSETS).get("restarts", 0), holds(world, JOBSETS)) == (restarts, state)


async def test_in_order_each_part_waits_for_the_one_before(world: World):
    policy = {"startupPolicyOrder": "InOrder"}
    await submit(world, JOBSETS, jobset(("driver", 1, 1), ("worker", 1, 2), startupPolicy=policy))
    assert jobs(world) == ["train-driver-0"]
    await start(world, *of(world))
    assert jobs(world) == ["train-driver-0", "train-worker-0"]


async def test_a_part_waits_for_what_it_depends_on(world: World):
    manifest = jobset(("data", 1, 1), ("worker", 1, 1))
    manifest["spec"]["replicatedJobs"][1]["dependsOn"] = [{"name": "data", "status": "Complete"}]
    await submit(world, JOBSETS, manifest)
    await start(world, *of(world))
    assert jobs(world) == ["train-data-0"]
    await end(world, *of(world))
    assert jobs(world) == ["train-data-0", "train-worker-0"]


async def test_a_suspended_jobset_has_jobs_without_pods(world: World):
    await submit(world, JOBSETS, jobset(("worker", 1, 1), suspend=True))
    assert (jobs(world), of(world), holds(world, JOBSETS)) == (["train-worker-0"], [], ["Suspended"])
    world.storage.patch(JOBSETS, "train", {"spec": {"suspend": False}}, "default")
    await world.settle()
    assert (len(of(world)), holds(world, JOBSETS)) == (1, [])


async def test_a_job_that_is_refused_is_told_in_an_event(world: World):
    manifest = jobset(("worker", 1, 2))
    del manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["completions"]
    await submit(world, JOBSETS, manifest)
    [event] = world.storage.list(EVENTS.key, "default")
    assert (event["reason"], event["involvedObject"]["name"]) == ("JobCreationFailed", "train")
    assert "spec.completions" in event["message"]


async def test_pods_of_a_pytorchjob_look_like_the_real_ones(world: World):
    made = await submit(world, PYTORCH, pytorch())
    assert [one["metadata"]["name"] for one in world.pods()] == ["train-master-0", "train-worker-0", "train-worker-1"]
    pod = world.pod("train-worker-1")
    assert pod["metadata"]["labels"] == {
        "team": "vision",
        f"{_KF}job-name": "train",
        f"{_KF}operator-name": "pytorchjob-controller",
        f"{_KF}replica-type": "worker",
        f"{_KF}replica-index": "1",
    }
    assert world.pod("train-master-0")["metadata"]["labels"][f"{_KF}job-role"] == "master"
    [owner] = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("PyTorchJob", made["metadata"]["uid"], True)
    environment = {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}
    assert environment["MASTER_ADDR"] == "train-master-0"
    assert (environment["WORLD_SIZE"], environment["RANK"]) == ("3", "2")
    assert holds(world, PYTORCH) == ["Created"]


async def test_the_master_decides_when_a_pytorchjob_is_complete(world: World):
    await submit(world, PYTORCH, pytorch(cleanPodPolicy="Running"))
    await start(world, "train-master-0", "train-worker-0", "train-worker-1")
    assert holds(world, PYTORCH) == ["Created", "Running"]
    assert status(world, PYTORCH)["replicaStatuses"]["Worker"]["active"] == 2
    await end(world, "train-worker-0")
    assert holds(world, PYTORCH) == ["Created", "Running"]
    await end(world, "train-master-0")
    assert holds(world, PYTORCH) == ["Created", "Succeeded"]
    assert "completionTime" in status(world, PYTORCH)
    assert status(world, PYTORCH)["replicaStatuses"]["Master"]["succeeded"] == 1
    # An unbound pod goes at once; the one that has succeeded stays.
    assert [one["metadata"]["name"] for one in world.pods()] == ["train-master-0", "train-worker-0"]


async def test_without_a_master_all_workers_have_to_succeed(world: World):
    await submit(world, PYTORCH, pytorch(masters=None))
    assert world.pod("train-worker-0")["metadata"]["labels"][f"{_KF}job-role"] == "master"
    await end(world, "train-worker-0")
    assert "Succeeded" not in holds(world, PYTORCH)
    await end(world, "train-worker-1")
    assert "Succeeded" in holds(world, PYTORCH)


@pytest.mark.parametrize(
    ("policy", "code", "state"),
    [
        ("OnFailure", 1, "Restarting"),
        ("Never", 1, "Failed"),
        ("ExitCode", 1, "Failed"),
        ("ExitCode", 137, "Restarting"),
    ],
)
async def test_a_restart_policy_says_whether_a_failed_pod_is_made_again(
    world: World, policy: str, code: int, state: str
):
    await submit(world, PYTORCH, pytorch(restart=policy))
    before = world.pod("train-worker-0")["metadata"]["uid"]
    await end(world, "train-worker-0", phase="Failed", code=code)
    assert holds(world, PYTORCH) == ["Created", state]
    assert (world.pod("train-worker-0")["metadata"]["uid"] != before) == (state == "Restarting")


async def test_pods_that_fail_too_often_fail_the_pytorchjob(world: World):
    await submit(world, PYTORCH, pytorch(backoffLimit=1))
    await end(world, "train-worker-0", phase="Failed", code=1)
    assert holds(world, PYTORCH) == ["Created", "Restarting"]
    await end(world, "train-worker-0", phase="Failed", code=1)
    assert "Failed" in holds(world, PYTORCH)


async def test_a_pytorchjob_scales_suspends_and_goes_when_its_time_is_over(world: World):
    await submit(world, PYTORCH, pytorch(ttlSecondsAfterFinished=60))
    scale = {"spec": {"pytorchReplicaSpecs": {"Worker": {"replicas": 1}}}}
    world.storage.patch(PYTORCH, "train", scale, "default")
    await world.settle()
    assert [one["metadata"]["name"] for one in world.pods()] == ["train-master-0", "train-worker-0"]
    world.storage.patch(PYTORCH, "train", {"spec": {"runPolicy": {"suspend": True}}}, "default")
    await world.settle()
    assert (world.pods(), holds(world, PYTORCH)) == ([], ["Created", "Suspended"])
    world.storage.patch(PYTORCH, "train", {"spec": {"runPolicy": {"suspend": False}}}, "default")
    await world.settle()
    await end(world, "train-master-0")
    assert "Succeeded" in holds(world, PYTORCH)
    await world.pass_(61)
    assert world.storage.find(PYTORCH, "train", "default") is None


async def test_kinds_that_come_later_are_followed_and_those_that_go_are_let_go(world: World):
    for name in (JOBSETS, PYTORCH):
        crd = world.storage.get(CRDS.key, name)
        world.storage.delete(CRDS.key, name)
        await world.settle()
        assert world.storage.find(CRDS.key, name) is None
        crd["metadata"] = {"name": name}
        del crd["status"]
        world.storage.create(CRDS.key, crd)
        await world.settle()
    await submit(world, PYTORCH, pytorch(workers=None))
    assert [one["metadata"]["name"] for one in world.pods()] == ["train-master-0"]


def test_schemas_refuse_what_the_controllers_do_not_do(world: World):
    recreate = {"maxRestarts": 1, "rules": [{"action": "RecreateJob"}]}
    with pytest.raises(RefusedError, match="action"):
        world.storage.create(JOBSETS, jobset(("worker", 1, 1), failurePolicy=recreate))
    with pytest.raises(RefusedError, match="restartPolicy"):
        world.storage.create(PYTORCH, pytorch(restart="Sometimes"))


@pytest.mark.parametrize(("name", "kind", "pods"), [("pytorchjob", PYTORCH, 5), ("jobset", JOBSETS, 9)])
async def test_the_example_makes_its_pods(world: World, name: str, kind: str, pods: int):
    await submit(world, kind, yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8")))
    assert len(world.pods()) == pods
