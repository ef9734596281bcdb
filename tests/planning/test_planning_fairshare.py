import pytest

from kai_py import fair_share
from kai_py.errors import InputError


def ask(*queues, total=8, **more):
    answer = fair_share({"total": {"gpu": total}, "queues": list(queues), **more})
    return {name: shares["gpu"]["fairShare"] for name, shares in answer["queues"].items()}


def queue(name, quota=0, weight=0, requested=None, **more):
    asked = {} if requested is None else {"requested": {"gpu": requested}}
    return {"name": name, "resources": {"gpu": {"quota": quota, "overQuotaWeight": weight}}, **asked, **more}


def faults(document):
    with pytest.raises(InputError) as caught:
        fair_share(document)
    return [(fault.where, fault.field) for fault in caught.value.faults]


def test_a_quota_comes_first_and_what_is_left_goes_by_weight():
    assert ask(queue("a", 4, 1, 8), queue("b", 1, 2, 8)) == {"a": 5, "b": 3}


def test_a_parent_asks_for_what_its_children_ask_for_unless_it_says_so_itself():
    children = [queue("a", 4, 1, 3, parent="p"), queue("b", 4, 1, 3, parent="p")]
    assert ask(queue("p", 8), *children)["p"] == 6
    assert ask(queue("p", 8, requested=2), *children)["p"] == 2


def test_memory_quotas_are_in_megabytes_and_all_else_of_memory_in_bytes():
    entry = {"name": "a", "resources": {"memory": {"quota": 3}}, "requested": {"memory": 10_000_000}}
    answer = fair_share({"total": {"memory": 8_000_000}, "queues": [entry]})
    assert answer["queues"]["a"]["memory"]["fairShare"] == 3_000_000


def test_a_queue_that_asks_for_nothing_has_nothing():
    assert ask({"name": "a"}, queue("b", 2, requested=9)) == {"a": 0, "b": 2}


def test_quotas_beyond_what_there_is_are_granted_with_a_warning():
    document = {"total": {"gpu": 8}, "queues": [queue("a", 6, requested=6), queue("b", 6, requested=6)]}
    answer = fair_share(document)
    assert {name: shares["gpu"]["fairShare"] for name, shares in answer["queues"].items()} == {"a": 6, "b": 6}
    (warning,) = answer["warnings"]
    assert "12 of 8" in warning


def test_all_faults_of_a_document_are_reported_together():
    document = {"total": {"gpu": -1}, "kvalue": 1, "queues": [{"name": "a", "resources": {"gpu": {"quota": -2}}}, {}]}
    assert [field for _, field in faults(document)] == [
        "total.gpu",
        "queues[0].resources.gpu.quota",
        "queues[1].name",
        "kvalue",
    ]


@pytest.mark.parametrize(
    ("parents", "wrong"),
    [
        ({"a": "b", "b": "a", "c": None}, ["queue a", "queue b"]),
        ({"a": "a"}, ["queue a"]),
        ({"a": "missing", "b": "a"}, ["queue a"]),
    ],
)
def test_a_broken_tree_is_a_fault_of_the_queues_that_break_it(parents, wrong):
    queues = [{"name": name, "parent": parent} for name, parent in parents.items()]
    assert faults({"total": {}, "queues": queues}) == [(name, "parent") for name in wrong]


def test_a_name_can_be_given_once():
    ((_, field),) = faults({"total": {}, "queues": [{"name": "a"}, {"name": "a"}]})
    assert field == "queues"
