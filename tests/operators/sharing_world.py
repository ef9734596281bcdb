"""A small cluster in which schedulers come, die between any two writes, and are followed by others.

The server is a dictionary, the watch a cursor that may lag, and the device plugin gives any GPU that is free. What
counts is looked at on the server, never in a scheduler's memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
from collections import Counter, defaultdict
from collections.abc import Callable
from fractions import Fraction

import msgspec

from kai_py.admission.shared_gpus import prepared
from kai_py.admission.verdict import Known
from kai_py.api.decode import convert
from kai_py.api.keys import RESERVED_DEVICE_ANNOTATION
from kai_py.api.pod import Pod
from kai_py.cluster.reservations import NAMESPACE
from kai_py.cluster.shares.ways import Ways
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.options import Options
from kai_py.core.tables.pods import PodKey
from kai_py.errors import ConflictError, InvalidError
from kai_py.kube.pods import Outcome, Result
from kai_py.operators.dispatch import Dispatcher
from kai_py.operators.kinds import PODS
from kai_py.operators.spare_reservations import SpareReservations
from kai_py.podgrouper.grouping import group_of
from kai_py.settings.load import load_settings
from kai_py.telemetry.metrics import Metrics
from tests.cluster.objects import GPU, NOW, node, queue

SETTINGS = load_settings({"gpuSharing": "reservation", "gpuReservation": {"runtimeClassName": ""}})
NODES = {"a": 2, "b": 2}
VISIBLE = "NVIDIA_VISIBLE_DEVICES"


class Dead(BaseException):
    """The process is killed. No handler of its own catches that."""


class Server:
    """All objects, and whoever writes to them. ``mortal`` writes may be the last of their process."""

    def __init__(self):
        self.pods = {}
        self.configmaps = {}
        self.log = []
        self.uids = 0
        self.writes_left = None
        self.dead = False
        self.claims = None

    def changed(self, kind, pod):
        self.log.append((kind, copy.deepcopy(pod)))

    async def _write(self, change: Callable[[], object]):
        """One write: it may be lost with its process, or be the last thing that the process did."""
        await asyncio.sleep(0)
        if self.dead:
            raise Dead
        if self.writes_left is not None:
            self.writes_left -= 1
            if self.writes_left == 0:
                self.dead = True
                raise Dead
        await asyncio.sleep(0)
        answer = change()
        if self.writes_left == 1:  # the answer never comes
            self.dead = True
            raise Dead
        return answer

    async def _change_pod(self, namespace, name, uid, change):
        def apply():
            pod = self.pods.get((namespace, name))
            if pod is None or pod["metadata"]["uid"] != uid:
                return Result(Outcome.NOT_FOUND, "gone")
            answer = change(pod) or Result(Outcome.APPLIED)
            if (namespace, name) in self.pods:
                self.changed("MODIFIED", pod)
            return answer

        return await self._write(apply)

    # -- what the scheduler calls ------------------------------------------------------------------

    async def manifest_of(self, namespace, name, uid=""):
        pod = self.pods.get((namespace, name))
        return copy.deepcopy(pod) if pod is not None and uid in ("", pod["metadata"]["uid"]) else None

    async def node_of(self, namespace, name, uid):
        pod = await self.manifest_of(namespace, name, uid)
        return pod["spec"].get("nodeName", "") if pod else ""

    async def create(self, kind, obj):
        return await self._write(lambda: self.add(kind == PODS, copy.deepcopy(obj)))

    def add(self, is_pod, obj):
        meta, there = obj["metadata"], self.pods if is_pod else self.configmaps
        key = meta["namespace"], meta["name"]
        if key in there:
            raise ConflictError("AlreadyExists", status=409)
        self.uids += 1
        meta["uid"] = f"uid-{self.uids}"
        meta["creationTimestamp"] = "2026-01-01T00:00:00Z"
        there[key] = obj
        if is_pod:
            self.changed("ADDED", obj)
        return msgspec.json.encode(obj)

    async def patch_where(self, _kind, namespace, name, tests, values):
        def apply():
            there = self.configmaps[namespace, name]
            if there["metadata"]["ownerReferences"][0]["uid"] != tests["/metadata/ownerReferences/0/uid"]:
                raise InvalidError("test failed", status=422)
            there["data"] = values["/data"]
            return b"{}"

        return await self._write(apply)

    async def label(self, namespace, name, uid, labels, annotations=None):
        def change(pod):
            for field, changes in (("labels", labels), ("annotations", annotations or {})):
                merged = {**pod["metadata"].get(field, {}), **changes}
                pod["metadata"][field] = {key: text for key, text in merged.items() if text is not None}

        return await self._change_pod(namespace, name, uid, change)

    async def bind(self, namespace, name, uid, to, _annotations=None):
        def change(pod):
            there = pod["spec"].setdefault("nodeName", to)
            return Result(Outcome.BOUND if there == to else Outcome.CONFLICT)

        return await self._change_pod(namespace, name, uid, change)

    async def delete(self, namespace, name, uid, **_):
        def change(pod):
            self.terminate((namespace, name), pod)

        return await self._change_pod(namespace, name, uid, change)

    async def mark_disruption_target(self, namespace, name, uid, _message, _at):
        return await self._change_pod(namespace, name, uid, lambda _pod: None)

    async def get(self, _path, *, params):
        on = params["fieldSelector"].removeprefix("spec.nodeName=")
        return msgspec.json.encode({"items": [pod for pod in self.pods.values() if pod["spec"].get("nodeName") == on]})

    # -- what nodes and users do -------------------------------------------------------------------

    def terminate(self, key, pod):
        if pod["spec"].get("nodeName"):
            pod["metadata"].setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")
        else:
            self.remove(key)

    def remove(self, key):
        pod = self.pods.pop(key, None)
        if pod is not None:
            self.changed("DELETED", pod)

    def collect(self):
        """The garbage collector takes what no owner has any more, also where it came after its owner had gone."""
        there = {pod["metadata"]["uid"] for pod in self.pods.values()}
        for name, one in list(self.configmaps.items()):
            if one["metadata"]["ownerReferences"][0]["uid"] not in there:
                del self.configmaps[name]


class World:
    """The cluster, and at most one scheduler.

    Attributes:
        held: GPU -> uid of the pod that the device plugin gave it to.
        refused: pods for which a node had no GPU any more.
    """

    def __init__(self, pick=lambda free: free[0]):
        self.server = Server()
        self.held = {}
        self.refused = 0
        self.now = NOW
        self.pick = pick
        self.pods = 0
        self.running = None
        self.boot()

    # -- the scheduler -----------------------------------------------------------------------------

    def boot(self):
        self.server.dead, self.server.writes_left = False, None
        self.store = store = Store(group_of)
        store.reservations.enabled = True
        store.layout.share_gpus(Ways("reservation"), self.now)
        store.put_queue(queue())
        for name, gpus in NODES.items():
            store.put_node(node(name, gpus=gpus, labels={"nvidia.com/gpu.memory": "80000"}))
        for pod in self.server.pods.values():
            store.put_pod(convert(Pod, pod), self.now)
        self.cursor = len(self.server.log)
        self.dispatcher = Dispatcher(
            store,
            self.server,
            Metrics(),
            tell=lambda *_: None,
            wake=lambda: None,
            settings=lambda: SETTINGS,
            clock=lambda: self.now,
        )
        self.spare = SpareReservations(
            store,
            self.server,
            self.server,
            self.dispatcher.shares,
            leading=lambda: True,
            tell=lambda _text: None,
            clock=lambda: self.now,
        )
        self.running = asyncio.create_task(self.dispatcher.run())

    async def die_if_dead(self):
        """A killed process is followed by another one, which knows what the server has."""
        if self.server.dead:
            await self.stop()
            self.boot()

    async def stop(self):
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)

    async def kill(self):
        await self.stop()
        self.boot()

    async def settle(self):
        for _ in range(60):
            await asyncio.sleep(0)
        await self.die_if_dead()

    async def watch(self, count=None):
        """The watch shows what has happened, or the first of it."""
        events = self.server.log[self.cursor :][:count]
        self.cursor += len(events)
        for kind, body in events:
            pod = convert(Pod, body)
            if kind == "DELETED":
                self.store.drop_pod(PodKey(pod.metadata.namespace, pod.metadata.name, pod.metadata.uid))
            else:
                self.store.put_pod(pod, self.now)
            if pod.metadata.namespace == NAMESPACE:
                self.dispatcher.starts.look([pod.metadata.key])
        await self.settle()

    async def cycle(self):
        self.store.carryover.tidy(self.now)
        snapshot = self.store.take(self.now)
        result = run_cycle(snapshot, Options(), clock=lambda: 0.0)
        found = [str(one) for one in violations(snapshot, result, Options())]
        assert found == [], found
        self.store.carryover.remember(result, self.now)
        self.dispatcher.submit(result.decisions)
        await self.settle()

    async def sweep(self):
        with contextlib.suppress(Dead):
            await self.spare.sweep()
        await self.settle()

    async def tick(self, seconds=5.0):
        self.now += seconds
        for start in list(self.dispatcher.starts._all()):
            self.dispatcher.starts._look(start)
        await self.settle()

    # -- users -------------------------------------------------------------------------------------

    def share(self, fraction):
        self.pods += 1
        name = f"p{self.pods}"
        meta = {"name": name, "labels": {"kai.scheduler/queue": "team"}, "annotations": {"gpu-fraction": fraction}}
        container = {"name": "main", "image": "i", "resources": {"requests": {"cpu": "1"}}}
        pod = {"metadata": {**meta, "namespace": "ns"}, "spec": {"schedulerName": "kai-scheduler"}}
        pod["spec"]["containers"] = [container]
        changed = prepared(pod, Known(settings=SETTINGS), f"{self.pods:08x}")
        pod["metadata"]["annotations"].update(changed["metadata"]["annotations"])
        self.server.add(True, {**pod, "spec": {**pod["spec"], **changed["spec"]}, "status": {"phase": "Pending"}})

    def whole(self):
        self.pods += 1
        container = {"name": "main", "image": "i", "resources": {"requests": {"cpu": "1", GPU: "1"}}}
        meta = {"name": f"p{self.pods}", "namespace": "ns", "labels": {"kai.scheduler/queue": "team"}}
        spec = {"schedulerName": "kai-scheduler", "containers": [container]}
        self.server.add(True, {"metadata": meta, "spec": spec, "status": {"phase": "Pending"}})

    def end(self, number):
        """A user deletes a pod."""
        names = [key for key in self.server.pods if key[0] == "ns"]
        if names:
            key = names[number % len(names)]
            self.server.terminate(key, self.server.pods[key])
            if key in self.server.pods:
                self.server.changed("MODIFIED", self.server.pods[key])

    def snatch(self, number):
        """Somebody deletes a reservation pod, and its kubelet ends it at once."""
        names = [key for key in self.server.pods if key[0] == NAMESPACE]
        if names:
            self._let_go(names[number % len(names)])

    # -- nodes -------------------------------------------------------------------------------------

    def kubelet(self):
        """Kubelets end what is to go, give GPUs to those that ask for them, and start what can."""
        for key, pod in list(self.server.pods.items()):
            if "deletionTimestamp" in pod["metadata"]:
                self._let_go(key)
        self.server.collect()
        for key, pod in list(self.server.pods.items()):
            on, uid = pod["spec"].get("nodeName"), pod["metadata"]["uid"]
            wants = GPU in pod["spec"]["containers"][0]["resources"]["requests"]
            if not on or pod.get("status", {}).get("phase") == "Failed":
                continue
            if wants and uid not in self.held.values():
                free = [f"{on}{number}" for number in range(NODES[on]) if f"{on}{number}" not in self.held]
                if not free:
                    self.refused += 1
                    pod["status"] = {"phase": "Failed", "reason": "UnexpectedAdmissionError"}
                    self.server.changed("MODIFIED", pod)
                    continue
                self.held[self.pick(free)] = uid
            if pod.get("status", {}).get("phase") != "Running":
                pod["status"] = {"phase": "Running"}
                if key[0] == NAMESPACE:
                    device = next(gpu for gpu, holder in self.held.items() if holder == uid)
                    pod["metadata"].setdefault("annotations", {})[RESERVED_DEVICE_ANNOTATION] = device
                self.server.changed("MODIFIED", pod)

    def _let_go(self, key):
        uid = self.server.pods[key]["metadata"]["uid"]
        self.held = {gpu: holder for gpu, holder in self.held.items() if holder != uid}
        self.server.remove(key)

    # -- what is true ------------------------------------------------------------------------------

    def sharers(self):
        """GPU -> the fractions of those that have a node and see it, as they read it from their ConfigMaps."""
        found = defaultdict(list)
        for (namespace, _), pod in self.server.pods.items():
            fraction = pod["metadata"].get("annotations", {}).get("gpu-fraction")
            if namespace == "ns" and fraction and pod["spec"].get("nodeName"):
                variables = {one["name"]: one["valueFrom"] for one in pod["spec"]["containers"][0]["env"]}
                source = variables[VISIBLE]["configMapKeyRef"]
                seen = self.server.configmaps["ns", source["name"]]["data"][source["key"]]
                assert seen.startswith(pod["spec"]["nodeName"])
                found[seen].append(Fraction(fraction))
        return found

    def reservations(self):
        return {key: pod for key, pod in self.server.pods.items() if key[0] == NAMESPACE}

    def unguarded(self):
        """GPUs that pods see while nobody, or somebody else, holds them."""
        holders = {pod["metadata"]["uid"]: namespace for (namespace, _), pod in self.server.pods.items()}
        return [gpu for gpu in self.sharers() if holders.get(self.held.get(gpu)) != NAMESPACE]

    def check(self, *, guarded=True):
        """No GPU is beyond its memory, nor whole and shared at once, nor reserved twice."""
        for gpu, fractions in self.sharers().items():
            assert sum(fractions) <= 1, (gpu, fractions)
        seats = Counter(
            (pod["spec"]["nodeName"], pod["metadata"]["labels"]["runai-gpu-group"])
            for pod in self.reservations().values()
        )
        assert not seats or max(seats.values()) == 1
        if guarded:
            assert self.unguarded() == []
            assert self.refused == 0

    def left_waiting(self):
        """Pods that wait although some GPU has room for them."""
        free = [f"{name}{number}" for name, gpus in NODES.items() for number in range(gpus)]
        free = [gpu for gpu in free if gpu not in self.held]
        most = max([1 - sum(fractions) for fractions in self.sharers().values()] + [1] * bool(free), default=0)
        found = []
        for (namespace, name), pod in self.server.pods.items():
            fraction = pod["metadata"].get("annotations", {}).get("gpu-fraction")
            if namespace == "ns" and not pod["spec"].get("nodeName"):
                fits = Fraction(fraction) <= most if fraction else bool(free)
                found += [name] if fits else []
        return found

    async def converge(self):
        """Everybody does their work until nothing changes any more."""
        for _ in range(40):
            before = len(self.server.log)
            for _ in range(2):
                await self.watch()
                await self.cycle()
                self.kubelet()
                await self.watch()
                await self.tick()
                await self.sweep()
            if len(self.server.log) == before:
                return
        raise AssertionError("it does not come to rest")
