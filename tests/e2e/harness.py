"""What an end-to-end test says about a cluster: nodes, queues, pods in, and where they ended up."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from kai_py.errors import ConflictError, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.listing import list_all
from kai_py.operators.kinds import (
    CLAIMS,
    NODES,
    OWNERS,
    PODGROUPS,
    PODS,
    PRIORITY_CLASSES,
    QUEUES,
    VOLUME_CLAIMS,
    VOLUMES,
)
from kai_py.operators.run import RunConfig, run_scheduler
from kai_py.operators.share_templates import CLAIM_TEMPLATES

Json = dict[str, Any]
PATIENCE = 20.0
UNLIMITED = {"quota": -1, "limit": -1, "overQuotaWeight": 1}

_names = itertools.count()


@dataclass
class Cluster:
    """One API server with a scheduler that may run against it.

    Attributes:
        kubeconfig: of an administrator.
        client: to act as a user.
        namespace: a fresh one for the test.
        real: whether it is a real kube-apiserver.
        faults: the embedded server's fault injector, None on a real one.
    """

    kubeconfig: Path
    client: ApiClient
    namespace: str
    real: bool
    faults: Any = None
    _made: list[str] = field(default_factory=list)

    # -- what users do -----------------------------------------------------------------------------

    async def create(self, path: str, obj: Json) -> Json:
        """Create an object; it is deleted after the test."""
        created: Json = msgspec.json.decode(await self.client.post(path, obj))
        self._made.append(f"{path}/{created['metadata']['name']}")
        return created

    async def nodes(self, count: int, *, gpus: int = 8, prefix: str = "node", **labels: str) -> list[str]:
        """Nodes that are ready, with 64 cpus and 256 Gi each."""
        names = [f"{prefix}-{number}" for number in range(count)]
        for name in names:
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
            await self.create(NODES.path(), node)
            amounts = {"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
            status = {"allocatable": amounts, "capacity": amounts, "conditions": [{"type": "Ready", "status": "True"}]}
            await self.client.patch(NODES.path("", name, "status"), {"status": status})
            # Admission marks a new node not ready; nobody here takes that back.
            await self.client.patch(NODES.path("", name), {"spec": {"taints": None}})
        return names

    async def queue(self, name: str, parent: str = "", *, priority: int = 100, **gpu: float) -> None:
        """A queue, unlimited but for what is said about GPUs (quota, limit, overQuotaWeight)."""
        resources = {"cpu": UNLIMITED, "memory": UNLIMITED, "gpu": {**UNLIMITED, **gpu}}
        spec: Json = {"resources": resources, "priority": priority} | ({"parentQueue": parent} if parent else {})
        queue = {"apiVersion": "scheduling.run.ai/v2", "kind": "Queue", "metadata": {"name": name}, "spec": spec}
        await self.create(QUEUES.path(), queue)

    async def priority(self, name: str, value: int) -> None:
        """A PriorityClass."""
        path = PRIORITY_CLASSES.path()
        await self.create(path, {**_named("scheduling.k8s.io/v1", "PriorityClass", name), "value": value})

    async def pod(
        self, name: str, *, gpus: int = 1, queue: str = "team", group: str = "", app: str = "", **spec: Any
    ) -> Json:
        """A pod of ours."""
        labels = {"kai.scheduler/queue": queue} | ({"app": app} if app else {})
        metadata: Json = {"name": name, "labels": labels}
        if group:
            metadata["annotations"] = {"pod-group-name": group}
        if "owner" in spec:
            metadata["ownerReferences"] = [spec.pop("owner")]
        amounts = {"cpu": "1", "memory": "1Gi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
        container = {
            "name": "main",
            "image": "example.com/main:1",
            "resources": {"requests": amounts, "limits": amounts},
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {"schedulerName": "kai-scheduler", "containers": [container], **spec},
        }
        return await self.create(PODS.path(self.namespace), pod)

    async def gang(
        self, name: str, *, pods: int, gpus: int = 1, queue: str = "team", minimum: int | None = None
    ) -> None:
        """A PodGroup and its pods."""
        podgroup = {
            "apiVersion": "scheduling.run.ai/v2alpha2",
            "kind": "PodGroup",
            "metadata": {"name": name},
            "spec": {"minMember": pods if minimum is None else minimum, "queue": queue},
        }
        await self.create(PODGROUPS.path(self.namespace), podgroup)
        for number in range(pods):
            await self.pod(f"{name}-{number}", gpus=gpus, queue=queue, group=name)

    async def delete_pod(self, name: str) -> None:
        """Delete a pod at once, as its kubelet would after the grace period."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
        await self.client.delete(PODS.path(self.namespace, name), options)

    # -- what can be seen --------------------------------------------------------------------------

    async def pods(self) -> dict[str, Json]:
        """All pods of the test by name."""
        return {pod["metadata"]["name"]: pod for pod in await list_all(self.client, PODS, self.namespace)}

    async def places(self) -> dict[str, str]:
        """Node by pod, of those that have one."""
        pods = await self.pods()
        return {name: pod["spec"]["nodeName"] for name, pod in pods.items() if pod["spec"].get("nodeName")}

    async def podgroups(self) -> dict[str, Json]:
        """All podgroups of the test by name."""
        return {one["metadata"]["name"]: one for one in await list_all(self.client, PODGROUPS, self.namespace)}

    async def message(self, pod: str) -> str:
        """What the pod's PodScheduled condition says while it is False; else empty."""
        for condition in (await self.pods())[pod].get("status", {}).get("conditions", []):
            if condition["type"] == "PodScheduled" and condition["status"] == "False":
                return str(condition.get("message", ""))
        return ""

    async def messages(self) -> dict[str, str]:
        """The same of all pods that wait and were told why."""
        found = {name: await self.message(name) for name in await self.pods()}
        return {name: message for name, message in found.items() if message}

    async def until(self, what: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """Wait until an awaitable condition gives something truthy, and return that."""
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            found = await what()
            if found:
                return found
            assert asyncio.get_running_loop().time() < deadline, (
                f"not within {patience} s; places: {await self.places()}; others wait: {await self.messages()}"
            )
            await asyncio.sleep(0.05)

    async def until_bound(self, *names: str, patience: float = PATIENCE) -> dict[str, str]:
        """Wait until these pods have nodes; returns all places."""

        async def all_bound() -> dict[str, str] | None:
            places = await self.places()
            return places if set(names) <= set(places) else None

        found: dict[str, str] = await self.until(all_bound, patience)
        return found

    # -- the scheduler -----------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def scheduler(self, **config: Any) -> AsyncIterator[asyncio.Task[None]]:
        """Run a scheduler; it is ready when the block begins."""
        stop, ready = asyncio.Event(), asyncio.Event()
        defaults: Json = {"leader_elect": False, "metrics_port": None, "probes_port": None, "decisions_at": None}
        run = RunConfig(**{"kubeconfig": str(self.kubeconfig), **defaults, **config})
        task = asyncio.create_task(run_scheduler(run, stop=stop, ready=ready))
        waiting = asyncio.create_task(ready.wait())
        try:
            await asyncio.wait({task, waiting}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            assert ready.is_set(), "the scheduler did not become ready"
            yield task
        finally:
            waiting.cancel()
            stop.set()
            await task

    async def clean(self) -> None:
        """Delete what the test has made, and what the scheduler made for it."""
        for pod in await self.pods():
            with contextlib.suppress(NotFoundError):
                await self.delete_pod(pod)
        for kind in (PODGROUPS, *OWNERS):
            for obj in await list_all(self.client, kind, self.namespace):
                with contextlib.suppress(NotFoundError):
                    await self.client.delete(kind.path(self.namespace, obj["metadata"]["name"]))
        for claim in await list_all(self.client, CLAIMS, self.namespace):
            await self._remove(CLAIMS.path(self.namespace, claim["metadata"]["name"]))
        for template in await list_all(self.client, CLAIM_TEMPLATES, self.namespace):
            await self._remove(CLAIM_TEMPLATES.path(self.namespace, template["metadata"]["name"]))
        for claim in await list_all(self.client, VOLUME_CLAIMS, self.namespace):
            await self._remove(VOLUME_CLAIMS.path(self.namespace, claim["metadata"]["name"]))
        for volume in await list_all(self.client, VOLUMES):
            await self._remove(VOLUMES.path("", volume["metadata"]["name"]))
        for path in reversed(self._made):
            with contextlib.suppress(NotFoundError, ConflictError):
                await self.client.delete(path)

    async def _remove(self, path: str) -> None:
        """Delete an object that somebody protects."""
        with contextlib.suppress(NotFoundError):
            await self.client.patch(path, {"metadata": {"finalizers": None}})
            await self.client.delete(path)


def _named(api_version: str, kind: str, name: str) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}}


def fresh_namespace() -> str:
    """A name that no other test of this process uses."""
    return f"test-{next(_names)}"
