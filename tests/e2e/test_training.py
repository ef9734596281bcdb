"""From the manifest of a training to its end: controllers of the embedded cluster make pods, the scheduler the gang."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from .harness import Cluster, Json

EXAMPLES = Path(__file__).parents[2] / "examples" / "workloads"
_DURATION = "minicluster.kai-py/duration"


def example(name: str) -> Json:
    """A manifest whose pods end by themselves."""
    manifest: Json = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    for template in _templates(manifest["spec"]):
        meta = template.setdefault("metadata", {})
        meta["annotations"] = (meta.get("annotations") or {}) | {_DURATION: "1s"}
    return manifest


def _templates(spec: Json) -> list[Json]:
    if "pytorchReplicaSpecs" in spec:
        return [role["template"] for role in spec["pytorchReplicaSpecs"].values()]
    return [job["template"]["spec"]["template"] for job in spec["replicatedJobs"]]


@pytest.mark.parametrize(
    ("name", "path", "pods", "end"),
    [
        ("pytorchjob", "/apis/kubeflow.org/v1/namespaces/default/pytorchjobs", 5, "Succeeded"),
        ("jobset", "/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets", 9, "Completed"),
    ],
)
async def test_a_training_is_applied_bound_as_a_gang_and_completes(
    lively: Cluster, name: str, path: str, pods: int, end: str
) -> None:
    manifest = example(name)
    async with lively.scheduler():
        await lively.create(path, manifest)

        async def bound() -> bool:
            return len(await lively.places()) == pods

        await lively.until(bound)
        [group] = (await lively.until(lively.podgroups)).values()
        assert group["spec"]["queue"] == "research"
        assert group["metadata"]["name"].startswith(f"pg-{manifest['metadata']['name']}-")

        async def ended() -> bool:
            found = await lively.client.get_object(f"{path}/{manifest['metadata']['name']}")
            conditions = found.get("status", {}).get("conditions", ())
            return any(one["type"] == end and one["status"] == "True" for one in conditions)

        await lively.until(ended)


async def test_an_example_runs_with_the_queue_and_topology_that_come_with_it(bare: Cluster) -> None:
    async with bare.scheduler():
        for document in yaml.safe_load_all((EXAMPLES / "before" / "queue-and-topology.yaml").read_text("utf-8")):
            group, version = document["apiVersion"].split("/")
            plural = {"Queue": "queues", "Topology": "topologies"}[document["kind"]]
            await bare.create(f"/apis/{group}/{version}/{plural}", document)
        await bare.create("/apis/kubeflow.org/v1/namespaces/default/pytorchjobs", example("pytorchjob"))

        async def bound() -> bool:
            return len(await bare.places()) == 5

        await bare.until(bound)


async def test_a_training_that_does_not_fit_has_no_pod_running(lively: Cluster) -> None:
    manifest = example("pytorchjob")
    manifest["spec"]["pytorchReplicaSpecs"]["Worker"]["replicas"] = 10
    async with lively.scheduler():
        await lively.create("/apis/kubeflow.org/v1/namespaces/default/pytorchjobs", manifest)
        await lively.until(lambda: lively.message("pytorchjob-master-0"))
        assert len(await lively.pods()) == 11
        assert await lively.places() == {}


async def test_what_depends_on_the_end_of_another_part_starts_after_it(lively: Cluster) -> None:
    """As a TrainJob's nodes wait for the initializers: who waited for all at once would wait for ever."""
    manifest = example("jobset")
    first, second, *_ = manifest["spec"]["replicatedJobs"]
    second["dependsOn"] = [{"name": first["name"], "status": "Complete"}]
    manifest["spec"]["replicatedJobs"] = [first, second]
    manifest["spec"].pop("startupPolicy", None)
    async with lively.scheduler():
        await lively.create("/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets", manifest)

        async def ended() -> bool:
            found = await lively.client.get_object(
                f"/apis/jobset.x-k8s.io/v1alpha2/namespaces/default/jobsets/{manifest['metadata']['name']}"
            )
            conditions = found.get("status", {}).get("conditions", ())
            return any(one["type"] == "Completed" and one["status"] == "True" for one in conditions)

        await lively.until(ended)
