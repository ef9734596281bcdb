"""Every manifest in examples/workloads becomes the gang that its first line promises."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kai_py.planning.group import groups

FOLDER = Path(__file__).parents[2] / "examples" / "workloads"

ONE = {"minMember": 1}
#: By file: podgroups, pods, what a podgroup needs, its PriorityClass, whether an object is written, leaf subgroups.
GANGS = {
    "argo-workflow": (1, 1, ONE, "train", False, {}),
    "cronjob": (1, 1, ONE, "train", True, {}),
    "daemonset": (1, 1, ONE, "train", True, {}),
    "declared-kind": (1, 1, {"minMember": 5}, "train", True, {"head": 1, "worker": 4}),
    "deployment": (3, 3, ONE, "inference", False, {}),
    "dynamographdeployment": (1, 5, {"minMember": 3}, "train", True, {"prefill": 2, "decode": 1}),
    "inferenceservice": (1, 1, ONE, "inference", False, {}),
    "jaxjob": (1, 4, {"minMember": 4}, "train", True, {}),
    "job": (1, 4, {"minMember": 4}, "train", True, {}),
    "jobset": (
        1,
        9,
        {"minSubGroup": 2},
        "train",
        True,
        {"driver-replica-0": 1, "worker-replica-0": 4, "worker-replica-1": 4},
    ),
    "knative-service": (1, 2, {"minMember": 2}, "inference", True, {}),
    "leaderworkerset": (2, 8, {"minMember": 4}, "train", True, {"leader": 1, "workers": 3}),
    "mpijob": (1, 3, {"minMember": 2}, "train", True, {}),
    "notebook": (1, 1, ONE, "build", True, {}),
    "pod": (1, 1, ONE, "train", False, {}),
    "podcliqueset": (1, 5, {"minMember": 3}, "train", True, {"prefill": 2, "decode": 1}),
    "pytorchjob": (1, 5, {"minMember": 5}, "train", True, {"master": 1, "worker-0": 2, "worker-1": 2}),
    "raycluster": (1, 5, {"minMember": 3}, "train", True, {"headgroup": 1, "gpu": 2}),
    "rayjob": (1, 5, {"minMember": 3}, "train", True, {"headgroup": 1, "gpu": 2}),
    "rayservice": (1, 5, {"minMember": 3}, "train", True, {"headgroup": 1, "gpu": 2}),
    "rollout": (3, 3, ONE, "inference", False, {}),
    "seldondeployment": (1, 1, ONE, "train", True, {}),
    "sparkapplication": (1, 4, ONE, "train", True, {}),
    "statefulset": (1, 2, ONE, "train", True, {}),
    "tekton-pipelinerun": (1, 1, ONE, "train", True, {}),
    "tfjob": (1, 4, {"minMember": 4}, "train", True, {}),
    "trainjob": (1, 2, {"minSubGroup": 1}, "train", True, {"node-replica-0": 2}),
    "virtualmachineinstance": (1, 1, ONE, "train", True, {}),
    "xgboostjob": (1, 3, {"minMember": 2}, "train", True, {}),
}


def test_every_example_is_checked():
    assert sorted(GANGS) == sorted(file.stem for file in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", sorted(GANGS))
def test_an_example_becomes_the_gang_that_it_promises(name):
    podgroups, pods, minimum, priority, written, leaves = GANGS[name]
    text = (FOLDER / f"{name}.yaml").read_text()
    assert text.startswith("# ")
    answers, faults, _ = groups(yaml.safe_load_all(text))
    assert faults == []
    assert len(answers) == pods
    assert len({answer["podGroup"]["metadata"]["name"] for answer in answers}) == podgroups
    # A launcher that exists is counted; the workers, which are asked about first, are told nothing of it.
    spec = answers[-1]["podGroup"]["spec"]
    assert {key: spec.get(key) for key in minimum} == minimum
    assert (spec["priorityClassName"], spec["queue"], answers[-1]["written"]) == (priority, "research", written)
    subgroups = spec.get("subGroups", [])
    parents = {subgroup.get("parent") for subgroup in subgroups}
    assert {one["name"]: one["minMember"] for one in subgroups if one["name"] not in parents} == leaves
    if leaves:
        assert {answer["subGroup"] for answer in answers} <= set(leaves)
