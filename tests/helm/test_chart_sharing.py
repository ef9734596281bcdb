"""Shared GPUs in the chart: a namespace, who reservation pods are, and what the scheduler may do there. No more."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from kai_py.errors import ForbiddenError
from kai_py.kube.client import connect
from kai_py.operators import share_templates
from kai_py.operators.kinds import CONFIG_MAPS, PODS
from tests.e2e.harness import Cluster, fresh_namespace
from tests.e2e.test_share_claims import DOCUMENT as CLAIMED
from tests.e2e.test_share_claims import device_class, device_of, offer, templates
from tests.e2e.test_share_claims import share as claim_share
from tests.e2e.test_sharing import HOLDING, node_of, seen_by, settings_in, share

from .charts import NAMESPACE, of_kind, one_of, render
from .conftest import Audited
from .installing import account_kubeconfig, install, namespace
from .test_chart_rights import WRITES, granted, writes

SHARING = {"settings": {"gpuSharing": "reservation"}, "defaultQueues": {"create": False}}


def test_the_scheduler_makes_configmaps_anywhere_and_pods_in_one_namespace_only() -> None:
    objects = render(SHARING)
    assert writes(one_of(objects, "ClusterRole")) == {
        **WRITES,
        "pods": {"delete", "patch"},
        "configmaps": {"create", "patch"},
    }
    role = one_of(objects, "Role", "kai-py-gpu-reservation")
    assert (role["metadata"]["namespace"], granted(role)) == (HOLDING, {("", "pods"): {"create"}})
    (subject,) = one_of(objects, "RoleBinding", "kai-py-gpu-reservation")["subjects"]
    assert subject["namespace"] == NAMESPACE


def test_reservation_pods_may_read_and_change_each_other_and_nothing_else() -> None:
    objects = render(SHARING)
    assert granted(one_of(objects, "Role", HOLDING)) == {("", "pods"): {"get", "patch"}}
    assert one_of(objects, "ServiceAccount", HOLDING)["metadata"]["namespace"] == HOLDING
    assert one_of(objects, "Namespace", HOLDING)["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


def test_nothing_of_it_is_there_where_gpus_are_not_reserved_and_names_follow_the_settings() -> None:
    for values in ({}, {"settings": {"gpuSharing": "trusted"}}):
        objects = render(values)
        assert not of_kind(objects, "Namespace") + of_kind(objects, "Role", "kai-py-gpu-reservation")
    settings = {"gpuSharing": "reservation", "gpuReservation": {"namespace": "held", "serviceAccount": "who"}}
    objects = render({"settings": settings, "gpuReservation": {"createNamespace": False}})
    assert not of_kind(objects, "Namespace")
    assert one_of(objects, "ServiceAccount", "who")["metadata"]["namespace"] == "held"
    assert one_of(objects, "Role", "kai-py-gpu-reservation")["metadata"]["namespace"] == "held"


@pytest.fixture
async def cluster(audited: Audited) -> AsyncIterator[Cluster]:
    """The control plane with a namespace for the test."""
    async with await connect(str(audited.kubeconfig)) as client:
        made = Cluster(audited.kubeconfig, client, fresh_namespace(), real=True)
        await namespace(client, made.namespace)
        yield made
        await made.clean()


async def test_these_rights_are_enough_to_share_a_gpu(cluster: Cluster, audited: Audited, tmp_path: Path) -> None:
    """And the pod security of the namespace lets reservation pods in."""
    # Policies keep a queue as long as its status says that it is in use, and here nobody mends that in the end.
    await install(cluster.client, render({**SHARING, "policies": {"enabled": False}}))
    account = await account_kubeconfig(cluster.client, audited.kubeconfig, "kai-py")
    async with node_of(cluster):
        lowly = dataclasses.replace(cluster, kubeconfig=account)
        async with lowly.scheduler(settings_file=settings_in(tmp_path)):
            await share(cluster, "one", gpu_fraction="0.5")
            await share(cluster, "two", gpu_fraction="0.5")
            await cluster.until_bound("one", "two")
            assert await seen_by(cluster, "one") == await seen_by(cluster, "two")
            for name in ("one", "two"):
                await cluster.delete_pod(name)

            async def given_back() -> bool:
                found = await cluster.client.get_object(PODS.path(HOLDING))
                return not found["items"]

            await cluster.until(given_back)
        async with await connect(str(account)) as client:
            with pytest.raises(ForbiddenError):
                await client.get(CONFIG_MAPS.path(cluster.namespace))
    refused = [request for request in audited.requests("kai-py") if request[4] == 403]
    assert [request for request in refused if request[:3] != ("list", "", "configmaps")] == []


async def test_these_rights_are_enough_to_share_gpus_by_claims(
    cluster: Cluster, audited: Audited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(share_templates, "EVERY", 0.2)
    monkeypatch.setattr(share_templates, "KEPT", 1)
    values = {"settings": CLAIMED, "defaultQueues": {"create": False}, "policies": {"enabled": False}}
    await install(cluster.client, render(values))
    account = await account_kubeconfig(cluster.client, audited.kubeconfig, "kai-py")
    await cluster.nodes(1, gpus=0)
    await device_class(cluster)
    await offer(cluster, "node-0", "80Gi")
    await cluster.queue("team")
    file = tmp_path / "settings.yaml"
    file.write_text(yaml.safe_dump(CLAIMED), encoding="utf-8")
    lowly = dataclasses.replace(cluster, kubeconfig=account)
    async with lowly.scheduler(settings_file=file):
        pod = await claim_share(cluster, "half", guarded=False, gpu_fraction="0.5")
        ((name, _),) = (await cluster.until(lambda: templates(cluster))).items()
        assert name == pod["spec"]["resourceClaims"][0]["resourceClaimTemplateName"]
        # Nobody makes claims here, so that the scheduler does: to it, this one has been deleted.
        said = {"resourceClaimStatuses": [{"name": "kai-gpu-share", "resourceClaimName": "half-share"}]}
        await cluster.client.patch(PODS.path(cluster.namespace, "half", "status"), {"status": said})
        await cluster.until_bound("half")
        assert (await device_of(cluster, "half"))[2] == {"memory": "40Gi", "cores": "50"}
        await cluster.delete_pod("half")

        async def gone() -> bool:
            return not await templates(cluster)

        await cluster.until(gone)
    assert [request for request in audited.requests("kai-py") if request[4] == 403 and "claim" in request[2]] == []
