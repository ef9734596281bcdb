"""Claims on extended resources: made before the pod is bound, deleted when it is not."""

from __future__ import annotations

import asyncio

import pytest

from kai_py.api.meta import ObjectMeta
from kai_py.api.resource import ResourceClaim, ResourceClaimSpec
from kai_py.core.cycle import run_cycle
from kai_py.core.options import Options
from kai_py.core.result import Bind
from kai_py.errors import ForbiddenError
from kai_py.kube.pods import Outcome, Result
from tests.cluster.test_cluster_claims import NOW
from tests.cluster.test_cluster_extended import stocked
from tests.operators.test_operators_starts import Claims, Server, decided, settled, show
from tests.planning.test_planning_extended import asking

MADE = "a-extended-resources-1"


class Makes(Claims):
    """It makes and deletes claims, too."""

    async def create(self, namespace, metadata, spec):
        self.did.append(("create", metadata["generateName"]))
        if "create" in self.refuses:
            raise self.refuses["create"]
        meta = ObjectMeta(
            f"{metadata['generateName']}1",
            namespace=namespace,
            uid="made",
            resource_version="1",
            annotations=metadata["annotations"],
            finalizers=tuple(metadata["finalizers"]),
        )
        return ResourceClaim(meta, ResourceClaimSpec(spec))

    async def publish(self, pod, status):
        self.did.append(("publish", pod.name, status.resource_claim_name, status.request_mappings[0].request_name))
        if "publish" in self.refuses:
            raise self.refuses["publish"]

    async def delete(self, claim):
        self.did.append(("delete", claim.metadata.name))


@pytest.fixture
def server():
    made = Server()
    made.claims = Makes(made.did)
    return made


@pytest.fixture
def store():
    return stocked(asking("a", 2))


def free(store):
    """How many pods of two devices still find some."""
    return sum(len(one.claims) for one in decided(store))


async def test_the_claim_is_made_published_written_and_only_then_the_pod_is_bound(store, server, dispatcher):
    dispatcher.submit(decided(store))
    await settled()
    assert [one[0] for one in server.did] == ["create", "publish", "allocate"]
    assert server.did[1] == ("publish", "a", MADE, "container-0-request-1")
    show(store, dispatcher, MADE)
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert server.did[-1] == ("bind", "a")
    (claim,) = store.claims.objects.by_name.values()
    assert (claim.metadata.name, len(claim.status.allocation.devices.results)) == (MADE, 2)


async def test_devices_count_as_taken_before_their_claim_exists(store, server):
    (bind,) = decided(store)
    store.decisions.assume(bind, NOW)
    other = stocked(asking("a", 2), asking("b", 2), asking("c", 2))
    first, *_ = decided(other)
    other.decisions.assume(first, NOW)
    binds = decided(other)
    taken = {one.device for granted in first.claims for one in granted.allocation.devices}
    given = [one.device for bind in binds for granted in bind.claims for one in granted.allocation.devices]
    assert len(given) == len(set(given)) == 2
    assert taken.isdisjoint(given)
    other.decisions.release(first, NOW)
    assert len(decided(other)) == 2


@pytest.mark.parametrize("step", ["create", "publish"])
async def test_a_claim_that_cannot_be_made_starts_nobody_and_leaves_nothing(store, server, dispatcher, told, step):
    server.claims.refuses[step] = ForbiddenError("no", status=403)
    dispatcher.submit(decided(store))
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert [pod for pod, _ in told] == ["default/a"]
    assert "no claim on extended resources" in told[0][1]
    assert ("bind", "a") not in server.did
    assert (("delete", MADE) in server.did) == (step == "publish")
    assert all(one.status.allocation is None for one in store.claims.objects.by_name.values())


async def test_a_pod_that_cannot_be_bound_loses_its_claim_and_the_next_attempt_makes_another(store, server, dispatcher):
    server.result = Result(Outcome.CONFLICT, "it is on another node")
    dispatcher.submit(decided(store))
    await settled()
    show(store, dispatcher, MADE)
    await asyncio.wait_for(dispatcher.idle(), 5)
    assert server.did[-2:] == [("free", MADE), ("delete", MADE)]
    store.claims.drop(("default", MADE))
    later = NOW + 3600  # it pauses after what was refused
    store.carryover.tidy(later)
    result = run_cycle(store.take(later), Options(), clock=lambda: 0.0)
    (bind,) = [one for one in result.decisions if isinstance(one, Bind)]
    assert [(one.claim, one.uid) for one in bind.claims] == [("default/a-extended-resources-", "")]


def test_a_claim_that_is_there_already_is_used():
    """A crash left it behind: the pod's status names it, and it has no devices."""
    pod = asking("a", 2) | {"status": {"extendedResourceClaimStatus": {"resourceClaimName": MADE}}}
    again = stocked(pod)
    spec = again.claims.extended.claim_of(again.pod_key("default/a"), frozenset({"container-0-request-1"})).spec
    meta = ObjectMeta(MADE, namespace="default", uid="made", resource_version="1")
    again.claims.put(ResourceClaim(meta, ResourceClaimSpec(spec)))
    (bind,) = decided(again)
    assert [(one.claim, one.uid, one.extended) for one in bind.claims] == [(f"default/{MADE}", "made", True)]
