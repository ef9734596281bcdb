"""Pages that promise a walk are walked: every ``bash`` block, in its order, against a cluster and a scheduler."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kai_py.cli.minicluster import furnish, workers
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.kinds import CRDS, NAMESPACES
from kai_py.minicluster.pools import nodes
from kai_py.operators.run import RunConfig, run_scheduler

ROOT = Path(__file__).parents[2]
GUIDES = ROOT / "docs" / "guides"
pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```bash\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def coscheduling_crd() -> dict[str, object]:
    """What scheduler-plugins has installed before."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"kind": "PodGroup", "listKind": "PodGroupList", "plural": "podgroups", "singular": "podgroup"}
    group = "scheduling.x-k8s.io"
    spec = {
        "group": group,
        "scope": "Namespaced",
        "names": names,
        "versions": [{**version, "subresources": {"status": {}}}],
    }
    return {"metadata": {"name": f"podgroups.{group}"}, "spec": spec}


@pytest.fixture
async def environment(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """The variables of a shell beside a running cluster and its scheduler; ``kai-py`` is this checkout's."""
    mini = MiniCluster(workers=workers())
    furnish(mini, nodes("h100", 6), crds=True)
    mini.storage.create(CRDS.key, coscheduling_crd())
    assert mini.storage.find(NAMESPACES.key, "default") is not None
    program = tmp_path / "bin" / "kai-py"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kai_py "$@"\n')
    program.chmod(0o755)
    async with mini:
        kubeconfig = tmp_path / "kubeconfig"
        mini.write_kubeconfig(kubeconfig)
        stop, ready = asyncio.Event(), asyncio.Event()
        config = RunConfig(
            kubeconfig=str(kubeconfig), leader_elect=False, metrics_port=None, probes_port=None, decisions_at=None
        )
        scheduler = asyncio.create_task(run_scheduler(config, stop=stop, ready=ready))
        await asyncio.wait_for(ready.wait(), 20)
        for name in ("crds", "examples"):
            (tmp_path / name).symlink_to(ROOT / name)
        path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
        yield {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "KUBECONFIG": str(kubeconfig)}
        stop.set()
        await scheduler


@pytest.mark.slow
@pytest.mark.parametrize("page", ["from-kai.md", "from-coscheduling.md"])
async def test_the_page_can_be_walked_through(environment: dict[str, str], tmp_path: Path, page: str) -> None:
    found = blocks(GUIDES / page)
    assert len(found) >= 4
    for block in found:
        process = await asyncio.create_subprocess_exec(
            "bash", "-euo", "pipefail", "-c", block, env=environment, cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await asyncio.wait_for(process.communicate(), 90)
        assert process.returncode == 0, f"{block}\n{output.decode()}"
