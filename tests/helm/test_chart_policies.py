"""The policies as the chart installs them: the API server refuses by itself, with nobody beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from kai_py.admission.policies import policies
from kai_py.errors import ApiError
from kai_py.kube.client import ApiClient, connect
from kai_py.operators.kinds import PODS, QUEUES
from kai_py.settings.model import Settings

from .charts import EVERYTHING, Json, of_kind, one_of, render
from .conftest import Audited
from .installing import ADMISSION, install, namespace, path_of
from .test_chart_webhooks import pod, queue

POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
ALONE: Json = {"webhooks": {"enabled": False}, "defaultQueues": {"create": False}}


def actions(values: Json) -> dict[str, list[str]]:
    """What each policy does, by its name."""
    found = of_kind(render(values), BINDING)
    return {one["metadata"]["name"].removeprefix("kai-py-"): one["spec"]["validationActions"] for one in found}


def test_policies_are_as_strict_as_the_settings_and_warn_only_where_no_webhook_does() -> None:
    assert actions({}) == {"queues-in-use": ["Deny"], "pods": ["Deny"]}
    assert actions(ALONE) == {"queues-in-use": ["Deny"], "quotas": ["Warn"], "pods": ["Deny"]}
    strict = {"settings": {"admission": {"quotas": "refuse", "pods": "warn"}}}
    assert actions(strict) == {"queues-in-use": ["Deny"], "quotas": ["Deny"]}
    assert actions(strict | ALONE) == {"queues-in-use": ["Deny"], "quotas": ["Deny"], "pods": ["Warn"]}
    assert actions({"settings": {"admission": {"quotas": "ignore"}}} | ALONE) == actions({})
    assert actions({"policies": {"enabled": False}}) == {}


def test_the_chart_knows_every_policy_and_the_defaults_of_the_settings() -> None:
    objects = render({"settings": {"admission": {"quotas": "refuse"}}})
    found = {one["metadata"]["name"].removeprefix("kai-py-"): one["spec"] for one in of_kind(objects, POLICY)}
    assert found == {name: one.spec for name, one in policies().items()}
    admission = Settings().admission
    assert (admission.quotas, admission.pods) == ("warn", "refuse")
    assert {one.rigour for one in policies().values()} == {"", "quotas", "pods"}


def test_policies_read_the_names_of_schedulers_from_the_settings() -> None:
    assert one_of(render(EVERYTHING), "ConfigMap", "kai-py-policies")["data"] == {
        "schedulerNames": "kai-scheduler,other"
    }
    (binding,) = [one for one in of_kind(render(EVERYTHING), BINDING) if one["metadata"]["name"] == "kai-py-pods"]
    assert binding["spec"]["paramRef"]["name"] == "kai-py-policies"


@pytest.fixture
async def client(audited: Audited) -> AsyncIterator[ApiClient]:
    async with await connect(str(audited.kubeconfig)) as made:
        yield made


@pytest.fixture
async def policed(client: ApiClient) -> AsyncIterator[ApiClient]:
    """A real server with the chart's policies, and no webhooks."""
    objects = render({**ALONE, "settings": {"admission": {"quotas": "refuse"}}})
    await install(client, objects)
    await namespace(client, "somewhere")
    for name in ("kai-py-pods", "kai-py-quotas", "kai-py-queues-in-use"):
        assert one_of(objects, POLICY, name)
    await until_refused(client)
    yield client
    for one in objects:
        if one["kind"] in ADMISSION:
            await client.delete(path_of(one))
    for one in (await client.get_object(QUEUES.path()))["items"]:
        await client.delete(QUEUES.path("", one["metadata"]["name"]))


async def until_refused(client: ApiClient) -> None:
    """Policies take a moment until they hold."""
    await client.post(QUEUES.path(), queue("first", ""))
    await client.patch(f"{QUEUES.path('', 'first')}/status", {"status": {"childQueues": ["a"]}})

    async def until(ask: Callable[[], Awaitable[object]]) -> None:
        for _ in range(300):
            try:
                await ask()
            except ApiError:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("never refused")

    await until(lambda: client.post(f"{PODS.path('somewhere')}?dryRun=All", pod("p", "Not_A_Queue")))
    await until(lambda: client.post(f"{QUEUES.path()}?dryRun=All", bounded("q", quota=2, limit=1)))
    await until(lambda: client.delete(f"{QUEUES.path('', 'first')}?dryRun=All"))
    await client.patch(f"{QUEUES.path('', 'first')}/status", {"status": {"childQueues": None}})


def bounded(name: str, **gpu: float) -> Json:
    body = queue(name, "")
    body["spec"]["resources"]["gpu"] = gpu
    return body


async def test_a_label_that_can_name_no_queue_is_refused(policed: ApiClient) -> None:
    pods = PODS.path("somewhere")
    with pytest.raises(ApiError, match='there can be no queue of the name "Not_A_Queue"'):
        await policed.post(pods, pod("bad", "Not_A_Queue"))
    await policed.post(f"{pods}?dryRun=All", pod("good", "a.b-c"))
    body = pod("others", "Not_A_Queue")
    body["spec"]["schedulerName"] = "default-scheduler"
    await policed.post(f"{pods}?dryRun=All", body)


async def test_a_limit_below_the_quota_is_refused_where_settings_say_so(policed: ApiClient) -> None:
    with pytest.raises(ApiError, match=r"spec.resources.gpu.limit: the limit is below the quota"):
        await policed.post(QUEUES.path(), bounded("bad", quota=2, limit=1))
    with pytest.raises(ApiError, match="gpu"):
        await policed.post(QUEUES.path(), bounded("bad", quota=-1, limit=1))
    with pytest.raises(ApiError, match="gpu"):
        await policed.post(QUEUES.path(), bounded("bad", quota=1))
    more = queue("bad", "")
    more["spec"]["resources"]["additional"] = [{"name": "example.com/nic", "quota": 2, "limit": 1}]
    with pytest.raises(ApiError, match="additional"):
        await policed.post(QUEUES.path(), more)
    for good in ({"quota": 1, "limit": 1}, {"quota": 5, "limit": -1}, {"quota": -1, "limit": -1}, {}):
        await policed.post(f"{QUEUES.path()}?dryRun=All", bounded("good", **good))
    await policed.post(f"{QUEUES.path()}?dryRun=All", {**queue("empty", ""), "spec": {}})
    bare = queue("bare", "")
    del bare["spec"]
    await policed.post(f"{QUEUES.path()}?dryRun=All", bare)


async def test_a_queue_in_use_is_not_deleted(policed: ApiClient) -> None:
    for name in ("busy", "parent", "idle"):
        await policed.post(QUEUES.path(), queue(name, ""))

    async def status(name: str, **amounts: object) -> None:
        await policed.patch(f"{QUEUES.path('', name)}/status", {"status": amounts})

    await status("busy", requested={"cpu": "0", "nvidia.com/gpu": "500m"}, allocated={"cpu": 0})
    await status("parent", childQueues=["a", "b"])
    await status("idle", requested={"cpu": "0", "memory": 0}, allocated={}, childQueues=[])
    with pytest.raises(ApiError, match="queue busy is in use: pods hold or wait for its resources"):
        await policed.delete(QUEUES.path("", "busy"))
    with pytest.raises(ApiError, match="queue parent has child queues: a, b"):
        await policed.delete(QUEUES.path("", "parent"))
    await policed.delete(QUEUES.path("", "idle"))
    await status("busy", requested=None, allocated=None)
    await status("parent", childQueues=None)
