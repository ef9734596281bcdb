"""The real kubectl against the embedded server."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from kai_py.minicluster import MiniCluster

KUBECTL = shutil.which("kubectl")
pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not on PATH")

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "img:1"}]}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {a: b}
"""

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, shortNames: [wd], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}, scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
    additionalPrinterColumns:
    - {name: Size, type: integer, jsonPath: .spec.size}
    - {name: Phase, type: string, jsonPath: .status.phase, priority: 1}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [size]
            properties:
              size: {type: integer, minimum: 1, description: How big it is.}
              replicas: {type: integer}
          status: {type: object, properties: {phase: {type: string}, replicas: {type: integer}}}
"""


class Kubectl:
    """Runs kubectl with the cluster's kubeconfig."""

    def __init__(self, kubeconfig: Path, home: Path) -> None:
        self._environment = {"KUBECONFIG": str(kubeconfig), "HOME": str(home), "PATH": "/usr/bin:/bin"}

    async def start(self, *args: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            str(KUBECTL),
            *args,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment,
        )

    async def fails(self, *args: str, text: str = "") -> str:
        """What kubectl complains about."""
        process = await self.start(*args)
        _, complaint = await asyncio.wait_for(process.communicate(text.encode()), 20)
        assert process.returncode, f"kubectl {' '.join(args)} should have failed"
        return complaint.decode()

    async def __call__(self, *args: str, text: str = "") -> str:
        process = await self.start(*args)
        output, complaint = await asyncio.wait_for(process.communicate(text.encode()), 20)
        assert process.returncode == 0, f"kubectl {' '.join(args)}: {complaint.decode()}"
        return output.decode()


@pytest.fixture
async def kubectl(cluster: MiniCluster, tmp_path: Path) -> Kubectl:
    path = tmp_path / "kubeconfig"
    cluster.write_kubeconfig(path)
    return Kubectl(path, tmp_path)


async def test_kubectl_applies_and_changes_manifests(kubectl: Kubectl) -> None:
    assert "deployment.apps/web created" in await kubectl("apply", "-f", "-", text=MANIFEST)
    assert "deployment.apps/web unchanged" in await kubectl("apply", "-f", "-", text=MANIFEST)
    changed = await kubectl("apply", "-f", "-", text=MANIFEST.replace("replicas: 2", "replicas: 3"))
    assert "deployment.apps/web configured" in changed
    assert "deployment.apps/web configured" in await kubectl(
        "apply", "-f", "-", text=MANIFEST.replace("img:1", "img:2")
    )
    assert await kubectl("get", "deploy", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}") == "img:2"
    assert await kubectl("diff", "-f", "-", text=MANIFEST.replace("img:1", "img:2")) == ""


async def test_kubectl_applies_on_the_server_side(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in await kubectl(*apply, text=MANIFEST)
    changed = MANIFEST.replace("replicas: 2", "replicas: 5")
    complaint = await kubectl.fails(*apply, "--field-manager=other", text=changed)
    assert 'conflict with "kubectl": .spec.replicas' in complaint
    assert "serverside-applied" in await kubectl(*apply, "--field-manager=other", "--force-conflicts", text=changed)


async def test_kubectl_refuses_unknown_fields(kubectl: Kubectl) -> None:
    complaint = await kubectl.fails("apply", "-f", "-", text=MANIFEST.replace("\ndata:", "\ncolour: red\ndata:"))
    assert 'unknown field "colour"' in complaint


async def test_kubectl_gets_describes_labels_patches_and_deletes(kubectl: Kubectl) -> None:
    assert "pod/web created" in await kubectl("run", "web", "--image=img:1")
    wide = await kubectl("get", "pods", "-o", "wide")
    assert wide.split("\n")[0].split()[:6] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"]
    assert "NOMINATED NODE" in wide
    described = (await kubectl("describe", "pod", "web")).split()
    assert described[described.index("QoS") + 2] == "BestEffort"
    await kubectl("label", "pod", "web", "team=a")
    await kubectl("annotate", "pod", "web", "note=b")
    await kubectl("patch", "pod", "web", "-p", '{"spec":{"activeDeadlineSeconds":9}}')
    found = json.loads(await kubectl("get", "pod", "-l", "team=a", "-o", "json"))["items"][0]
    assert (found["metadata"]["annotations"], found["spec"]["activeDeadlineSeconds"]) == ({"note": "b"}, 9)
    assert 'pod "web" deleted' in await kubectl("delete", "pod", "web")
    assert "NotFound" in await kubectl.fails("get", "pod", "web")


async def test_kubectl_explains(kubectl: Kubectl) -> None:
    text = await kubectl("explain", "pod.spec.containers")
    assert "FIELD: containers <[]Container>" in text
    assert "imagePullPolicy" in text
    await kubectl("apply", "-f", "-", text=DEFINITION)
    assert "How big it is." in await kubectl("explain", "widget.spec.size")


async def test_kubectl_waits_for_conditions(kubectl: Kubectl, cluster: MiniCluster) -> None:
    await kubectl("run", "web", "--image=img:1")
    waiting = await kubectl.start("wait", "--for=condition=Ready", "pod/web", "--timeout=10s")
    await asyncio.sleep(0.05)
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    cluster.storage.patch("pods", "web", ready, "default", subresource="status")
    output, _ = await asyncio.wait_for(waiting.communicate(), 15)
    assert b"condition met" in output


async def test_kubectl_watches(kubectl: Kubectl, cluster: MiniCluster) -> None:
    await kubectl("run", "web", "--image=img:1")
    watching = await kubectl.start("get", "pods", "-w")
    assert watching.stdout is not None
    lines = [await asyncio.wait_for(watching.stdout.readline(), 10) for _ in range(2)]
    cluster.storage.bind("default", "web", "n")
    cluster.storage.patch("pods", "web", {"status": {"phase": "Running"}}, "default", subresource="status")
    lines += [await asyncio.wait_for(watching.stdout.readline(), 10) for _ in range(2)]
    watching.terminate()
    await watching.communicate()
    assert [line.split()[0] for line in lines] == [b"NAME", b"web", b"web", b"web"]
    assert lines[-1].split()[2] == b"Running"


async def test_kubectl_handles_custom_kinds(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", text=DEFINITION)
    await kubectl("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=5s")
    widget = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 3}\n"
    assert "created" in await kubectl("apply", "-f", "-", text=widget)
    assert "configured" in await kubectl("apply", "-f", "-", text=widget.replace("3", "4"))
    assert (await kubectl("get", "wd")).split() == ["NAME", "SIZE", "w", "4"]
    assert "PHASE" in await kubectl("get", "wd", "-o", "wide")
    assert "widget.example.com/w" in await kubectl("get", "all")
    await kubectl("scale", "wd", "w", "--replicas=5")
    assert await kubectl("get", "wd", "w", "-o", "jsonpath={.spec.replicas}") == "5"
    assert "should be greater than or equal to 1" in await kubectl.fails(
        "apply", "-f", "-", text=widget.replace("3", "0")
    )
    assert "Size:" in await kubectl("describe", "wd", "w")


async def test_kubectl_knows_what_is_served(kubectl: Kubectl) -> None:
    listed = await kubectl("api-resources", "--no-headers")
    for line in (
        "deployments",
        "resourceclaims",
        "priorityclasses",
        "customresourcedefinitions",
        "poddisruptionbudgets",
    ):
        assert any(row.startswith(line) for row in listed.split("\n")), line
    assert await kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert "kai-py-mini" in await kubectl("version", "-o", "json")


async def test_kubectl_deletes_namespaces_with_their_contents(kubectl: Kubectl, cluster: MiniCluster) -> None:
    await kubectl("create", "namespace", "team")
    await kubectl("run", "web", "--image=img:1", "-n", "team")
    assert "deleted" in await kubectl("delete", "namespace", "team")
    assert cluster.storage.find("namespaces", "team") is None


async def test_kubectl_creates_by_command(kubectl: Kubectl, cluster: MiniCluster) -> None:
    await kubectl("create", "configmap", "c", "--from-literal=a=b")
    await kubectl("create", "secret", "generic", "s", "--from-literal=a=b")
    await kubectl("create", "serviceaccount", "builder")
    await kubectl("create", "priorityclass", "high", "--value=-7", "--description=d", "--preemption-policy=Never")
    assert cluster.storage.get("configmaps", "c", "default")["data"] == {"a": "b"}
    assert cluster.storage.get("secrets", "s", "default")["data"] == {"a": "Yg=="}
    created = cluster.storage.get("priorityclasses.scheduling.k8s.io", "high")
    assert (created["value"], created["description"], created["preemptionPolicy"]) == (-7, "d", "Never")
    assert "unknown format" in await kubectl.fails("create", "deployment", "d", "--image=i")


async def test_kubectl_drains_a_node_through_evictions(kubectl: Kubectl, cluster: MiniCluster) -> None:
    cluster.storage.create("nodes", {"metadata": {"name": "n"}})
    await kubectl("run", "web", "--image=img:1")
    cluster.storage.bind("default", "web", "n")
    cluster.storage.patch("pods", "web", {"status": {"phase": "Running"}}, "default", subresource="status")
    complaint = await kubectl.fails("drain", "n", "--force", "--timeout=1s")
    assert 'error when waiting for pod "web"' in complaint
    conditions = cluster.storage.get("pods", "web", "default")["status"]["conditions"]
    assert {"DisruptionTarget"} <= {condition["type"] for condition in conditions}
    assert cluster.storage.get("nodes", "n")["spec"]["unschedulable"] is True
