"""Claims of PodGroups through whatever happens: who runs has its devices, reserved for it, and nobody else has them.

A server with claims and pods, a store that follows it, and the writes of a scheduler, any of which may be refused or be
the last one before a crash. The claim controller plays its part: it takes reservations off when pods, or PodGroups, are
gone.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kai_py.api.decode import convert
from kai_py.api.node import Node
from kai_py.api.pod import Pod
from kai_py.api.queue import Queue
from kai_py.api.resource import DeviceClass, ResourceClaim, ResourceSlice
from kai_py.api.workload import Workload
from kai_py.cluster.decisions import pod_of
from kai_py.cluster.store import Store
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.result import Bind
from kai_py.errors import ClaimRefusedError
from kai_py.operators.claims import ClaimKeeper
from kai_py.operators.unused_claims import UnusedClaims
from kai_py.podgrouper.grouping import group_of
from kai_py.telemetry.metrics import Metrics
from tests.cluster.test_cluster_claims import NOW
from tests.operators.claim_server import ClaimServer, CrashedError
from tests.planning.builders import node, queue
from tests.planning.test_planning_claims import claim, device_class, slice_of, user

GROUPS = ("left", "right")
#: Two devices, and three claims of which each wants one.
CLAIMS = ("left", "right", "both")
MEMBERS = [f"{group}-{number}" for group in GROUPS for number in range(3)]
LONERS = ["loner-0", "loner-1"]
WHEN = "2026-01-01T00:00:00Z"


class PodGroupClaims(RuleBasedStateMachine):
    """See above."""

    @initialize()
    def furnish(self):
        self.server = ClaimServer()
        self.now = NOW
        self.versions = 0
        self.pods = {}
        self.groups = dict.fromkeys(GROUPS, 0)
        for number, name in enumerate(CLAIMS):
            made = claim(name)
            made["metadata"] |= {"namespace": "default", "uid": f"c-{number}", "creationTimestamp": WHEN}
            self.server.add(convert(ResourceClaim, made))
        self.restart()

    def restart(self):
        """A scheduler that knows what the server has, and nothing else."""
        self.store = store = Store(lambda one, owners: group_of(one, owners, priority_classes=()))
        for manifest, model in (
            (node("n1", 0), Node),
            (slice_of("n1", 2), ResourceSlice),
            (device_class(), DeviceClass),
        ):
            found = manifest | {"metadata": {"uid": "u", "creationTimestamp": WHEN} | manifest["metadata"]}
            read = convert(model, found)
            if model is Node:
                store.nodes.put(read)
            elif model is ResourceSlice:
                store.claims.devices.put(read)
            else:
                store.claims.put_class(read)
        store.queues.put(Queue.parse(queue()))
        for group in GROUPS:
            self._show_group(group)
        for found in self.server.claims.values():
            store.claims.put(found)
        for name in self.pods:
            self._show(name)
        self.keeper = ClaimKeeper(store.claims, self.server, Metrics(), clock=lambda: self.now)
        asked = self._node_of
        self.unused = UnusedClaims(store, self.keeper, node_of=asked, leading=lambda: True, wake=lambda: None)

    async def _node_of(self, _namespace, name, uid):
        pod = self.pods.get(name)
        return pod["node"] if pod is not None and pod["uid"] == uid else ""

    def _show_group(self, group):
        entries = [{"name": name, "resourceClaimName": name} for name in (group, "both")]
        found = {
            "apiVersion": "scheduling.k8s.io/v1alpha2",
            "kind": "PodGroup",
            "metadata": {"name": group, "namespace": "default", "uid": f"{group}-{self.groups[group]}"},
            "spec": {"resourceClaims": entries},
        }
        self.store.lineages.put(convert(Workload, found), self.now)

    def _show(self, name):
        self.store.put_pod(convert(Pod, self._manifest(name)), self.now)

    def _manifest(self, name):
        pod = self.pods[name]
        more = {"schedulingGroup": {"podGroupName": pod["group"]}} if pod["group"] else {}
        made = user(name, *pod["claims"], on=pod["node"] or None, **more)
        made["metadata"] |= {"namespace": "default", "uid": pod["uid"], "creationTimestamp": WHEN}
        evicted = [{"type": "DisruptionTarget", "status": "True"}] if pod["evicted"] else []
        made["status"] = {"phase": "Running" if pod["node"] else "Pending", "conditions": evicted}
        return made

    # -- what users and controllers do ---------------------------------------------------------------

    @rule(names=st.sets(st.sampled_from(MEMBERS + LONERS), min_size=1), shared=st.booleans())
    def come(self, names, shared):
        for name in sorted(names - self.pods.keys()):
            self._come(name, shared=shared)

    def _come(self, name, *, shared):
        group = "" if name in LONERS else name.partition("-")[0]
        self.versions += 1
        claims = ["both"] if shared or not group else [group]
        self.pods[name] = {"uid": f"p-{self.versions}", "group": group, "claims": claims, "node": "", "evicted": False}
        self._show(name)

    @precondition(lambda self: self.pods)
    @rule(data=st.data(), evicted=st.booleans())
    def go(self, data, evicted):
        name = data.draw(st.sampled_from(sorted(self.pods)))
        if evicted:
            self.pods[name]["evicted"] = True
            self._show(name)
        key = self.store.pod_key(f"default/{name}")
        del self.pods[name]
        if key is not None:
            self.store.drop_pod(key)

    @rule(group=st.sampled_from(GROUPS))
    def renew(self, group):
        """A PodGroup goes, which it can only without pods that run, and another one comes in its place."""
        if any(pod["group"] == group and pod["node"] for pod in self.pods.values()):
            return
        self.groups[group] += 1
        self._show_group(group)

    @rule()
    def control(self):
        """The claim controller has its turn."""
        uids = {pod["uid"] for pod in self.pods.values()} | {
            f"{group}-{number}" for group, number in self.groups.items()
        }
        for found in self.server.control(uids):
            self.store.claims.put(found)

    # -- what the scheduler does ---------------------------------------------------------------------

    @rule(
        refused=st.sampled_from(["", "", "", "claim", "binding"]), crash=st.sampled_from([None, None, None, 0, 1, 2, 3])
    )
    def cycle(self, refused, crash):
        """Decide and carry out; after ``crash`` writes nothing goes through any more."""
        self.now += 600.0
        self.store.carryover.tidy(self.now)
        decisions = run_cycle(self.store.take(self.now), Options(), clock=lambda: 0.0).decisions
        binds = [one for one in decisions if isinstance(one, Bind)]
        for bind in binds:
            self.store.decisions.assume(bind, self.now)
        self.server.left = crash
        try:
            for bind in binds:
                asyncio.run(self._start(bind, refused))
        except CrashedError:
            self.restart()
        finally:
            self.server.left = None

    async def _start(self, bind, refused):
        key = pod_of(bind)
        names = self.store.claims.needed_by(key)
        try:
            for name in names:
                expected = self.store.claims.objects.devices(name)
                self.server.refuses = refused == "claim"
                await self.keeper.secure(name, (key,), expected)
            if refused == "binding":
                raise ClaimRefusedError("the node has gone")
            self.server.write()
            self.pods[key.name]["node"] = bind.node
            self._show(key.name)
        except ClaimRefusedError:
            self.server.refuses = False
            for name in names:
                await self.keeper.give_back(name, frozenset({key.uid}))
            self.store.decisions.forget(bind, self.now, blame_node=False)
        finally:
            self.server.refuses = False

    @rule()
    def sweep(self):
        asyncio.run(self.unused.sweep())

    # -- what must hold ------------------------------------------------------------------------------

    @invariant()
    def who_runs_has_its_devices(self):
        for name, pod in self.pods.items():
            for claimed in pod["claims"] if pod["node"] else ():
                found = self.server.claims["default", claimed].status
                assert found.allocation is not None, f"{name} runs without devices of {claimed}"
                ours = {("pods", name, pod["uid"])}
                if pod["group"]:
                    ours.add(("podgroups", pod["group"], f"{pod['group']}-{self.groups[pod['group']]}"))
                reserved = {(one.resource, one.name, one.uid) for one in found.reserved_for}
                assert reserved & ours, f"{claimed} is not reserved for {name}: {reserved}"

    @invariant()
    def no_device_twice_and_nobody_reserved_twice(self):
        devices = Counter()
        for found in self.server.claims.values():
            allocation = found.status.allocation
            devices.update(one.device for one in (allocation.devices.results if allocation is not None else ()))
            uids = [one.uid for one in found.status.reserved_for]
            assert len(uids) == len(set(uids))
            assert not uids or allocation is not None
        assert not devices or max(devices.values()) == 1

    def teardown(self):
        """When all pods have gone and the PodGroups stay, what we allocated comes free: nothing is lost for ever."""
        if not hasattr(self, "pods"):
            return
        for name in list(self.pods):
            key = self.store.pod_key(f"default/{name}")
            del self.pods[name]
            if key is not None:
                self.store.drop_pod(key)
        self.control()
        for _ in range(2):
            asyncio.run(self.unused.sweep())
        assert all(found.status.allocation is None for found in self.server.claims.values())


PodGroupClaims.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestPodGroupClaims = PodGroupClaims.TestCase
