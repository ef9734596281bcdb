import asyncio
import contextlib
import signal
import socket
import sys

import pytest
import yaml

from kai_py.kube.client import connect


@contextlib.asynccontextmanager
async def minicluster(*options):
    """The command in a process of its own, which is ended with the test."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kai_py", "minicluster", *options), stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_a_cluster_serves_until_it_is_interrupted_and_leaves_nothing_behind(tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    async with asyncio.timeout(60), minicluster("--nodes", "3", "--kubeconfig", str(kubeconfig)) as process:
        text = ""
        while "kubectl" not in text:
            text += (await process.stdout.readline()).decode()
        assert "3 h100 nodes with 24 GPUs" in text
        assert str(kubeconfig) in text
        async with await connect(str(kubeconfig)) as client:
            assert len((await client.get_object("/api/v1/nodes"))["items"]) == 3
            queue = await client.get_object("/apis/scheduling.run.ai/v2/queues/default-queue")
            assert queue["spec"]["parentQueue"] == "default-parent-queue"
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
        assert not kubeconfig.exists()


def test_somebody_elses_kubeconfig_is_not_overwritten(kai, tmp_path):
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(yaml.safe_dump({"current-context": "production"}))
    answer = kai("minicluster", "--nodes", 0, "--kubeconfig", kubeconfig)
    assert answer.exit_code == 2
    assert "production" in kubeconfig.read_text()


def test_an_unknown_profile_is_refused_with_those_that_there_are(kai):
    answer = kai("minicluster", "--profile", "abacus")
    assert answer.exit_code == 2
    assert "h100" in answer.stderr


@pytest.mark.parametrize(
    ("said", "answer"), [("mig+gold", "gold"), ("abacus=mig", "abacus"), ("mig+whole", "says twice"), ("", "plugin")]
)
def test_an_offer_of_devices_that_means_nothing_is_refused(kai, said, answer):
    found = kai("minicluster", "--nodes", 0, "--devices", said)
    assert found.exit_code == 2
    assert answer in found.stderr


@pytest.mark.parametrize(("gate", "answer"), [("Warp", "Warp"), ("DRAWorkloadResourceClaims", "GenericWorkload")])
def test_a_feature_gate_that_is_not_known_or_lacks_another_is_refused(kai, gate, answer):
    found = kai("minicluster", "--nodes", 0, "--feature-gate", gate)
    assert found.exit_code == 2
    assert answer in found.stderr


async def test_nodes_offer_the_devices_that_were_asked_for(tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    options = ("--nodes", "4", "--profile", "mixed", "--devices", "whole", "--devices", "h100=mig+nics")
    async with asyncio.timeout(60), minicluster(*options, "--kubeconfig", str(kubeconfig)) as process:
        text = ""
        while "kubectl" not in text:
            text += (await process.stdout.readline()).decode()
        assert "4 mixed nodes with 32 GPUs" in text
        async with await connect(str(kubeconfig)) as client:
            for _ in range(400):
                slices = (await client.get_object("/apis/resource.k8s.io/v1/resourceslices"))["items"]
                if len(slices) == 31:
                    break
                await asyncio.sleep(0.05)
            nodes = (await client.get_object("/api/v1/nodes"))["items"]
    assert all("nvidia.com/gpu" not in node["status"]["allocatable"] for node in nodes)
    drivers = {(one["spec"]["nodeName"], one["spec"]["driver"]) for one in slices}
    assert drivers == {(node["metadata"]["name"], "gpu.nvidia.com") for node in nodes} | {
        (node["metadata"]["name"], "dra.net") for node in nodes if node["metadata"]["name"].startswith("h100")
    }


def test_a_port_that_cannot_be_had_is_told(kai, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = kai("minicluster", "--nodes", 0, "--port", port, "--kubeconfig", tmp_path / "k")
    assert answer.exit_code == 1
    assert str(port) in answer.stderr
    assert not (tmp_path / "k").exists()
