"""What printer columns of custom kinds show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kai_py.minicluster import MiniCluster
from kai_py.minicluster.serving.jsonpath import find

from .conftest import client_session

CRDS = Path(__file__).parents[2] / "crds"
THREE = {"status": {"conditions": [{"reason": "A"}, {"reason": "B"}, {"reason": "C"}]}}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".status.conditions[1].reason", ["B"]),
        (".status.conditions[-1].reason", ["C"]),
        (".status.conditions[-1:].reason", ["C"]),
        (".status.conditions[:2].reason", ["A", "B"]),
        (".status.conditions[1:2].reason", ["B"]),
        (".status.conditions[3:].reason", []),
        (".status.conditions[*].reason", ["A", "B", "C"]),
        ('.status.conditions[?(@.reason=="B")].reason', ["B"]),
        (".status.phase", []),
        (".status[-1:]", []),
    ],
)
def test_a_path_finds(path: str, found: list[str]) -> None:
    assert find(THREE, path) == found


async def shown(cluster: MiniCluster, path: str) -> dict[str, Any]:
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    async with client_session() as session, session.get(cluster.url + path, headers=accept) as response:
        table = await response.json()
    names = [column["name"] for column in table["columnDefinitions"]]
    return dict(zip(names, table["rows"][0]["cells"], strict=True))


async def test_our_kinds_show_why_they_wait_and_what_is_below_them() -> None:
    async with MiniCluster(crds=CRDS) as cluster:
        group = {"metadata": {"name": "train"}, "spec": {"queue": "team", "minMember": 2}}
        cluster.storage.create("podgroups.scheduling.run.ai", group, "default")
        same = {"type": "UnschedulableOnNodePool", "status": "True"}
        conditions = [same | {"reason": reason} for reason in ("OverLimit", "GangDoesNotFit")]
        status = {"status": {"schedulingConditions": conditions}}
        cluster.storage.patch("podgroups.scheduling.run.ai", "train", status, "default", subresource="status")
        cluster.storage.create("queues.scheduling.run.ai", {"metadata": {"name": "team"}, "spec": {}})
        children = {"status": {"childQueues": ["a", "b"]}}
        cluster.storage.patch("queues.scheduling.run.ai", "team", children, subresource="status")
        waits = await shown(cluster, "/apis/scheduling.run.ai/v2alpha2/namespaces/default/podgroups")
        above = await shown(cluster, "/apis/scheduling.run.ai/v2/queues")
    assert (waits["Name"], waits["Waiting"], waits["MinMember"]) == ("train", "GangDoesNotFit", 2)
    assert (above["Name"], above["Children"]) == ("team", '["a","b"]')
