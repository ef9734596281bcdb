"""The chart as tests see it: rendered by helm, taken apart by kind."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

Json = dict[str, Any]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "kai-py"
NAMESPACE = "kai-scheduler"
#: All that can be switched on.
EVERYTHING: Json = {
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "rules": {"enabled": True},
        "dashboards": {"enabled": True},
    },
    "decisions": {"expose": True},
    "networkPolicy": {
        "restrictEgress": True,
        "metricsFrom": [{"namespaceSelector": {}}],
        "webhooksFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
    },
    "imagePullSecrets": [{"name": "registry"}],
    "tolerations": [{"operator": "Exists"}],
    "nodeSelector": {"pool": "system"},
    "extraEnv": [{"name": "SOME", "value": "thing"}],
    "podLabels": {"team": "platform"},
    "podAnnotations": {"note": "none"},
    "commonLabels": {"cost-center": "7"},
    "serviceAccount": {"annotations": {"some": "thing"}},
    "settings": {
        "gpuSharing": "trusted",
        "fairness": {"usage": {"enabled": True}},
        "nodePool": {"value": "left"},
        "schedulerNames": ["kai-scheduler", "other"],
        "podGroups": {"defaultPrioritiesConfigMap": {"namespace": "defaults", "name": "priorities"}},
    },
    "shadow": {"placement": {"gpu": "spread"}},
    "queues": {"team": {"parentQueue": "default-parent-queue", "resources": {"gpu": {"quota": 8}}}},
    "topologies": {"racks": {"levels": [{"nodeLabel": "example.com/rack", "alias": "rack"}]}},
    "rbac": {"extraOwners": [{"apiGroup": "example.com", "resources": ["trainingruns"]}]},
}
VALUE_SETS: dict[str, Json] = {
    "defaults": {},
    "everything": EVERYTHING,
    "sharing": {"settings": {"gpuSharing": "reservation"}},
    "cert-manager": {"webhooks": {"certificates": "certManager"}},
    "alone": {"replicaCount": 1, "leaderElection": {"enabled": False}, "crds": {"upgrade": False}},
    "bare": {
        "webhooks": {"enabled": False},
        "policies": {"enabled": False},
        "serviceAccount": {"create": False, "name": "somebody"},
        "rbac": {"create": False, "aggregate": False},
        "settingsConfigMap": {"create": False, "name": "mine"},
        "defaultQueues": {"create": False},
        "workloadPriorityClasses": {"create": False},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "image": {"registry": "", "digest": "sha256:" + "0" * 64},
        "priorityClassName": "",
        "topologySpreadConstraints": [],
    },
}


def helm() -> str:
    """The program; the test is skipped where there is none."""
    found = os.environ.get("HELM") or shutil.which("helm")
    if not found:
        pytest.skip("helm is neither on PATH nor named by the variable HELM")
    return found


def run_helm(*arguments: str, values: Json | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm with values on its standard input."""
    command = [helm(), *arguments, "--values", "-"]
    return subprocess.run(
        command, input=json.dumps(values or {}), capture_output=True, text=True, timeout=60, check=False
    )


def template(values: Json | None = None, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Render the chart."""
    version = ["--namespace", NAMESPACE, "--kube-version", "1.36.0"]
    return run_helm("template", "kai-py", str(CHART), *version, *arguments, values=values)


def render(values: Json | None = None, *arguments: str) -> list[Json]:
    """All objects that the chart makes with these values."""
    return json.loads(_rendered(json.dumps(values or {}), arguments))  # a copy for each who asks


@functools.cache
def _rendered(values: str, arguments: tuple[str, ...]) -> str:
    done = template(json.loads(values), *arguments)
    assert done.returncode == 0, done.stderr
    return json.dumps([one for one in yaml.safe_load_all(done.stdout) if one])


def of_kind(objects: list[Json], kind: str, name: str = "") -> list[Json]:
    """Objects of a kind, and of a name if one is given."""
    return [one for one in objects if one["kind"] == kind and name in ("", one["metadata"]["name"])]


def one_of(objects: list[Json], kind: str, name: str = "kai-py") -> Json:
    """The object of a kind and name."""
    (found,) = of_kind(objects, kind, name)
    return found


def is_hook(manifest: Json) -> bool:
    """Whether helm applies an object only now and then."""
    return "helm.sh/hook" in manifest["metadata"].get("annotations", {})


def pods(objects: list[Json]) -> list[Json]:
    """Specs of all pods, whatever makes them."""
    specs = [one["spec"] for one in of_kind(objects, "Pod")]
    return specs + [one["spec"]["template"]["spec"] for kind in ("Deployment", "Job") for one in of_kind(objects, kind)]


def scheduler_container(objects: list[Json]) -> Json:
    """The container of the Deployment."""
    (container,) = one_of(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return container  # type: ignore[no-any-return]  # a document
