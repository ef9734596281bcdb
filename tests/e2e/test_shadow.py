"""Other settings beside those in force: what differs is published, and nothing is done about it."""

import json

from kai_py.errors import NotFoundError

from .harness import Cluster


async def test_the_difference_that_other_settings_make_is_published_without_acting(cluster: Cluster) -> None:
    await cluster.nodes(1, gpus=4)
    await cluster.queue("q")
    path = f"/api/v1/namespaces/{cluster.namespace}/configmaps"
    settings = {"settings.yaml": "actions: {order: [nothing]}"}
    await cluster.create(path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "s"}, "data": settings})

    async def told(reason):
        events = await cluster.client.get_object(f"/apis/events.k8s.io/v1/namespaces/{cluster.namespace}/events")
        return reason in [one["reason"] for one in events["items"]]

    async def published():
        try:
            found = await cluster.client.get_object(f"{path}/kai-py-shadow")
        except NotFoundError:
            return None
        return json.loads(found["data"]["difference.json"])

    async with cluster.scheduler(settings_configmap=(cluster.namespace, "s")):
        await cluster.until(lambda: told("InvalidSettings"))
        await cluster.client.patch(f"{path}/s", {"data": {"settings.yaml": "actions: {order: []}"}})
        await cluster.until(lambda: told("SettingsAccepted"))
        await cluster.pod("a", queue="q", gpus=2)
        await cluster.client.patch(f"{path}/s", {"data": {"shadow.yaml": "actions: {order: [allocate]}"}})
        difference = await cluster.until(published, patience=60)
        assert difference["counts"]["starts.more"] == 1
        assert [one["pod"] for one in difference["starts"]["more"]] == [f"{cluster.namespace}/a"]
        assert await cluster.places() == {}
        assert await cluster.until(lambda: told("ShadowCompared"))
