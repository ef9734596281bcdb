"""What a check can do on a cluster: make objects in a namespace of its own, look at pods, and clean up."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from kai_py.api.keys import BATCH_MIN_MEMBER_ANNOTATION, QUEUE_LABEL
from kai_py.cli.conformance.evidence import Evidence
from kai_py.errors import NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.listing import list_all
from kai_py.operators.kinds import CLAIMS, NAMESPACES, NODES, PODS

Json = dict[str, Any]

_LOOK: Final = 0.2
_IMAGE: Final = "busybox:1.37"
#: Makes the embedded cluster's pods end; elsewhere it is the command that does.
_DURATION: Final = "minicluster.kai-py/duration"
JOBS: Final = "/apis/batch/v1/namespaces/{}/jobs"
TEMPLATES: Final = "/apis/resource.k8s.io/v1/namespaces/{}/resourceclaimtemplates"


class Unmet(Exception):  # noqa: N818  # an answer of a check, not an error of the program
    """The cluster did not do what the requirement asks for."""


class Untestable(Exception):  # noqa: N818  # the same
    """The cluster has not what the test needs."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How to test.

    Attributes:
        scheduler: ``schedulerName`` of all pods.
        queue: in which they are.
        resource: the accelerators of nodes, as an extended resource.
        patience: seconds for what should happen.
        quiet: seconds for which what must not happen is watched.
    """

    scheduler: str
    queue: str
    resource: str
    patience: float
    quiet: float


class Stage:
    """A namespace, and what happens in it.

    Args:
        client: of somebody who may make namespaces, Jobs and claims, and read nodes and pods.
        terms: how to test.
        namespace: exists.
        evidence: takes note of everything.
    """

    def __init__(self, client: ApiClient, terms: Terms, namespace: str, evidence: Evidence) -> None:
        self.client = client
        self.terms = terms
        self.namespace = namespace
        self.evidence = evidence

    async def create(self, path: str, obj: Json) -> Json:
        """Create an object in the namespace, and note it."""
        self.evidence.show(f"Created in namespace `{self.namespace}`", obj)
        made: Json = msgspec.json.decode(await self.client.post(path.format(self.namespace), obj))
        return made

    async def job(
        self,
        name: str,
        pods: int,
        *,
        gpus: int = 0,
        claim: str = "",
        seconds: int = 1,
        gang: bool = True,
        node: str = "",
    ) -> None:
        """A Job.

        Args:
            name: of the Job.
            pods: all at once.
            gpus: of the extended resource, for each.
            claim: a ResourceClaimTemplate, of which each pod has one.
            seconds: until its pods end.
            gang: whether they start together or not at all.
            node: where they must be; anywhere if empty.
        """
        queue = {QUEUE_LABEL: self.terms.queue}
        container: Json = {"name": "main", "image": _IMAGE, "command": ["sleep", str(seconds)]}
        if gpus:
            container["resources"] = {"limits": {self.terms.resource: str(gpus)}}
        spec: Json = {
            "schedulerName": self.terms.scheduler,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        }
        if claim:
            spec["resourceClaims"] = [{"name": "accelerator", "resourceClaimTemplateName": claim}]
            container["resources"] = {"claims": [{"name": "accelerator"}]}
        if node:
            spec["nodeSelector"] = {"kubernetes.io/hostname": node}
        marks = {"annotations": {BATCH_MIN_MEMBER_ANNOTATION: str(pods)}} if gang else {}
        template = {"metadata": {"labels": dict(queue), "annotations": {_DURATION: f"{seconds}s"}}, "spec": spec}
        job = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "labels": queue, **marks},
            "spec": {"parallelism": pods, "completions": pods, "backoffLimit": 0, "template": template},
        }
        await self.create(JOBS, job)

    async def claim_template(self, name: str, request: Json) -> None:
        """A template of claims with one request."""
        spec = {"spec": {"devices": {"requests": [{"name": "accelerator", "exactly": request}]}}}
        kind = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate"}
        await self.create(TEMPLATES, {**kind, "metadata": {"name": name}, "spec": spec})

    async def delete_job(self, name: str) -> None:
        """Delete a Job and wait until its pods have gone."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        await self.client.delete(f"{JOBS.format(self.namespace)}/{name}", options)
        await self.until(name, "to be gone", lambda pods: not pods)
        self.evidence.say(f"Job `{name}` was deleted, and its pods are gone.")

    # -- looking ---------------------------------------------------------------------------------------

    async def pods(self, job: str) -> list[Json]:
        """The pods of a Job, by name."""
        found = await list_all(self.client, PODS, self.namespace)
        mine = [one for one in found if one["metadata"].get("labels", {}).get("job-name") == job]
        return sorted(mine, key=lambda one: str(one["metadata"]["name"]))

    async def claims(self) -> list[Json]:
        """All claims of the cluster."""
        return await list_all(self.client, CLAIMS)

    async def nodes(self) -> dict[str, int]:
        """Accelerators by node, of those that take pods and have any."""
        return await accelerators(self.client, self.terms.resource)

    async def until(self, job: str, what: str, holds: Callable[[list[Json]], bool]) -> list[Json]:
        """Wait for something to hold of the pods of a Job, and note how they are then.

        Raises:
            Unmet: it did not come in time.
        """
        deadline = time.monotonic() + self.terms.patience
        while True:
            pods = await self.pods(job)
            if holds(pods):
                self.note(pods)
                return pods
            if time.monotonic() >= deadline:
                self.note(pods)
                raise Unmet(f"the pods of {job} were expected {what} within {self.terms.patience:g} s")
            await asyncio.sleep(_LOOK)

    async def never(self, job: str, what: str, happens: Callable[[list[Json]], bool]) -> list[Json]:
        """Watch for something that must not happen to the pods of a Job.

        Raises:
            Unmet: it happened.
        """
        deadline = time.monotonic() + self.terms.quiet
        while time.monotonic() < deadline:
            if happens(pods := await self.pods(job)):
                self.note(pods)
                raise Unmet(f"the pods of {job} must not {what}")
            await asyncio.sleep(_LOOK)
        pods = await self.pods(job)
        self.evidence.say(f"For {self.terms.quiet:g} seconds, the pods of `{job}` did not {what}. At the end:")
        self.note(pods)
        return pods

    def note(self, pods: list[Json]) -> None:
        """Pods as a table."""
        rows = [(one["metadata"]["name"], _phase(one), node_of(one) or "-", _waits(one)) for one in pods]
        if rows:
            self.evidence.table([("pod", "phase", "node", "why it waits"), *rows])


async def accelerators(client: ApiClient, resource: str) -> dict[str, int]:
    """How many of an extended resource there are by node, of nodes that take pods and have any."""
    found = {}
    for node in await list_all(client, NODES):
        offered = int(node.get("status", {}).get("allocatable", {}).get(resource, 0))
        spec = node.get("spec", {})
        if offered and not spec.get("unschedulable") and not spec.get("taints"):
            found[str(node["metadata"]["name"])] = offered
    return found


def node_of(pod: Json) -> str:
    """Where a pod is; empty if nowhere."""
    return str(pod["spec"].get("nodeName") or "")


def all_succeed(count: int) -> Callable[[list[Json]], bool]:
    """Whether so many pods have succeeded."""
    return lambda pods: sum(_phase(one) == "Succeeded" for one in pods) == count


def told(count: int) -> Callable[[list[Json]], bool]:
    """Whether there are so many pods, and all that have no node say why."""
    return lambda pods: len(pods) == count and all(node_of(one) or _waits(one) != "-" for one in pods)


def any_bound(pods: list[Json]) -> bool:
    """Whether any pod has a node."""
    return any(node_of(one) for one in pods)


def _phase(pod: Json) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def _waits(pod: Json) -> str:
    for one in pod.get("status", {}).get("conditions") or ():
        if one["type"] == "PodScheduled" and one["status"] == "False":
            return f"{one.get('reason', '')}: {one.get('message', '')}".replace("\n", " ").replace("|", "\\|")
    return "-"


@asynccontextmanager
async def staged(client: ApiClient, terms: Terms, evidence: Evidence) -> AsyncIterator[Stage]:
    """A namespace for one test; it goes afterwards, with everything in it."""
    name = f"conformance-{evidence.requirement.id.replace('_', '-')}-{secrets.token_hex(3)}"
    await client.post(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield Stage(client, terms, name, evidence)
    finally:
        with suppress(NotFoundError):
            await client.delete(NAMESPACES.path("", name))
