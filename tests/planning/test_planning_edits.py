from kai_py import plan
from kai_py.planning.edits import with_edits
from kai_py.planning.manifests import Sourced

from .builders import NOW, node, pod, queue


def live(*objects):
    return [Sourced(one, "live", live=True) for one in objects]


def test_an_edit_is_merged_into_its_object():
    more = {"apiVersion": "scheduling.run.ai/v2", "kind": "Queue", "metadata": {"name": "team"}}
    more["spec"] = {"resources": {"gpu": {"limit": 8}}}
    (edited,) = with_edits(live(queue(gpus=2, limit=2, uid="u")), [Sourced(more, "edit.yaml")])
    assert edited.manifest["spec"]["resources"]["gpu"] == {"quota": 2, "limit": 8, "overQuotaWeight": 1}
    assert edited.manifest["metadata"]["uid"] == "u"
    assert (edited.source, edited.live) == ("edit.yaml", False)


def test_null_removes_a_field_and_a_list_is_replaced():
    old = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"a": 1, "b": [1, 2]}}
    new = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "spec": {"a": None, "b": [3]}}
    (edited,) = with_edits(live(old), [Sourced(new)])
    assert edited.manifest["spec"] == {"b": [3]}


def test_what_is_not_there_is_added_and_lists_are_taken_apart():
    edits = [Sourced({"apiVersion": "v1", "kind": "List", "items": [node("n2"), pod("a")]}, "edit.yaml")]
    names = [one.manifest["metadata"]["name"] for one in with_edits(live(node()), edits)]
    assert names == ["n1", "n2", "a"]


def test_the_default_namespace_need_not_be_said():
    there = pod("a", on="n1")
    there["metadata"]["namespace"] = "default"
    (edited,) = with_edits(live(there), [Sourced(pod("a"))])
    assert edited.manifest["metadata"]["namespace"] == "default"


def test_more_quota_is_what_it_takes():
    cluster = live(node(), queue(gpus=0, limit=1), pod("a", gpus=2))
    waiting = plan(cluster, now=NOW).to_dict()["cycles"][0]["waiting"]
    edit = {"apiVersion": "scheduling.run.ai/v2", "kind": "Queue", "metadata": {"name": "team"}}
    edit["spec"] = {"resources": {"gpu": {"limit": 4}}}
    assert waiting[0]["reasons"][0]["code"] == "OverLimit"
    assert plan(with_edits(cluster, [Sourced(edit)]), now=NOW).to_dict()["pods"]["default/a"]["state"] == "Bound"
