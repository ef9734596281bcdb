"""Whatever an owner says: an answer or a GroupingError; and the same gang in whatever order things become known."""

from __future__ import annotations

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.api.podgroup import PodGroup
from kai_py.cluster.pods import key_of
from kai_py.cluster.store import Store
from kai_py.planning.group import group
from kai_py.planning.manifests import defaulted, group_and_kind
from kai_py.planning.samples import samples
from kai_py.podgrouper.errors import GroupingError
from kai_py.podgrouper.grouping import Grouper
from kai_py.podgrouper.kinds.registry import KINDS
from tests.cluster.objects import NOW
from tests.podgrouper.test_workload_examples import FOLDER

from kai_py.api.decode import convert  # isort: skip
from kai_py.api.pod import Pod  # isort: skip
from kai_py.api.workload import Workload  # isort: skip

WORKLOADS = [
    defaulted(document, number, 0.0)
    for number, file in enumerate(sorted(FOLDER.glob("*.yaml")))
    for document in yaml.safe_load_all(file.read_text())
]
QUESTIONS = [question for workload in WORKLOADS for question in samples(workload)]

#: Values that no controller would write, and some that it would.
odd = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False),
    st.text(max_size=5),
    st.just([]),
    st.just({}),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(value, path=()):
    """All paths into a document."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def changed(value, path, other):
    """A copy with another value at a path."""
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], other)
    return copy


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_an_owner_that_says_odd_things_is_a_gang_or_a_grouping_error(data):
    pod, owners, beside = data.draw(st.sampled_from(QUESTIONS))
    owners, beside = list(owners), list(beside)
    for _ in range(data.draw(st.integers(1, 3))):
        among = data.draw(st.sampled_from([one for one in (owners, beside) if one]))
        which = data.draw(st.integers(0, len(among) - 1))
        paths = [
            path for path in places(among[which]) if path[0] in ("spec", "status") or path[1:2] == ("annotations",)
        ]
        if paths:
            among[which] = changed(among[which], data.draw(st.sampled_from(paths)), data.draw(odd))
    faults, answer = (), None
    try:
        answer = group(pod, owners, objects=beside)
    except GroupingError as error:
        faults = error.faults
    assert all(fault.where for fault in faults)
    assert answer is None or PodGroup.parse(answer["podGroup"])


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)), fields=st.dictionaries(st.text(max_size=6), odd, max_size=4), labels=st.data()
)
def test_an_owner_of_any_kind_with_any_spec_is_a_gang_or_a_grouping_error(kind, fields, labels):
    api = f"{kind[0]}/v1" if kind[0] else "v1"
    owner = {
        "apiVersion": api,
        "kind": kind[1],
        "metadata": {"name": "o", "namespace": "ns", "uid": "u"},
        "spec": fields,
    }
    reference = {"apiVersion": api, "kind": kind[1], "name": "o", "uid": "u", "controller": True}
    said = labels.draw(st.dictionaries(st.sampled_from(["project", "user", "ray.io/group"]), st.text(max_size=4)))
    pod = {"metadata": {"name": "p", "namespace": "ns", "uid": "p", "labels": said, "ownerReferences": [reference]}}
    try:
        answer = group(pod, [owner])
    except GroupingError:
        return
    assert answer is None or PodGroup.parse(answer["podGroup"])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_gang_is_the_same_in_whatever_order_pods_and_owners_become_known(data):
    topmost = [one for one in WORKLOADS if samples(one) and "ownerReferences" not in one["metadata"]]
    workload = data.draw(st.sampled_from(topmost))
    asked = samples(workload)
    owners = {one["metadata"]["uid"]: one for _, chain, beside in asked for one in (*chain, *beside)}
    pods = [convert(Pod, _ours(pod)) for pod, _, _ in asked]
    events = [*pods, *(convert(Workload, one) for one in owners.values())]
    expected = _gangs(list(reversed(events)))
    assert _gangs(data.draw(st.permutations(events))) == expected
    assert "stuck" not in [rows for _, rows in expected.values()]


def _ours(pod):
    return {**pod, "spec": {**pod["spec"], "schedulerName": "kai-scheduler"}}


def _gangs(events):
    """What the store makes of events: podgroups with their members by subgroup and their minimum."""

    def group_of(pod, owners):
        return grouper(pod, owners)

    store = Store(group_of)
    grouper = Grouper(surroundings=store.around, expects=store.owners.kinds.expects)
    store.owners.kinds.follow(set(KINDS) | {("apps", "ReplicaSet"), ("apps", "StatefulSet"), ("apps", "DaemonSet")})
    store.owners.kinds.follow([("grove.io", "PodClique"), ("example.com", "TrainingRun")])
    for event in events:
        if isinstance(event, Pod):
            store.put_pod(event, NOW)
        else:
            store.lineages.put(event, NOW)
    store.take(NOW)
    return {
        "/".join(name): (
            sorted((str(key), store.pods.facts[key].place.part) for key in group.members),
            group.terms.rows if group.terms is not None else "stuck",
        )
        for name, group in store.groups.groups.items()
    }


def test_the_examples_ask_about_most_kinds():
    assert len({group_and_kind(workload) for workload in WORKLOADS if samples(workload)}) >= 24
    assert key_of(convert(Pod, QUESTIONS[0][0])).name
