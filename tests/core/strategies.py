"""Random clusters for Hypothesis: small, crowded, and with a bit of everything."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan

from hypothesis import strategies as st

from kai_py.core.result import ReasonCode
from kai_py.core.tables.classes import NodeTerm, PreferredTerm, Requirement, Toleration
from kai_py.core.tables.nodes import Taint
from kai_py.core.tables.podgroups import ALL
from kai_py.core.tables.pods import PodState
from tests.core.builders import Gang, Node, Pod, Queue, Sub, cluster, leaving

NOW = 1_000_000.0
ZONES = ("x", "y")
TAINTS = (Taint("dedicated", "ml", "NoSchedule"), Taint("slow", "", "PreferNoSchedule"), Taint("old", "", "NoExecute"))

plain_nodes = st.builds(Node, gpus=st.sampled_from([2, 4, 8]), labels=st.sampled_from([{"zone": "x"}, {"zone": "y"}]))
odd_nodes = st.builds(
    Node,
    gpus=st.sampled_from([0, 1, 8]),
    cpu=st.sampled_from([2, 8, 64]),
    memory=st.just(64),
    pods=st.sampled_from([2, 5, 110]),
    labels=st.dictionaries(st.just("zone"), st.sampled_from(ZONES), max_size=1),
    taints=st.lists(st.sampled_from(TAINTS), unique=True, max_size=1).map(tuple),
    ready=st.sampled_from([True, True, False]),
    cordoned=st.sampled_from([False, False, True]),
)
machines = st.fixed_dictionaries({"a": plain_nodes, "b": plain_nodes}, optional={"c": odd_nodes, "d": odd_nodes}) | (
    st.dictionaries(st.sampled_from("abcd"), odd_nodes, max_size=2)
)

terms = st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]).flatmap(
    lambda operator: st.sampled_from(ZONES).map(
        lambda zone: NodeTerm(labels=(Requirement("zone", operator, (zone,) if operator.endswith("In") else ()),))
    )
)
preferred = st.builds(PreferredTerm, weight=st.integers(1, 3), term=terms)
tolerations = st.sampled_from(
    [Toleration("dedicated", "Equal", "ml"), Toleration("slow", "Exists"), Toleration("", "Exists")]
)
requests = st.fixed_dictionaries(
    {
        "gpus": st.sampled_from([1, 1, 2, 0, 0.5, 4]),
        "cpu": st.sampled_from([0, 1, 4]),
        "memory": st.sampled_from([0, 16]),
    }
)
constraints = st.one_of(
    st.just({}),
    st.just({}),
    st.fixed_dictionaries(
        {
            "selector": st.sampled_from([(), (("zone", "x"),)]),
            "required": st.one_of(st.none(), st.none(), st.lists(terms, max_size=2).map(tuple)),
            "preferred": st.lists(preferred, max_size=2).map(tuple),
            "tolerations": st.lists(tolerations, max_size=1).map(tuple),
            "excluded": st.sampled_from([frozenset(), frozenset("a")]),
            "task_priority": st.sampled_from([0, 0, 5]),
        }
    ),
)
#: Where a pod stands: (state, whether it is on a node).
stands = st.sampled_from(
    [(PodState.PENDING, False)] * 8
    + [(PodState.BOUND, True)] * 3
    + [(PodState.RELEASING, True)] * 2
    + [(PodState.STUCK, True), (PodState.GATED, False)]
)


@st.composite
def pods(draw, on: tuple[str, ...]):
    state, placed = draw(stands)
    node = draw(st.sampled_from([*on, *on, "gone"])) if placed else None
    return Pod(**draw(requests), **draw(constraints), state=state, on=node)


@st.composite
def members(draw, on: tuple[str, ...], most: int = 4):
    """Pods and a minimum; often equal pods that all wait, which is what gangs are made of."""
    equal = st.builds(Pod, gpus=st.sampled_from([1, 1, 2, 4])).flatmap(
        lambda pod: st.integers(1, most).map(lambda count: [pod] * count)
    )
    found = draw(st.one_of(equal, st.lists(pods(on), min_size=1, max_size=most)))
    return {"pods": found, "minimum": draw(st.sampled_from([len(found), 1, 0, len(found) + 1]))}


def subgroups(on: tuple[str, ...]):
    leaf = members(on, most=2).map(lambda what: Sub(**what))
    inner = st.builds(
        Sub,
        children=st.dictionaries(st.sampled_from("mn"), leaf, min_size=1),
        min_subgroups=st.sampled_from([ALL, 1, 0, 2]),
    )
    return st.dictionaries(st.sampled_from("uvw"), st.one_of(leaf, inner), min_size=1)


#: What has happened to a podgroup before; most have no past.
histories = st.one_of(
    st.just({}),
    st.just({}),
    st.fixed_dictionaries(
        {
            "started": st.sampled_from([-inf, NOW - 5]),
            "stale_since": st.sampled_from([inf, NOW - 5, NOW - 100]),
            "grace": st.sampled_from([nan, 0.0, -1.0]),
            "delay": st.sampled_from([0.0, 2 * NOW]),
            "finishing": st.sampled_from([False, False, True]),
            "never": st.sampled_from([False, False, True]),
            "evicted": st.sampled_from([-inf, NOW - 5]),
            "checkpointed": st.sampled_from([-inf, NOW - 2]),
        }
    ),
)


#: What the cluster must have before a podgroup starts; mostly nothing.
floors = st.sampled_from([()] * 5 + [(("nvidia.com/gpu", 4000),), (("cpu", 2000),), (("example.com/other", 1),)])


@st.composite
def gangs(draw, on: tuple[str, ...], queues: tuple[str, ...]):
    what = {
        "queue": draw(st.sampled_from(queues)),
        "priority": draw(st.sampled_from([50, 50, 100])),
        "preemptible": draw(st.sampled_from([True, True, False])),
        "created": draw(st.integers(0, 3)),
        "whole": draw(st.sampled_from([False, False, True])),
        "floor": draw(floors),
        "blocked": draw(st.sampled_from([None] * 19 + [ReasonCode.BACKING_OFF])),
        **draw(histories),
    }
    if draw(st.integers(0, 3)):
        return Gang(**draw(members(on)), **what)
    return Gang(children=draw(subgroups(on)), min_subgroups=draw(st.sampled_from([ALL, 1, 2, 0])), **what)


quotas = st.one_of(st.sampled_from([2, 0, 4, 8, inf]), st.tuples(*[st.sampled_from([4, inf])] * 3))
limits = st.one_of(st.just(inf), st.just(inf), st.sampled_from([8, 4, 2, 1, 0]), st.just((4, inf, inf)))


def making_room(on: tuple[str, ...]):
    """A podgroup whose pods are on their way out; without it, hardly anything would be nominated."""
    pod = st.builds(leaving, st.sampled_from(on or ("gone",)), st.sampled_from([2, 1, 4, 8]))
    return st.lists(pod, max_size=3).map(lambda found: Gang(found, minimum=0, queue="old"))


@st.composite
def queue_trees(draw):
    """Three levels at most; every leaf's name ends in a digit."""
    found = {}
    for top in draw(st.lists(st.sampled_from("pq"), unique=True, min_size=1)):
        found[top] = ""
        for number in range(draw(st.integers(1, 2))):
            found[f"{top}{number}"] = top
    what = {
        "quota": quotas,
        "limit": limits,
        "weight": st.sampled_from([0, 1, 3]),
        "priority": st.sampled_from([1, 2]),
        "preempt_min_runtime": st.sampled_from([nan, nan, 10.0]),
        "reclaim_min_runtime": st.sampled_from([nan, nan, 10.0]),
    }
    return {
        name: Queue(
            parent, **{key: draw(values) for key, values in what.items()}, usage=draw(st.sampled_from([0, 0.5]))
        )
        for name, parent in found.items()
    }


@st.composite
def snapshots(draw):
    """A whole cluster: a queue tree, nodes, podgroups with subgroups, foreign pods."""
    queues, nodes = draw(queue_trees()), draw(machines)
    on = tuple(nodes)
    leaf_queues = tuple(name for name in queues if name[-1].isdigit())
    work = draw(st.lists(gangs(on, leaf_queues), min_size=1, max_size=6))
    foreign = draw(st.lists(pods(on).filter(lambda pod: pod.state == PodState.BOUND), max_size=2))
    return cluster(
        nodes=nodes,
        queues={"old": Queue(), **queues},
        gangs={"old": draw(making_room(on)), **{f"g{number}": gang for number, gang in enumerate(work)}},
        foreign={f"x{number}": pod for number, pod in enumerate(foreign)},
    )


@st.composite
def crowded(draw):
    """A cluster whose GPUs are mostly taken by preemptible podgroups, and others that want them."""
    queues, nodes = draw(queue_trees()), {name: draw(plain_nodes) for name in draw(st.sampled_from(["a", "ab", "abc"]))}
    leaf_queues = st.sampled_from([name for name in queues if name[-1].isdigit()])
    work = {}
    number = 0
    for name, node in nodes.items():
        left = node.gpus
        while left > 0:
            gpus = draw(st.sampled_from([size for size in (1, 1, 2, 4) if size <= left]))
            pods = draw(st.integers(1, min(4, left // gpus)))
            left -= gpus * pods
            number += 1
            work[f"r{number}"] = Gang(
                [Pod(gpus, on=draw(st.sampled_from([name] * 7 + [None]))) for _ in range(pods)],
                minimum=draw(st.sampled_from([pods, pods, 1, 0])),
                queue=draw(leaf_queues),
                priority=draw(st.sampled_from([50, 75])),
                preemptible=draw(st.sampled_from([True] * 5 + [False])),
                whole=draw(st.sampled_from([False, False, True])),
                **draw(histories),
            )
    for number in range(draw(st.integers(1, 4))):
        pods = draw(st.integers(1, 4))
        work[f"w{number}"] = Gang(
            [Pod(draw(st.sampled_from([1, 2, 4, 8])))] * pods,
            minimum=draw(st.sampled_from([pods, 1])),
            queue=draw(leaf_queues),
            priority=draw(st.sampled_from([50, 75, 100])),
            preemptible=draw(st.sampled_from([True, True, False])),
            floor=draw(floors),
            **draw(histories),
        )
    return cluster(nodes=nodes, queues=queues, gangs=work)


@st.composite
def long_lines(draw):
    """Many podgroups of one pod, most of them alike, in a few queues, mostly without limits, and some that differ."""
    queues = draw(queue_trees())
    if draw(st.integers(0, 3)):
        queues = {name: replace(queue, limit=inf) for name, queue in queues.items()}
    nodes = {name: draw(plain_nodes) for name in "abcd"} | draw(st.dictionaries(st.sampled_from("xyz"), odd_nodes))
    leaf_queues = tuple(name for name in queues if name[-1].isdigit())
    usual = draw(st.sampled_from([Pod(1), Pod(1), Pod(2), Pod(0, cpu=1)]))
    other = Pod(draw(st.sampled_from([1, 2, 0.5])))
    work = {}
    for number in range(draw(st.integers(10, 40))):
        odd = draw(st.integers(0, 19)) == 7
        work[f"w{number:02}"] = Gang(
            [other] * draw(st.integers(1, 3)) if odd else [usual],
            minimum=draw(st.sampled_from([1, 0])) if odd else 1,
            queue=draw(st.sampled_from(leaf_queues)),
            priority=100 if odd else 50,
            created=draw(st.integers(0, 3)),
        )
    return cluster(
        nodes=nodes,
        queues={"old": Queue(), **queues},
        gangs={"old": draw(making_room(tuple(nodes))), **work},
    )


@st.composite
def one_queue(draw):
    """A cluster with one unlimited queue and podgroups without subgroups, for the slow reference."""
    nodes = draw(machines)
    on = tuple(nodes)
    work = draw(st.lists(st.tuples(members(on), st.sampled_from([50, 60]), st.integers(0, 3)), min_size=1, max_size=6))
    return cluster(
        nodes=nodes,
        queues={"old": Queue(), "q": Queue()},
        gangs={"old": draw(making_room(on))}
        | {
            f"g{number}": Gang(**what, priority=priority, created=created)
            for number, (what, priority, created) in enumerate(work)
        },
    )


#: Racks in zones; a node may lack its labels.
racks = st.sampled_from(["xa", "xa", "xb", "xb", "ya", "ya", "yb", "x", ""]).map(
    lambda path: dict(zip(("zone", "rack"), path, strict=False))
)
LEVELS = st.sampled_from(["", "", "zone", "rack"])


@st.composite
def near(draw):
    """What a podgroup asks of a topology; a preferred level is never wider than the required one."""
    if draw(st.integers(0, 4)) == 0:
        return {"topology": "nv", draw(st.sampled_from(["required", "preferred"])): "link"}
    required, preferred = draw(LEVELS), draw(LEVELS)
    return {"required": required, "preferred": "" if (required, preferred) == ("rack", "zone") else preferred}


@st.composite
def clustered(draw):
    """Racks in zones, partly taken by preemptible podgroups, and others that want to be near each other."""
    queues = draw(queue_trees())
    links = st.sampled_from(["l", "m", ""]).map(lambda link: {"link": link} if link else {})
    labels = [{**draw(racks), **draw(links)} for _ in range(draw(st.integers(2, 6)))]
    nodes = {f"n{row}": Node(draw(st.sampled_from([1, 2, 4])), labels=own) for row, own in enumerate(labels)}
    leaf_queues = st.sampled_from([name for name in queues if name[-1].isdigit()])
    number = st.integers(1, 3)
    work = {}
    for row, (name, node) in enumerate(nodes.items()):
        if taken := draw(st.integers(0, node.gpus)):
            state = draw(st.sampled_from([PodState.BOUND] * 4 + [PodState.RELEASING]))
            pods = [Pod(1, on=name, state=state)] * taken + [Pod()] * draw(st.sampled_from([0, 0, 1, 2]))
            work[f"r{row}"] = Gang(
                pods,
                minimum=draw(st.sampled_from([1, taken])),
                queue=draw(leaf_queues),
                priority=draw(st.sampled_from([50, 75])),
                preemptible=draw(st.sampled_from([True] * 5 + [False])),
                **draw(near()),
            )
    for row in range(draw(st.integers(1, 3))):
        what = {
            "queue": draw(leaf_queues),
            "priority": draw(st.sampled_from([50, 75, 100])),
            "preemptible": draw(st.booleans()),
            **draw(near()),
        }
        if draw(st.booleans()):
            sizes = draw(st.lists(st.sampled_from([1, 1, 2, 0]), min_size=1, max_size=4))
            minimum = draw(st.sampled_from([len(sizes), 1]))
            work[f"w{row}"] = Gang([Pod(gpus) for gpus in sizes], minimum=minimum, **what)
        else:
            children = {name: Sub(draw(number), **draw(near())) for name in draw(st.sampled_from(["u", "uv", "uvw"]))}
            if draw(st.booleans()):
                children = {"m": Sub(children=children, **draw(near())), "n": Sub(draw(number), **draw(near()))}
            work[f"w{row}"] = Gang(children=children, **what)
    return cluster(nodes=nodes, queues=queues, gangs=work, others={"nv": ("link",)})
