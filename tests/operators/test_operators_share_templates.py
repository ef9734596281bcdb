"""Templates of claims on parts of GPUs: there when pods name them, and right for the cards that there are."""

from types import SimpleNamespace

import msgspec
import pytest

from kai_py.api.decode import convert
from kai_py.api.resource import DeviceClass, ResourceClaim, ResourceSlice
from kai_py.cluster.shares.asks import ShareAsk
from kai_py.cluster.shares.ways import Ways
from kai_py.cluster.store import Store
from kai_py.core.tables.devices import Share
from kai_py.errors import ConflictError, ForbiddenError, LeaseLostError
from kai_py.operators.share_templates import KEPT, ShareTemplates
from kai_py.podgrouper.grouping import group_of
from kai_py.settings.load import load_settings
from tests.cluster.objects import NOW, blocked, pod, queue
from tests.planning.test_planning_claims import device_class
from tests.planning.test_planning_shares import DRIVER, SETTINGS, shared_gpus

WAYS = Ways.of(load_settings(SETTINGS))
NAME = ShareAsk.of(Share(millionths=500_000), WAYS.claims).template


class Server:
    """Templates and claims, as the API server keeps them."""

    def __init__(self):
        self.templates, self.error, self.writes = {}, None, []
        self.claims = SimpleNamespace(create=self.make_claim, delete=self.delete_claim)
        self.made_claims, self.deleted_claims = [], []

    async def get(self, _path, params):
        label, _, value = params["labelSelector"].partition("=")
        items = [one for one in self.templates.values() if one["metadata"]["labels"].get(label) == value]
        return msgspec.json.encode({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})

    async def create(self, _kind, obj):
        self.writes.append("create")
        if self.error is not None:
            raise self.error
        if obj["metadata"]["name"] in self.templates:
            raise ConflictError("there already")
        self.templates[obj["metadata"]["name"]] = obj

    async def remove(self, _kind, _namespace, name):
        self.writes.append("remove")
        return self.templates.pop(name, None) is not None

    async def make_claim(self, _namespace, metadata, _spec):
        self.made_claims.append(metadata["name"])

    async def delete_claim(self, claim):
        self.deleted_claims.append(claim.metadata.name)


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def store():
    made = Store(group_of)
    made.share_gpus(WAYS, NOW)
    made.put_queue(queue())
    made.claims.put_class(convert(DeviceClass, device_class("shared", f"device.driver == '{DRIVER}'")))
    offer(made, "n0", "80Gi")
    return made


@pytest.fixture
def woken():
    return []


@pytest.fixture
def templates(store, server, woken):
    return ShareTemplates(store, server, server, leading=lambda: True, wake=lambda: woken.append(True))


def offer(store, node, memory):
    store.claims.devices.put(convert(ResourceSlice, shared_gpus(node, 1, memory)))


def half(store, name="p", *, claim="", on="", template=NAME):
    waiting = pod(name, requests={"cpu": "1"}, on=on, annotations={"gpu-fraction": "0.5"})
    made = msgspec.to_builtins(waiting, enc_hook=dict)
    made["spec"]["resourceClaims"] = [{"name": "kai-gpu-share", "resourceClaimTemplateName": template}]
    if claim:
        made["status"] = {"resourceClaimStatuses": [{"name": "kai-gpu-share", "resourceClaimName": claim}]}
    store.put_pod(convert(type(waiting), made), NOW)
    return store.pod_key(f"{made['metadata']['namespace']}/{name}")


def amount(server):
    (request,) = server.templates[NAME]["spec"]["spec"]["devices"]["requests"]
    ways = request.get("firstAvailable") or [request["exactly"]]
    return [way["capacity"]["requests"]["memory"] for way in ways]


async def test_a_template_is_made_once_for_all_pods_that_name_it(store, server, templates):
    half(store, "a")
    half(store, "b")
    for _ in range(3):
        await templates.sweep()
    assert (server.writes, amount(server)) == (["create"], ["40Gi"])


async def test_a_new_process_makes_nothing_anew(store, server, templates):
    half(store)
    await templates.sweep()
    again = ShareTemplates(store, server, server, leading=lambda: True, wake=lambda: None)
    await again.sweep()
    assert server.writes == ["create"]


async def test_it_follows_the_cards_that_there_are_and_so_do_claims_without_devices(store, server, templates):
    half(store, claim="p-claim")
    await templates.sweep()
    claim = server.templates[NAME]["spec"]
    found = {"metadata": {"name": "p-claim", "namespace": "ns", **claim["metadata"]}, "spec": claim["spec"]}
    store.claims.put(convert(ResourceClaim, found))
    offer(store, "n1", "24Gi")
    await templates.sweep()
    assert (server.writes, amount(server)) == (["create", "remove", "create"], ["12Gi", "40Gi"])
    assert server.made_claims == []
    await templates.sweep()
    assert (server.deleted_claims, server.made_claims) == (["p-claim"], ["p-claim"])


async def test_a_size_that_goes_stays_in_it_and_comes_back_without_a_write(store, server, templates):
    offer(store, "n1", "24Gi")
    half(store)
    await templates.sweep()
    assert store.claims.devices.drop("n1-shared.example.com")
    await templates.sweep()
    offer(store, "n1", "24Gi")
    await templates.sweep()
    assert (server.writes, amount(server)) == (["create"], ["12Gi", "40Gi"])


async def test_a_claim_that_is_gone_is_made_when_it_is_still_gone(store, server, templates):
    half(store, claim="p-claim")
    await templates.sweep()
    assert server.made_claims == []  # the watch may be behind
    await templates.sweep()
    assert server.made_claims == ["p-claim"]


async def test_it_goes_a_while_after_the_last_pod_that_names_it(store, server, templates):
    key = half(store, on="n0")
    other = half(store, "q")
    await templates.sweep()
    store.drop_pod(other)
    for _ in range(KEPT + 2):
        await templates.sweep()
    assert NAME in server.templates  # a pod that runs keeps it
    store.drop_pod(key)
    for _ in range(KEPT):
        await templates.sweep()
    assert NAME in server.templates
    await templates.sweep()
    assert server.templates == {}
    await templates.sweep()
    server.get = None  # nothing is asked any more
    await templates.sweep()


async def test_looks_that_pods_call_for_do_not_count(store, server, templates):
    store.drop_pod(await made(store, templates))
    for _ in range(KEPT + 5):
        templates._called.set()
        await templates.pause()
        await templates.sweep()
    assert NAME in server.templates


async def made(store, templates):
    key = half(store)
    await templates.sweep()
    return key


async def test_what_the_server_refuses_is_said_and_tried_again(store, server, templates, woken):
    half(store)
    server.error = ForbiddenError("you may not")
    await templates.sweep()
    await templates.sweep()
    assert len(woken) == 1
    snapshot = store.take(NOW)
    assert blocked(snapshot, "pg-p-uid-p") == "SharedGpuNotOffered"
    ((_, details),) = snapshot.podgroups.blocked.values()
    assert "its template cannot be made: you may not" in details["message"]
    server.error = None
    await templates.sweep()
    assert len(woken) == 2
    assert blocked(store.take(NOW), "pg-p-uid-p") == "ResourceClaimDoesNotExist"


async def test_somebody_elses_template_of_that_name_is_left_alone(store, server, templates):
    half(store)
    theirs = server.templates[NAME] = {"metadata": {"name": NAME, "namespace": "ns", "labels": {}}}
    await templates.sweep()
    await templates.sweep()
    assert server.templates == {NAME: theirs}


async def test_no_template_is_made_of_another_class_than_settings_name(store, server, templates):
    """Its author may make pods, and perhaps no claims: nobody gets one on other devices through us."""
    other = ShareAsk(Share(millionths=500_000), "of-the-administrators", "memory", ("cores",)).template
    half(store, template=other)
    await templates.sweep()
    assert server.templates == {}
    assert blocked(store.take(NOW), "pg-p-uid-p") == "SharedGpuNotPrepared"


async def test_who_leads_no_more_stops(store, server, templates):
    half(store)
    server.error = LeaseLostError("no")
    await templates.sweep()
    assert server.templates == {}


async def test_a_pod_calls_for_a_template_that_is_not_there_and_for_no_other(store, server, templates):
    called = templates._called
    half(store, "a")
    assert called.is_set()
    await templates.sweep()
    called.clear()
    half(store, "b")
    assert not called.is_set()
