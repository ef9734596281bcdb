from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.cluster.classes import ClassBook
from kai_py.cluster.encode.axis import Accounting, make_axis
from kai_py.cluster.encode.demand import Demand, DemandReader, demand_of
from kai_py.core.tables.classes import NodeTerm, PodClass, PreferredTerm, Requirement, Toleration
from kai_py.core.tables.zones import Alignment
from kai_py.errors import MalformedObjectError
from tests.cluster.objects import GPU, pod


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


def affinity(*terms: Any, preferred: Any = ()) -> dict[str, Any]:
    required = {"nodeSelectorTerms": list(terms)} if terms else None
    return {
        "affinity": {
            "nodeAffinity": {
                **({"requiredDuringSchedulingIgnoredDuringExecution": required} if required else {}),
                "preferredDuringSchedulingIgnoredDuringExecution": list(preferred),
            }
        }
    }


def constraints(**spec: Any) -> PodClass:
    return demand_of(pod("p", **spec)).constraints


def test_selectors_do_not_depend_on_the_order_in_which_they_are_written():
    assert constraints(nodeSelector={"b": "2", "a": "1"}).selector == (("a", "1"), ("b", "2"))


def test_tolerations_have_the_defaults_of_the_api():
    tolerations = [{"key": "a"}, {"operator": "Exists", "effect": "NoExecute"}]
    assert constraints(tolerations=tolerations).tolerations == (
        Toleration("a", "Equal"),
        Toleration("", "Exists", "", "NoExecute"),
    )


def test_required_terms_are_kept_apart():
    found = constraints(
        **affinity(
            {"matchExpressions": [expression("rack", "In", "r1", "r2"), expression("x", "Exists")]},
            {"matchFields": [expression("metadata.name", "In", "a")]},
        )
    ).required
    assert found == (
        NodeTerm((Requirement("rack", "In", ("r1", "r2")), Requirement("x", "Exists"))),
        NodeTerm((), (Requirement("metadata.name", "In", ("a",)),)),
    )


@pytest.mark.parametrize(
    "wrong",
    [
        expression("x", "In"),
        expression("x", "Exists", "1"),
        expression("x", "Gt", "1", "2"),
        expression("x", "Gt", "one"),
        expression("x", "Lt", "9223372036854775808"),
        expression("x", "Lt", "1" * 100),
        expression("x", "Near", "1"),
    ],
)
def test_a_term_that_does_not_parse_matches_nothing(wrong):
    assert constraints(**affinity({"matchExpressions": [wrong]})).required == ()
    wish = {"weight": 5, "preference": {"matchExpressions": [wrong]}}
    assert constraints(**affinity(preferred=[wish])).preferred == ()


@pytest.mark.parametrize("bound", ["-5", "+5", "9223372036854775807", "-9223372036854775808"])
def test_bounds_are_int64(bound):
    assert len(constraints(**affinity({"matchExpressions": [expression("x", "Gt", bound)]})).required) == 1


@pytest.mark.parametrize(("weight", "counts"), [(0, False), (1, True), (100, True), (101, False), (-1, False)])
def test_a_wish_counts_if_its_weight_is_one_that_the_api_allows(weight, counts):
    term = {"matchExpressions": [expression("x", "Exists")]}
    found = constraints(**affinity(preferred=[{"weight": weight, "preference": term}])).preferred
    assert found == ((PreferredTerm(weight, NodeTerm((Requirement("x", "Exists"),))),) if counts else ())


def test_of_a_pod_that_stays_where_it_is_only_what_it_takes_matters():
    bound = pod("p", on="a", nodeSelector={"rack": "r1"}, tolerations=[{"operator": "Exists"}])
    found = demand_of(bound, stays=True)
    assert demand_of(bound).constraints.selector == (("rack", "r1"),)  # it may be moved
    gpu = ((GPU, 1000),)
    assert found == Demand((("cpu", 1000), (GPU, 1000), ("pods", 1)), PodClass((), alignment=Alignment(gpu, (gpu,))))


SPECS = st.fixed_dictionaries(
    {
        "on": st.sampled_from(["", "a"]),
        "requests": st.sampled_from([{"cpu": "1"}, {"cpu": "2", GPU: 1}]),
        "nodeSelector": st.sampled_from([{}, {"rack": "r1"}]),
        "overhead": st.sampled_from([{}, {"cpu": "1"}]),
        "resources": st.sampled_from([{}, {"requests": {"cpu": "3"}}]),
        "tolerations": st.sampled_from([[], [{"operator": "Exists"}]]),
        "initContainers": st.sampled_from([[], [{"name": "i", "resources": {"requests": {"cpu": "9"}}}]]),
        "conditions": st.sampled_from([[], [{"type": "PodResizePending", "reason": "Infeasible"}]]),
    }
)


@given(st.lists(st.tuples(SPECS, st.booleans()), max_size=12))
def test_what_is_remembered_is_what_would_be_read(specs):
    reader = DemandReader()
    for number, (spec, stays) in enumerate(specs):
        each = pod(f"p{number}", **spec)
        assert reader.read(each, stays=stays) == demand_of(each, stays=stays)


def test_a_memory_that_is_full_is_emptied(monkeypatch):
    monkeypatch.setattr("kai_py.cluster.encode.demand._REMEMBERED", 2)
    reader = DemandReader()
    for cpu in range(9):
        assert reader.read(pod("p", requests={"cpu": cpu}), stays=False) == demand_of(pod("p", requests={"cpu": cpu}))
    assert len(reader._known) <= 2


def test_nodes_that_refused_a_pod_are_excluded():
    reader, refused = DemandReader(), frozenset({"b"})
    assert reader.read(pod("p"), stays=False, excluded=refused).constraints.excluded == refused
    assert reader.read(pod("p"), stays=False).constraints.excluded == frozenset()


def test_a_malformed_pod_is_read_again_and_again():
    reader = DemandReader()
    for _ in range(2):
        with pytest.raises(MalformedObjectError, match="Pod ns/p"):
            reader.read(pod("p", requests={"cpu": "x"}), stays=False)


def demand(cpu: int, **more: int) -> Demand:
    return Demand((("cpu", cpu), *more.items()), PodClass(()))


def test_the_smallest_free_class_number_is_used_again():
    classes = ClassBook()
    numbers = [classes.take(demand(cpu)) for cpu in (1, 2, 3)]
    for number in (numbers[2], numbers[0]):
        classes.give_back(number)
    assert classes.take(demand(9)) == numbers[0]
    assert classes.demand(numbers[1]) == demand(2)


def test_a_class_stays_as_long_as_somebody_uses_it():
    classes = ClassBook()
    number = classes.take(demand(1, gpus=1))
    assert classes.take(demand(1, gpus=1)) == number
    classes.hold(number)
    for _ in range(2):
        classes.give_back(number)
        assert classes.resources == {"cpu", "gpus"}
    classes.give_back(number)
    assert classes.resources == set()


def test_a_class_table_is_made_anew_only_for_a_new_class_or_axis():
    classes = ClassBook()
    classes.take(demand(5))
    axis = make_axis(classes.resources, Accounting())
    table = classes.table(axis)
    classes.take(demand(5))
    assert classes.table(axis) is table
    assert table.request.tolist() == [[5, 0, 0]]
    classes.give_back(classes.take(demand(6)))
    assert classes.table(axis) is not table
    assert classes.table(axis).request.tolist() == [[5, 0, 0], [0, 0, 0]]
    assert classes.table(make_axis({"x"}, Accounting())).request.tolist() == [[5, 0, 0, 0], [0, 0, 0, 0]]


RESTARTS = {"restartPolicyRules": [{"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [3]}}]}


@pytest.mark.parametrize(
    ("spec", "features"),
    [
        ({}, ()),
        ({"hostNetwork": True}, ()),
        ({"hostUsers": False}, ()),
        ({"hostNetwork": True, "hostUsers": True}, ()),
        ({"hostNetwork": True, "hostUsers": False}, ("UserNamespacesHostNetworkSupport",)),
        ({"containers": [{"name": "c", **RESTARTS}]}, ("RestartAllContainersOnContainerExits",)),
        ({"initContainers": [{"name": "c", **RESTARTS}]}, ("RestartAllContainersOnContainerExits",)),
        ({"containers": [{"name": "c", "restartPolicyRules": [{"action": "Restart"}]}]}, ()),
    ],
)
def test_what_only_some_kubelets_understand_has_to_be_declared(spec, features):
    assert constraints(**spec).features == features
    reader = DemandReader()
    reader.read(pod("other"), stays=False)
    assert reader.read(pod("p", **spec), stays=False).constraints.features == features


def test_images_tell_pods_apart_only_where_somebody_asks():
    def of(image):
        return pod("p", containers=[{"name": "c", "image": image}], initContainers=[{"name": "i", "image": "b/init"}])

    reader = DemandReader()
    assert reader.read(of("a"), stays=False) == reader.read(of("b:1"), stays=False)
    assert reader.heed_images(wanted=True)
    assert not reader.heed_images(wanted=True)
    assert reader.read(of("host:5000/a"), stays=False).constraints.images == ("b/init:latest", "host:5000/a:latest")
    assert reader.read(of("a@sha256:0"), stays=False).constraints.images == ("a@sha256:0", "b/init:latest")
    assert reader.read(of("b:1"), stays=True).constraints.images == ()
