from __future__ import annotations

from typing import Any

from kai_py.minicluster import DeleteOptions

from .manifests import job
from .world import World

JOBS = "jobs.batch"


async def submit(world: World, manifest: dict[str, Any]) -> dict[str, Any]:
    made = world.storage.create(JOBS, manifest)
    await world.settle()
    return made


def status(world: World) -> dict[str, Any]:
    return dict(world.storage.get(JOBS, "train", "default")["status"])


def true_conditions(world: World) -> list[str]:
    return [one["type"] for one in status(world).get("conditions", ()) if one["status"] == "True"]


def active(world: World) -> list[dict[str, Any]]:
    finished = ("Succeeded", "Failed")
    return [
        one
        for one in world.pods()
        if one["status"]["phase"] not in finished and "deletionTimestamp" not in one["metadata"]
    ]


def indexes(world: World) -> list[str]:
    key = "batch.kubernetes.io/job-completion-index"
    return sorted(one["metadata"]["annotations"][key] for one in active(world))


async def end(world: World, pod: dict[str, Any], phase: str) -> None:
    """What a kubelet would say about a pod that has ended."""
    world.storage.patch("pods", pod["metadata"]["name"], {"status": {"phase": phase}}, "default", subresource="status")
    await world.settle()


async def test_pods_of_a_job_look_like_a_real_jobs(world: World):
    made = await submit(world, job(parallelism=1))
    [one] = world.pods()
    meta, uid = one["metadata"], made["metadata"]["uid"]
    assert meta["name"].startswith("train-")
    assert meta["labels"] == {
        "team": "vision",
        "batch.kubernetes.io/job-name": "train",
        "job-name": "train",
        "batch.kubernetes.io/controller-uid": uid,
        "controller-uid": uid,
    }
    [owner] = meta["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("Job", "train", uid, True)
    assert meta["finalizers"] == ["batch.kubernetes.io/job-tracking"]


async def test_a_job_keeps_parallelism_pods_until_all_have_completed(world: World):
    await submit(world, job(parallelism=2, completions=3))
    assert len(active(world)) == 2
    await end(world, active(world)[0], "Succeeded")
    assert len(active(world)) == 2
    for one in active(world):
        await end(world, one, "Succeeded")
    assert len(world.pods()) == 3
    assert true_conditions(world) == ["SuccessCriteriaMet", "Complete"]
    assert status(world)["succeeded"] == 3
    assert "active" not in status(world)
    assert "completionTime" in status(world)


async def test_finished_pods_lose_the_finalizer_when_they_are_counted(world: World):
    await submit(world, job(parallelism=1))
    await end(world, active(world)[0], "Succeeded")
    assert [one["metadata"].get("finalizers") for one in world.pods()] == [None]


async def test_a_job_on_kubelets_runs_to_its_end(world: World):
    [node] = world.add_nodes()
    manifest = job(parallelism=4, completions=4)
    manifest["spec"]["template"]["metadata"]["annotations"] = {"minicluster.kai-py/duration": "20s"}
    await submit(world, manifest)
    for one in world.pods():
        world.storage.bind("default", one["metadata"]["name"], node)
    await world.pass_(1)
    assert (status(world)["active"], status(world)["ready"]) == (4, 4)
    await world.pass_(20)
    assert true_conditions(world) == ["SuccessCriteriaMet", "Complete"]


async def test_indexed_jobs_give_each_pod_its_index(world: World):
    await submit(world, job(parallelism=2, completions=3, completionMode="Indexed"))
    first = next(one for one in world.pods() if one["spec"]["hostname"] == "train-0")
    assert first["metadata"]["name"].startswith("train-0-")
    assert first["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "0"
    assert first["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
    assert indexes(world) == ["0", "1"]


async def test_an_index_is_completed_once(world: World):
    await submit(world, job(parallelism=3, completions=5, completionMode="Indexed"))
    for one in active(world)[:2]:
        await end(world, one, "Succeeded")
    assert status(world)["completedIndexes"] == "0-1"
    assert indexes(world) == ["2", "3", "4"]


async def test_a_failed_pod_is_made_again_after_the_backoff(world: World):
    await submit(world, job(parallelism=1))
    await end(world, active(world)[0], "Failed")
    assert status(world)["failed"] == 1
    await world.pass_(9)
    assert active(world) == []
    await world.pass_(1)
    [again] = active(world)
    await end(world, again, "Failed")
    await world.pass_(19)
    assert active(world) == []
    await world.pass_(1)
    assert len(active(world)) == 1


async def test_a_success_shortens_the_backoff_again(world: World):
    await submit(world, job(parallelism=1, completions=2))
    await end(world, active(world)[0], "Failed")
    await world.pass_(10)
    await end(world, active(world)[0], "Succeeded")
    await end(world, active(world)[0], "Failed")
    await world.pass_(10)
    assert len(active(world)) == 1


async def test_a_failed_index_is_made_again_under_the_same_index(world: World):
    await submit(world, job(parallelism=3, completions=3, completionMode="Indexed"))
    await end(world, active(world)[1], "Failed")
    assert indexes(world) == ["0", "2"]
    await world.pass_(10)
    assert indexes(world) == ["0", "1", "2"]


async def test_a_deleted_pod_counts_as_failed_and_is_made_again(world: World):
    await submit(world, job(parallelism=2))
    world.storage.delete("pods", active(world)[0]["metadata"]["name"], "default")
    await world.settle()
    assert status(world)["failed"] == 1
    assert len(world.pods()) == 1
    await world.pass_(10)
    assert len(active(world)) == 2


async def test_a_pod_that_terminates_slowly_is_counted_once(world: World):
    [node] = world.add_nodes()
    manifest = job(parallelism=1)
    manifest["spec"]["template"]["metadata"]["annotations"] = {"minicluster.kai-py/stop-after": "25s"}
    await submit(world, manifest)
    name = world.pods()[0]["metadata"]["name"]
    world.storage.bind("default", name, node)
    await world.pass_(1)
    world.storage.delete("pods", name, "default")
    await world.settle()
    assert (status(world)["failed"], status(world)["terminating"]) == (1, 1)
    await world.pass_(25)
    assert (status(world)["failed"], status(world)["terminating"]) == (1, 0)


async def test_a_replacement_waits_for_the_old_pod_if_the_policy_says_so(world: World):
    [node] = world.add_nodes()
    manifest = job(parallelism=1, podReplacementPolicy="Failed")
    manifest["spec"]["template"]["metadata"]["annotations"] = {"minicluster.kai-py/stop-after": "25s"}
    await submit(world, manifest)
    name = world.pods()[0]["metadata"]["name"]
    world.storage.bind("default", name, node)
    await world.pass_(1)
    world.storage.delete("pods", name, "default")
    await world.pass_(24)
    assert active(world) == []
    assert "failed" not in status(world)
    await world.pass_(1)
    await world.pass_(10)
    assert len(active(world)) == 1


async def test_too_many_failures_fail_the_job_and_stop_its_other_pods(world: World):
    await submit(world, job(parallelism=3, completions=3, backoffLimit=0))
    await end(world, active(world)[0], "Failed")
    assert true_conditions(world) == ["FailureTarget", "Failed"]
    [failed] = [one for one in status(world)["conditions"] if one["type"] == "Failed"]
    assert failed["reason"] == "BackoffLimitExceeded"
    assert active(world) == []
    await world.pass_(1000)
    assert active(world) == []


async def test_a_deadline_fails_the_job(world: World):
    await submit(world, job(parallelism=1, activeDeadlineSeconds=60))
    await world.pass_(59)
    assert true_conditions(world) == []
    await world.pass_(1)
    assert status(world)["conditions"][0]["reason"] == "DeadlineExceeded"
    assert true_conditions(world) == ["FailureTarget", "Failed"]


async def test_a_suspended_job_has_no_pods_and_no_failures(world: World):
    await submit(world, job(parallelism=2))
    world.storage.patch(JOBS, "train", {"spec": {"suspend": True}}, "default")
    await world.settle()
    assert world.pods() == []
    assert true_conditions(world) == ["Suspended"]
    assert "failed" not in status(world)
    world.storage.patch(JOBS, "train", {"spec": {"suspend": False}}, "default")
    await world.settle()
    assert len(active(world)) == 2
    assert true_conditions(world) == []


async def test_lower_parallelism_gives_up_unbound_pods_first(world: World):
    [node] = world.add_nodes()
    await submit(world, job(parallelism=3))
    bound = active(world)[1]["metadata"]["name"]
    world.storage.bind("default", bound, node)
    await world.settle()
    world.storage.patch(JOBS, "train", {"spec": {"parallelism": 1}}, "default")
    await world.settle()
    assert [one["metadata"]["name"] for one in active(world)] == [bound]
    assert "failed" not in status(world)


async def test_a_work_queue_is_complete_when_one_has_succeeded_and_none_is_left(world: World):
    await submit(world, job(parallelism=2))
    first, second = active(world)
    await end(world, first, "Succeeded")
    assert len(active(world)) == 1
    assert true_conditions(world) == []
    await end(world, second, "Succeeded")
    assert true_conditions(world) == ["SuccessCriteriaMet", "Complete"]


async def test_a_finished_job_is_deleted_with_its_pods_after_its_time_to_live(world: World):
    await submit(world, job(parallelism=1, ttlSecondsAfterFinished=30))
    await end(world, active(world)[0], "Succeeded")
    await world.pass_(29)
    assert len(world.storage.list(JOBS)) == 1
    await world.pass_(1)
    assert world.storage.list(JOBS) == []
    assert world.pods() == []


async def test_a_deleted_job_lets_its_pods_go(world: World):
    await submit(world, job(parallelism=2))
    world.storage.delete(JOBS, "train", "default", DeleteOptions(propagation="Background"))
    assert await world.comes(lambda: world.pods() == [])


async def test_a_job_that_is_made_again_starts_from_nothing(world: World):
    await submit(world, job(parallelism=1))
    await end(world, active(world)[0], "Failed")
    world.storage.delete(JOBS, "train", "default", DeleteOptions(propagation="Background"))
    made = await submit(world, job(parallelism=1))
    [one] = active(world)
    assert one["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
    assert "failed" not in status(world)


async def test_pods_of_an_earlier_job_of_this_name_go_and_do_not_count(world: World):
    await submit(world, job(parallelism=2))
    old = {one["metadata"]["uid"] for one in world.pods()}
    world.storage.delete(JOBS, "train", "default", DeleteOptions(propagation="Background"))
    await submit(world, job(parallelism=1))
    left = {one["metadata"]["uid"] for one in world.pods()}
    assert len(left) == 1
    assert not left & old
    assert status(world)["active"] == 1


async def test_a_template_that_is_refused_is_tried_again(world: World):
    manifest = job(parallelism=1)
    manifest["spec"]["template"]["spec"]["priorityClassName"] = "late"
    await submit(world, manifest)
    assert world.pods() == []
    world.storage.create("priorityclasses.scheduling.k8s.io", {"metadata": {"name": "late"}, "value": 1})
    await world.pass_(10)
    assert len(world.pods()) == 1


async def test_a_job_with_hundreds_of_pods_gets_them_all(world: World):
    await submit(world, job(parallelism=450, completions=450, completionMode="Indexed"))
    assert await world.comes(lambda: status(world).get("active") == 450)
    assert len({one["spec"]["hostname"] for one in world.pods()}) == 450
