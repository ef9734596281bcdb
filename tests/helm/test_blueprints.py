"""Blueprints render, and the scheduler's own code places pods in every queue that they make."""

from __future__ import annotations

import io
import re

import pytest
import yaml

from kai_py import plan
from kai_py.planning.documents import read_documents
from kai_py.planning.drift import differences, read_wanted
from kai_py.settings.load import load_settings

from .charts import ROOT, of_kind, one_of, render

FOLDER = ROOT / "helm" / "blueprints"
NAMES = ("dra", "inference", "kata", "mixed", "training")


def values(name):
    return yaml.safe_load((FOLDER / name / "values.yaml").read_text())


def test_these_are_all_blueprints():
    assert tuple(sorted(path.parent.name for path in FOLDER.glob("*/values.yaml"))) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_blueprint_says_its_name_and_version_everywhere(name):
    blueprint = values(name)["blueprint"]
    assert blueprint["name"] == name
    assert re.fullmatch(r"\d+\.\d+\.\d+", blueprint["version"])
    assert f"| [{name}]({name}/values.yaml) | {blueprint['version']} |" in (FOLDER / "README.md").read_text()
    configmap = one_of(render(values(name)), "ConfigMap", "kai-py-settings")
    assert configmap["metadata"]["annotations"]["kai.scheduler/blueprint"] == f"{name}@{blueprint['version']}"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_rendered_is_what_drift_compares_with(name):
    objects = render(values(name))
    wanted = read_wanted(read_documents([str(FOLDER / name / "values.yaml")], io.StringIO()))
    live = {kind: of_kind(objects, kind) for kind in ("Queue", "Topology")}
    settings = one_of(objects, "ConfigMap", "kai-py-settings")["data"]["settings.yaml"]
    assert list(differences(wanted, live, settings)) == []
    assert load_settings(settings) == load_settings(values(name)["settings"])


@pytest.mark.parametrize("name", NAMES)
def test_every_leaf_takes_a_pod_and_no_queue_has_a_fault(name):
    objects = [
        one for one in render(values(name)) if one["kind"] in ("Queue", "Topology", "PriorityClass", "ConfigMap")
    ]
    queues = of_kind(objects, "Queue")
    parents = {queue["spec"].get("parentQueue") for queue in queues}
    leaves = [queue["metadata"]["name"] for queue in queues if queue["metadata"]["name"] not in parents]
    assert len(leaves) >= 2
    amounts = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": "8"}
    status = {"allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]}
    nodes = [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{number}"}, "status": status}
        for number in range(2)
    ]
    homes = [namespace(queue) for queue in queues if queue["metadata"]["name"] in leaves]
    answer = plan([*objects, *nodes, *homes, *(pod(leaf) for leaf in leaves)]).to_dict()
    bound = {bind["pod"] for cycle in answer["cycles"] for bind in cycle["binds"]}
    assert bound == {f"{leaf}/worker" for leaf in leaves}
    assert answer["warnings"] == []


def namespace(queue):
    """One that may use the queue, of the queue's name."""
    labels = queue["spec"].get("allowedNamespaces", {}).get("matchLabels", {})
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": queue["metadata"]["name"], "labels": labels}}


def pod(queue):
    resources = {"limits": {"nvidia.com/gpu": "1"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "worker", "namespace": queue, "labels": {"kai.scheduler/queue": queue}},
        "spec": {
            "schedulerName": "kai-scheduler",
            "containers": [{"name": "main", "image": "example.com/main:1", "resources": resources}],
        },
    }


@pytest.mark.parametrize("name", ["training", "mixed"])
def test_quotas_of_children_add_up_to_no_more_than_their_parents(name):
    queues = {one["metadata"]["name"]: one["spec"] for one in of_kind(render(values(name)), "Queue")}
    for parent, spec in queues.items():
        quota = spec["resources"]["gpu"]["quota"]
        children = [one["resources"]["gpu"]["quota"] for one in queues.values() if one.get("parentQueue") == parent]
        assert quota == -1 or sum(children) <= quota, parent
