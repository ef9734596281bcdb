"""Random small clusters that a real kube-scheduler and we are asked about, many of them at once.

Each world has names, labels, drivers and extended resources of its own, so that worlds do not see each other. One pod
of it is asked about, and pinned to one node by an extended resource that no other node has: unlike a selector, that
leaves topology spread and affinity as they are. Both are asked with what the API server has made of the manifests.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import msgspec

from kai_py.api.keys import QUEUE_LABEL
from kai_py.errors import ApiError
from kai_py.kube.client import ApiClient
from kai_py.kube.listing import list_all
from kai_py.kube.resource import ResourceKind
from kai_py.operators.kinds import CLAIMS, DEVICE_CLASSES, NAMESPACES, NODES, PODS, SLICES, STORAGE
from kai_py.planning.plan import plan

from .harness import Json

SCHEDULER = "default-scheduler"
SETTINGS: Json = {"schedulerNames": [SCHEDULER]}
QUEUE: Json = {
    "apiVersion": "scheduling.run.ai/v2",
    "kind": "Queue",
    "metadata": {"name": "team"},
    "spec": {"resources": {name: {"quota": -1, "limit": -1} for name in ("cpu", "memory", "gpu")}},
}
KINDS: dict[str, ResourceKind[Any]] = {
    kind.kind: kind for kind in (NODES, NAMESPACES, PODS, CLAIMS, DEVICE_CLASSES, SLICES, *STORAGE)
}
#: Kinds with a status of its own that a manifest here may bring.
_WITH_STATUS = ("ResourceClaim", "PersistentVolume", "PersistentVolumeClaim")
#: Marks what can be thrown away together.
MARK = "agreement"
#: How long a pod may be waited for that kube-scheduler says nothing about, and how long its refusal may be doubted: it
#: may have looked before it had heard of everything. Seconds.
PATIENCE, DOUBT = 30.0, 8.0


@dataclass
class World:
    """A cluster and a pod that waits.

    Attributes:
        name: prefix of all names.
        nodes: names of the nodes.
        objects: manifests in the order in which they are made; afterwards what the API server has made of them.
        pod: who is asked about.
        pinned: the node that the pod can only go to.
        leaving: names of objects that are deleted and stay for a while: running pods, claims on volumes, volumes.
    """

    name: str
    nodes: list[str]
    pinned: int
    objects: list[Json] = field(default_factory=list)
    pod: Json = field(default_factory=dict)
    leaving: list[str] = field(default_factory=list)

    @classmethod
    def empty(cls, name: str, nodes: int, pinned: int) -> World:
        """Only a namespace."""
        made = cls(name, [f"{name}-n{number}" for number in range(nodes)], pinned)
        made.add("v1", "Namespace", name, labels={"world": name})
        return made

    @property
    def node(self) -> str:
        """Name of the node that is asked about."""
        return self.nodes[self.pinned]

    def add(self, version: str, kind: str, name: str, labels: Json | None = None, **fields: Any) -> Json:
        """Another object."""
        meta: Json = {"name": name, "labels": {MARK: self.name, **(labels or {})}, **fields.pop("metadata", {})}
        if KINDS[kind].namespaced:
            meta.setdefault("namespace", self.name)
        made: Json = {"apiVersion": version, "kind": kind, "metadata": meta, **fields}
        self.objects.append(made)
        return made

    def add_node(self, number: int, labels: Json | None = None, **fields: Any) -> Json:
        """A node with room for everybody."""
        amounts = {"cpu": "64", "memory": "256Gi", "pods": "110", f"{self.name}.test/slot-{number}": "1"}
        amounts |= fields.pop("amounts", {})
        status = {"capacity": amounts, "allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]}
        own = {"world": self.name, "kubernetes.io/hostname": self.nodes[number], **(labels or {})}
        return self.add("v1", "Node", self.nodes[number], own, status=status, **{"spec": {}, **fields})

    def make_pod(self, name: str, labels: Json | None = None, *, namespace: str = "", **spec: Any) -> Json:
        """A pod's manifest; with a nodeName it runs."""
        slots = {} if "nodeName" in spec else {f"{self.name}.test/slot-{self.pinned}": "1"}
        container = {"name": "main", "image": "example.com/x:1", "resources": {"requests": slots, "limits": slots}}
        container |= spec.pop("container", {})
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": namespace or self.name,
                "labels": {QUEUE_LABEL: "team", **(labels or {})},
            },
            "spec": {"schedulerName": SCHEDULER, "containers": [container], **spec},
        }


#: Makes the world of a seed with a name, in which the pod is pinned to a node.
Maker = Callable[[random.Random, str, int], World]


@dataclass
class Answer:
    """What both say of one world.

    Attributes:
        theirs: whether kube-scheduler finds the pod a place; None if it says nothing.
        ours: whether we do.
        said: what kube-scheduler says.
        waits: what we say.
        granted: allocations of the pod's claims, by their names: ours, or theirs if only they have some.
        faults: what the API server says against what we would write.
    """

    world: World
    seed: int
    ours: bool
    waits: list[Json]
    theirs: bool | None = None
    said: str = ""
    granted: Json = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"seed {self.seed} {self.world.name} on node {self.world.pinned}: kube-scheduler {self.theirs} "
            f"({self.said}), ours {self.ours} ({[one['message'] for one in self.waits]}) {self.faults}"
        )


async def compare(client: ApiClient, maker: Maker, name: str, seeds: Iterable[int], nodes: int = 3) -> list[Answer]:
    """Ask both about each node of each seed's world; answers that differ have been doubted for a while."""
    worlds = [
        (seed, maker(random.Random(seed), f"{name}{seed}-{pinned}", pinned))
        for seed in seeds
        for pinned in range(nodes)
    ]
    made = await asyncio.gather(*(_install(client, world) for _, world in worlds))
    await asyncio.sleep(1)  # for kube-scheduler to hear of it
    asked = [pair for pair, whole in zip(worlds, made, strict=True) if whole]
    found = await asyncio.gather(*(_ask(client, seed, world) for seed, world in asked))
    answers = [answer for answer in found if answer is not None]
    await _hear(client, answers)
    for answer in answers:
        if answer.theirs and not answer.ours:
            answer.granted = await _granted(client, answer.world)
    await _remove(client, [world for _, world in worlds])
    return answers


async def _install(client: ApiClient, world: World) -> bool:
    """Make a world; tells whether the API server takes all of it."""
    for number, manifest in enumerate(world.objects):
        made = await _make(client, manifest)
        if made is None:
            return False
        world.objects[number] = made
    for number, one in enumerate(world.objects):
        if one["metadata"]["name"] in world.leaving:
            path = KINDS[one["kind"]].path(one["metadata"].get("namespace", ""), one["metadata"]["name"])
            await client.delete(path)
            world.objects[number] = one | await client.get_object(path)
    return True


async def _make(client: ApiClient, manifest: Json) -> Json | None:
    kind, meta = KINDS[manifest["kind"]], manifest["metadata"]
    namespace, name = meta.get("namespace", ""), meta["name"]
    try:
        made = await client.post(kind.path(namespace), manifest)
        if kind is NODES:
            # Admission taints a new node; what is written here replaces that.
            made = await client.patch(kind.path("", name), {"spec": {"taints": manifest["spec"].get("taints")}})
        elif manifest["kind"] in _WITH_STATUS and "status" in manifest:
            made = await client.patch(kind.path(namespace, name, "status"), {"status": manifest["status"]})
    except ApiError as error:
        if "AlreadyExists" in str(error):
            raise
        print(f"refused: {error}")  # for whoever runs it by hand
        return None
    return _whole(manifest, made)


def _whole(manifest: Json, made: bytes) -> Json:
    return {"apiVersion": manifest["apiVersion"], "kind": manifest["kind"], **msgspec.json.decode(made)}


async def _ask(client: ApiClient, seed: int, world: World) -> Answer | None:
    """Ask us, and hand the pod to kube-scheduler; None if the API server refuses it."""
    given = world.pod
    path = PODS.path(world.pod["metadata"]["namespace"])
    try:
        world.pod = _whole(world.pod, await client.post(f"{path}?dryRun=All", world.pod))
    except ApiError as error:
        print(f"refused: {error}")  # for whoever runs it by hand
        return None
    binds, waits = ours(world)
    answer = Answer(world, seed, bool(binds), waits)
    for bind in binds:
        assert bind["node"] == world.node, f"{world.name}: the pod goes to {bind['node']}"
        for granted in bind["claims"]:
            # One for extended resources has yet to be made: nothing is known of it but its name's beginning.
            if not granted["claim"].endswith("-extended-resources-"):
                answer.granted[granted["claim"].partition("/")[2]] = granted["allocation"]
            answer.faults += await _fault_of(client, world, granted)
    await client.post(path, given)
    return answer


def ours(world: World) -> tuple[list[Json], list[Json]]:
    """Our decision about the pod of a world, none or one; and why it waits."""
    (cycle,) = plan([QUEUE, *world.objects, world.pod], settings=SETTINGS).to_dict()["cycles"]
    name = f"{world.pod['metadata']['namespace']}/{world.pod['metadata']['name']}"
    return [one for one in cycle["binds"] if one["pod"] == name], [
        reason for one in cycle["waiting"] for reason in one["reasons"]
    ]


async def _fault_of(client: ApiClient, world: World, granted: Json) -> list[str]:
    """What the API server says to an allocation of ours."""
    namespace, _, name = granted["claim"].partition("/")
    claims = {
        (one["metadata"]["namespace"], one["metadata"]["name"]): one
        for one in world.objects
        if one["kind"] == "ResourceClaim"
    }
    if (claim := claims.get((namespace, name))) is None:
        return []  # one that has yet to be made, for extended resources
    user = {"resource": "pods", "name": world.pod["metadata"]["name"], "uid": world.pod["metadata"]["uid"]}
    status = {**claim.get("status", {}), "allocation": granted["allocation"], "reservedFor": [user]}
    try:
        await client.put(f"{CLAIMS.path(namespace, name, 'status')}?dryRun=All", {**claim, "status": status})
    except ApiError as error:
        return [str(error)]
    return []


async def _hear(client: ApiClient, answers: list[Answer]) -> None:
    """Wait for what kube-scheduler says about all pods."""
    loop = asyncio.get_running_loop()
    deadline, doubted = loop.time() + PATIENCE, 0.0
    while True:
        pods = {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in await list_all(client, PODS)}
        for answer in answers:
            meta = answer.world.pod["metadata"]
            answer.theirs, answer.said = _verdict(pods[meta["namespace"], meta["name"]])
        open_, doubtful = any(one.theirs is None for one in answers), any(one.theirs != one.ours for one in answers)
        now = loop.time()
        if not open_:
            doubted = doubted or now + DOUBT
        if (not open_ and not doubtful) or now > deadline or (doubted and now > doubted):
            return
        await asyncio.sleep(0.3)


async def _granted(client: ApiClient, world: World) -> Json:
    """Allocations that kube-scheduler has written, by claim."""
    before = {one["metadata"]["name"]: one for one in world.objects if one["kind"] == "ResourceClaim"}
    return {
        one["metadata"]["name"]: one["status"]["allocation"]
        for one in await list_all(client, CLAIMS, world.name)
        if "allocation" in one.get("status", {})
        and "allocation" not in before.get(one["metadata"]["name"], {}).get("status", {})
    }


def _verdict(pod: Json) -> tuple[bool | None, str]:
    """A node, a nomination (it waits for somebody before it binds), or a sentence why not."""
    if pod["spec"].get("nodeName") or pod.get("status", {}).get("nominatedNodeName"):
        return True, ""
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return False, f"{condition['reason']}: {condition.get('message', '')}"
    return None, ""


async def _remove(client: ApiClient, worlds: list[World]) -> None:
    """Delete everything of these worlds that others could be bothered by; objects in their namespaces stay."""
    now = {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}
    pods = [one for world in worlds for one in (*world.objects, world.pod) if one["kind"] == "Pod"]
    namespaces = {one["metadata"]["namespace"] for one in pods}
    await asyncio.gather(*(client.delete(PODS.path(namespace), now) for namespace in sorted(namespaces)))
    mine = quote(f"{MARK} in ({','.join(world.name for world in worlds)})")
    for kind in {one["kind"] for world in worlds for one in world.objects} - {"Namespace"}:
        if not KINDS[kind].namespaced:
            await client.delete(f"{KINDS[kind].path()}?labelSelector={mine}")
