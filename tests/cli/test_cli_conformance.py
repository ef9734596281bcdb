"""``kai-py conformance run`` on the embedded cluster: what it finds of us, and of a scheduler that knows no gangs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from kai_py.cli.conformance import command
from kai_py.cli.conformance.evidence import Evidence, Requirement, Status, write
from kai_py.cli.conformance.stage import Terms
from kai_py.cli.minicluster import furnish, workers
from kai_py.minicluster import MiniCluster, Storage
from kai_py.minicluster.devices.offers import Offer, equip
from kai_py.minicluster.pools import nodes
from kai_py.operators.run import RunConfig, run_scheduler

TERMS = Terms("kai-scheduler", "default-queue", "nvidia.com/gpu", patience=20, quiet=0.4)
IDS = ["gang_scheduling", "dra_support", "gpu_sharing", "secure_accelerator_access"]


@contextlib.asynccontextmanager
async def cluster(folder: Path, *offers: str, also: tuple[object, ...] = ()) -> AsyncIterator[Path]:
    """A cluster with a node for each kind of offer. Gives its kubeconfig."""
    mini = MiniCluster(workers=[*workers(), *also])  # type: ignore[list-item]
    pool = [equip(node, Offer.parse(offer)) for node, offer in zip(nodes("h100", len(offers)), offers, strict=True)]
    furnish(mini, pool, crds=True)
    async with mini:
        mini.write_kubeconfig(folder / "kubeconfig")
        yield folder / "kubeconfig"


@contextlib.asynccontextmanager
async def scheduler(kubeconfig: Path) -> AsyncIterator[None]:
    stop, ready = asyncio.Event(), asyncio.Event()
    config = RunConfig(
        kubeconfig=str(kubeconfig), leader_elect=False, metrics_port=None, probes_port=None, decisions_at=None
    )
    task = asyncio.create_task(run_scheduler(config, stop=stop, ready=ready))
    try:
        await asyncio.wait_for(ready.wait(), 20)
        yield
    finally:
        stop.set()
        await task


async def test_all_requirements_are_met_and_the_evidence_stands_where_the_programme_looks(tmp_path: Path):
    report = tmp_path / "report"
    async with cluster(tmp_path, "plugin", "plugin", "whole", "shared") as kubeconfig, scheduler(kubeconfig):
        found = await command._run(str(kubeconfig), None, TERMS, report)
    assert {one.requirement.id: (one.status, one.note) for one in found} == dict.fromkeys(IDS, (Status.PASSED, ""))
    text = (report / "PRODUCT.yaml").read_text(encoding="utf-8")
    product = yaml.safe_load(text)
    assert product["metadata"]["kubernetesVersion"].startswith("v1.")
    listed = [one for section in product["spec"].values() for one in section]
    assert {one["id"]: one["status"] for one in listed} == dict.fromkeys(IDS, "Implemented")
    for one in listed:
        [path] = one["evidence"]
        assert (report / path).read_text(encoding="utf-8").endswith("**Result: Implemented.**\n")
    gangs = (report / "tests/TestSchedulingOrchestration_GangScheduling/output.md").read_text(encoding="utf-8")
    assert "| Succeeded | h100-" in gangs
    assert "did not get a node" in gangs
    assert "nvidia.com/gpu on 2 nodes; begun 20" in gangs
    remarks = {one["id"]: one["notes"] for one in listed}
    assert remarks["gang_scheduling"] == ""
    assert "not in that of 1.36" in remarks["dra_support"]
    assert "is not tested" in remarks["secure_accelerator_access"]


async def _one_by_one(storage: Storage) -> None:
    """Binds any pod to any node with room, as if gangs were nothing."""
    while True:
        free = {node["metadata"]["name"]: 8 for node in storage.list("nodes")}
        waiting = []
        for pod in storage.list("pods"):
            if pod["status"]["phase"] in ("Succeeded", "Failed"):
                continue
            asked = int(pod["spec"]["containers"][0].get("resources", {}).get("limits", {}).get("nvidia.com/gpu", 0))
            if pod["spec"].get("nodeName"):
                free[pod["spec"]["nodeName"]] -= asked
            else:
                waiting.append((pod["metadata"], asked))
        for meta, asked in waiting:
            node = next((name for name, gpus in free.items() if gpus >= asked), None)
            if node is not None:
                storage.bind(meta["namespace"], meta["name"], node)
                free[node] -= asked
        await asyncio.sleep(0.02)


async def test_a_scheduler_that_knows_no_gangs_is_found_out(tmp_path: Path):
    terms = Terms("any", "default-queue", "nvidia.com/gpu", patience=2, quiet=0.2)
    async with cluster(tmp_path, "plugin", "plugin", also=(_one_by_one,)) as kubeconfig:
        found = await command._run(str(kubeconfig), None, terms, tmp_path / "report")
    by_id = {one.requirement.id: one for one in found}
    assert by_id["gang_scheduling"].status is Status.FAILED
    assert (by_id["dra_support"].status, by_id["gpu_sharing"].status) == (Status.SKIPPED, Status.SKIPPED)
    assert "no free device" in by_id["gpu_sharing"].note


@pytest.mark.parametrize("status", Status)
def test_a_report_says_how_a_requirement_is_met_and_why_not(tmp_path: Path, status: Status):
    evidence = Evidence(Requirement("x", "security", "MUST", "TestX", "About x."), status, "Because.")
    evidence.table([("a", "b"), ("1", "2")])
    write(tmp_path, [evidence], kubernetes="v1.36.0", version="1")
    text = (tmp_path / "tests/TestX/output.md").read_text(encoding="utf-8")
    assert text.startswith("# TestX\n\nAbout x.\n")
    assert "| a | b |\n| --- | --- |\n| 1 | 2 |" in text
    assert text.endswith(f"**Result: {status.value}.** Because.\n")
