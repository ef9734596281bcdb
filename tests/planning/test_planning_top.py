"""Who holds how much."""

from kai_py.planning.top import top

from .builders import NOW, node, pod, queue


def test_podgroups_are_sorted_by_what_they_hold():
    objects = [
        node(),
        node("n2"),
        queue(),
        pod("small", 1, on="n1"),
        pod("large", 4, on="n1"),
        pod("waits", 8),
        pod("foreign", 2, on="n2", scheduler="other"),
    ]
    answer = top(objects, NOW)
    assert [
        (one["podGroup"].split("-")[1], one["queue"], one["pods"], one["nodes"]) for one in answer["podGroups"]
    ] == [
        ("large", "team", 1, 1),
        ("small", "team", 1, 1),
    ]
    assert [one["holds"]["gpu"] for one in answer["podGroups"]] == [4.0, 1.0]
    assert [(one["node"], one["pods"], one["holds"]["gpu"]) for one in answer["nodes"]] == [
        ("n1", 2, 5.0),
        ("n2", 1, 2.0),
    ]


def test_a_gang_over_two_nodes_is_one_row():
    answer = top([node(), node("n2"), queue(), *(pod(f"p-{n}", 3, on=f"n{n}", group="g") for n in (1, 2))], NOW)
    (gang,) = answer["podGroups"]
    assert (gang["podGroup"], gang["pods"], gang["nodes"], gang["holds"]["gpu"]) == ("default/g", 2, 2, 6.0)
