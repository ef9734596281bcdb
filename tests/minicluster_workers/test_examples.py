"""Every manifest in examples/ is accepted as it stands, means something, and runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kai_py import plan
from kai_py.api.podgroup import PodGroup
from kai_py.api.queue import Queue
from kai_py.api.topology import Topology
from kai_py.minicluster import pools
from kai_py.minicluster.workers.owned_pods import INDEX
from kai_py.settings.load import load_settings

from .examples import EXAMPLES, GUIDE, PLANNED, apply, carry_out, documents
from .world import World

#: Those that a device plugin serves; the others claim devices.
PLAIN = [file for file in EXAMPLES if file.name < "10"]


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_begins_by_saying_what_it_shows(file: Path):
    text = file.read_text(encoding="utf-8")
    assert re.match(r"# \S.{10,}\n", text)


def test_the_guide_lists_every_example():
    linked = re.findall(r"\(\.\./\.\./examples/([^)]+\.yaml)\)", GUIDE.read_text(encoding="utf-8"))
    assert sorted(linked) == [file.name for file in EXAMPLES]


def test_examples_say_what_our_models_understand():
    models = {"Queue": Queue, "PodGroup": PodGroup, "Topology": Topology}
    read = [models[one["kind"]].parse(one) for one in documents(*EXAMPLES) if one["kind"] in models]
    assert len(read) == 11
    for one in documents(*EXAMPLES):
        if one["kind"] == "ConfigMap":
            assert load_settings(one["data"]["settings.yaml"]).gangs.staleness_grace_period.seconds == 120


def test_every_workload_names_a_queue_and_a_priority_class_that_exist():
    objects = documents(*EXAMPLES)
    queues = {one["metadata"]["name"] for one in objects if one["kind"] == "Queue"}
    classes = {one["metadata"]["name"] for one in objects if one["kind"] == "PriorityClass"}
    for one in objects:
        labels, spec = one["metadata"].get("labels") or {}, one.get("spec") or {}
        if one["kind"] in ("Pod", "Job", "PodGroup"):
            assert labels.get("kai.scheduler/queue", spec.get("queue")) in queues
        named = labels.get("priorityClassName", spec.get("priorityClassName"))
        assert named in classes | {None}


async def test_all_examples_without_claims_are_accepted_planned_and_run(world: World):
    pools.register(world.storage, pools.nodes("h100", 16))
    await apply(world, *documents(*PLAIN))
    pods = world.pods()
    assert len(pods) == 1 + 4 + 4 + 5 + 8 + 4 + 8
    result = plan([one for kind in PLANNED for one in world.storage.list(kind)]).to_dict()
    binds = [bind for cycle in result["cycles"] for bind in cycle["binds"]]
    assert {bind["pod"] for bind in binds} == {f"default/{one['metadata']['name']}" for one in pods}
    racks = {
        one["metadata"]["name"]: one["metadata"]["labels"][pools.RACK_LABEL] for one in world.storage.list("nodes")
    }
    assert len({racks[bind["node"]] for bind in binds if bind["pod"].startswith("default/allreduce")}) == 1
    cliques = {
        one["metadata"]["name"]: one["metadata"]["labels"][pools.NVLINK_LABEL] for one in world.storage.list("nodes")
    }
    index = {one["metadata"]["name"]: one["metadata"]["labels"].get(INDEX) for one in pods}
    pairs: dict[int, set[str]] = {}
    for bind in binds:
        if (name := bind["pod"].partition("/")[2]).startswith("tensor-pairs"):
            pairs.setdefault(int(index[name]) // 2, set()).add(cliques[bind["node"]])
    assert {number: len(found) for number, found in pairs.items()} == {0: 1, 1: 1, 2: 1, 3: 1}
    carry_out(world, binds)
    await world.pass_(1)
    assert {one["status"]["phase"] for one in world.pods()} == {"Running"}
    assert world.kubelets.overcommitted == 0
    await world.pass_(60)
    ended = {one["metadata"]["name"] for one in world.pods() if one["status"]["phase"] == "Succeeded"}
    assert {"pretrain-0", "pretrain-1", "pretrain-2", "pretrain-3"} <= ended
    for job in world.storage.list("jobs.batch"):
        assert [one["type"] for one in job["status"]["conditions"]] == ["SuccessCriteriaMet", "Complete"]
