"""One cluster per test: on the embedded server, and on a real control plane when KUBEBUILDER_ASSETS names one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import yaml

from kai_py.api.meta import PartialObject
from kai_py.cli.minicluster import furnish, workers
from kai_py.kube.client import connect
from kai_py.kube.resource import ResourceKind
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.pools import RACK_LABEL, nodes

from .control_plane import assets, control_plane
from .harness import Cluster, fresh_namespace

CRDS = Path(__file__).parents[2] / "crds"
_CRD_KIND = ResourceKind("apiextensions.k8s.io", "v1", "customresourcedefinitions", PartialObject, namespaced=False)


@pytest.fixture(scope="session")
def real_kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path | None]:
    """A kubeconfig of a real control plane, started once; None without KUBEBUILDER_ASSETS."""
    binaries = assets()
    if binaries is None:
        yield None
        return
    with control_plane(binaries, tmp_path_factory.mktemp("control-plane")) as kubeconfig:
        yield kubeconfig


@pytest.fixture(params=["embedded", "real"])
async def cluster(
    request: pytest.FixtureRequest, tmp_path: Path, real_kubeconfig: Path | None
) -> AsyncIterator[Cluster]:
    """An empty cluster with our CRDs and a namespace for the test."""
    if request.param == "real":
        if real_kubeconfig is None:
            pytest.skip("KUBEBUILDER_ASSETS does not name a folder with etcd and kube-apiserver")
        async for made in _cluster(real_kubeconfig, real=True, faults=None):
            yield made
        return
    async with MiniCluster(crds=CRDS) as mini:
        kubeconfig = tmp_path / "kubeconfig"
        mini.write_kubeconfig(kubeconfig)
        async for made in _cluster(kubeconfig, real=False, faults=mini.faults):
            yield made


@pytest.fixture
def embedded(cluster: Cluster) -> Cluster:
    """Faults can only be ordered from the embedded server."""
    if cluster.real:
        pytest.skip("a real kube-apiserver does not fail on demand")
    return cluster


@pytest.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Cluster]:
    """What ``kai-py minicluster --nodes 10`` starts."""
    mini = MiniCluster(workers=workers())
    furnish(mini, nodes("h100", 10), crds=True)
    async with mini:
        kubeconfig = tmp_path / "kubeconfig"
        mini.write_kubeconfig(kubeconfig)
        async with await connect(str(kubeconfig)) as client:
            yield Cluster(kubeconfig, client, "default", real=False, faults=mini.faults)


@pytest.fixture
async def lively(bare: Cluster) -> Cluster:
    """The same, with the queue and the topology that the examples name."""
    await bare.queue("research")
    topology = {"metadata": {"name": "racks"}, "spec": {"levels": [{"nodeLabel": RACK_LABEL, "alias": "rack"}]}}
    kind = {"apiVersion": "kai.scheduler/v1alpha1", "kind": "Topology"}
    await bare.create("/apis/kai.scheduler/v1alpha1/topologies", kind | topology)
    return bare


async def _cluster(kubeconfig: Path, *, real: bool, faults: object) -> AsyncIterator[Cluster]:
    async with await connect(str(kubeconfig)) as client:
        made = Cluster(kubeconfig, client, fresh_namespace(), real, faults)
        if real:
            await _install_crds(made)
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace}}
        await client.post("/api/v1/namespaces", namespace)
        yield made
        await made.clean()


async def _install_crds(cluster: Cluster) -> None:
    """Apply our CRDs; the API server takes a moment to serve them."""
    for file in sorted(CRDS.glob("*.yaml")):
        crd = yaml.safe_load(file.read_text(encoding="utf-8"))
        name, spec = crd["metadata"]["name"], crd["spec"]
        path = f"{_CRD_KIND.path('', name)}?fieldManager=kai-py&force=true"
        await cluster.client.patch(path, crd, content_type="application/apply-patch+yaml")

        async def served(spec: dict = spec) -> bool:  # type: ignore[type-arg]  # a document
            version = spec["versions"][0]["name"]
            return await cluster.client.served(spec["group"], version, spec["names"]["plural"])

        await cluster.until(served)
