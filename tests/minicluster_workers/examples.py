"""The manifests in examples/, and how tests apply and carry them out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import yaml

from .world import World

Object = dict[str, Any]

FOLDER = Path(__file__).parents[2] / "examples"
GUIDE = FOLDER.parent / "docs" / "guides" / "examples.md"
EXAMPLES = sorted(FOLDER.glob("*.yaml"))
BASE = tuple(FOLDER / name for name in ("01-queues.yaml", "02-priority-classes.yaml"))
#: As the guide says that the embedded cluster is started for those that claim devices.
OFFERS = ("h100=mig+nics", "a100=whole+fabric", "l40s=shared", "gb200=vfio")
#: A scheduler makes its claim; a plan has none to write.
SCHEDULED = ("18-extended-resource",)
CLAIMS = "resourceclaims.resource.k8s.io"
PROTECTION = "resource.kubernetes.io/delete-protection"
PLANNED = (
    "nodes",
    "pods",
    "jobs.batch",
    "priorityclasses.scheduling.k8s.io",
    "queues.scheduling.run.ai",
    "podgroups.scheduling.run.ai",
    "topologies.kai.scheduler",
    "runtimeclasses.node.k8s.io",
    "deviceclasses.resource.k8s.io",
    "resourceslices.resource.k8s.io",
    "resourceclaimtemplates.resource.k8s.io",
    CLAIMS,
)


def documents(*files: Path) -> list[Object]:
    return [document for file in files for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


async def apply(world: World, *objects: Object) -> None:
    """Create everything over HTTP, where a field that the schema does not know is refused."""
    async with aiohttp.ClientSession(world.cluster.url) as session:
        for document in objects:
            kind = world.storage.registry.by_kind(document["apiVersion"], document["kind"])
            assert kind is not None, f"{document['kind']} is not served"
            root = f"/apis/{document['apiVersion']}" if "/" in document["apiVersion"] else "/api/v1"
            namespace = document["metadata"].get("namespace")
            path = f"{root}/namespaces/{namespace}/{kind.kind.plural}" if namespace else f"{root}/{kind.kind.plural}"
            async with session.post(path, params={"fieldValidation": "Strict"}, json=document) as answer:
                assert answer.status == 201, await answer.text()
                assert "Warning" not in answer.headers
    await world.settle()


def carry_out(world: World, binds: list[Object]) -> None:
    """Write what a plan has decided, in the order of a scheduler: finalizer, allocation with reservation, binding."""
    for bind in binds:
        name = bind["pod"].partition("/")[2]
        consumer = {"resource": "pods", "name": name, "uid": world.pod(name)["metadata"]["uid"]}
        for given in bind.get("claims") or ():
            claim = given["claim"].partition("/")[2]
            made = world.storage.patch(CLAIMS, claim, {"metadata": {"finalizers": [PROTECTION]}}, "default")
            made["status"] = {"allocation": given["allocation"], "reservedFor": [consumer]}
            world.storage.update(CLAIMS, made, subresource="status")
        world.storage.bind("default", name, bind["node"])
