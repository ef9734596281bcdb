"""Random small worlds: few devices, and a bit of everything."""

from dataclasses import replace

from hypothesis import strategies as st

from kai_py.core.dra.claims import ALL, Constraint
from kai_py.core.dra.devices import UNIT, Policy, Range
from kai_py.core.dra.ledger import Take
from kai_py.core.tables.classes import Toleration
from kai_py.core.tables.nodes import Taint
from tests.core_dra.builders import Kinds, Named, World, claim, counters, device, own, pool, request, want

NAMES = ("d0", "d1", "d2", "d3", "d4")
VALUES = st.sampled_from(["x", "x", "y", "z", ("x", "y"), ("y", "z"), 1, True])
attributes = st.fixed_dictionaries({"zone": VALUES}, optional={"rack": VALUES})
POLICIES = st.sampled_from(
    [
        None,
        Policy(default=UNIT, choices=(UNIT, 2 * UNIT)),
        Policy(default=UNIT, range=Range(UNIT, 3 * UNIT, 2 * UNIT)),
        Policy(default=0, range=Range(0)),
    ]
)


@st.composite
def devices(draw, name, sets):
    shareable = draw(st.sampled_from([False, False, False, True]))
    size = draw(st.integers(1, 4))
    policy = draw(POLICIES) if shareable else None
    uses = {}
    if sets and draw(st.booleans()):
        for one in draw(st.lists(st.sampled_from(sets), unique=True, min_size=1, max_size=2)):
            uses[one] = draw(st.sampled_from([{"m": 1}, {"m": 2}, {"m": 3}, {"m": 1, "c": 1}]))
    return device(
        name,
        has={"kind": draw(st.sampled_from("AAB")), **draw(attributes)},
        capacity={"mem": (size, policy) if policy else size} if shareable or draw(st.booleans()) else None,
        uses=uses,
        taints=draw(st.sampled_from([(), (), (), (Taint("bad", "", "NoSchedule"),), (Taint("soft", "", "None"),)])),
        shareable=shareable,
    )


def twin(one):
    """The same device on the other counter set."""
    consumes = tuple(replace(use, counter_set="t" if use.counter_set == "s" else "s") for use in one.consumes)
    return replace(one, name=f"{one.name}-twin", consumes=consumes)


@st.composite
def worlds(draw, plain=False):
    sets = [] if plain else draw(st.lists(st.sampled_from(["s", "t"]), unique=True, max_size=2))
    found = [draw(devices(name, sets)) for name in NAMES[: draw(st.integers(1, 5))]]
    total = {"m": draw(st.integers(1, 6)), "c": draw(st.integers(1, 3))}
    totals = {one: total if draw(st.booleans()) else {"m": draw(st.integers(1, 4)), "c": 2} for one in sets}
    if len(sets) == 2 and draw(st.booleans()):
        found = [*found[:3], *(twin(one) for one in found[:3])]
    world = World(pool("pool", *found, sets=counters(**totals)))
    taken = []
    for identity, rows in enumerate(world.inventory.devices_of_id):
        one = world.inventory.devices[rows[0]]
        match draw(st.sampled_from(["free"] * 6 + ["whole", "part"])):
            case "whole":
                taken.append(Take(identity))
            case "part" if one.shareable:
                taken.append(Take(identity, True, (("mem", UNIT),)))
            case _:
                pass
    world.ledger.take(taken)
    return world


alternatives = st.builds(
    lambda count, selectors, admin, tolerant, capacity: want(
        count,
        selectors=selectors,
        admin=admin,
        tolerations=(Toleration("", "Exists"),) if tolerant else (),
        capacity=capacity,
    ),
    st.sampled_from([1, 1, 1, 2, 2, 3, ALL]),
    st.sampled_from([(), (), (Kinds("A"),), (Kinds("B"),), (Named(("d0", "d1", "d2")),), (Named(("d1", "d3")),)]),
    st.sampled_from([False] * 9 + [True]),
    st.sampled_from([True, True, False]),
    st.sampled_from([None] * 5 + [{"mem": 1}, {"mem": 2}]),
)
constraints = st.builds(
    Constraint,
    st.sampled_from([own("zone"), own("rack")]),
    st.booleans(),
    st.sampled_from([frozenset(), frozenset(), frozenset({"r0"}), frozenset({"r0", "r1/1"})]),
)


@st.composite
def claims(draw, most=2):
    requests = []
    for i in range(draw(st.integers(1, most))):
        options = draw(st.lists(alternatives, min_size=1, max_size=draw(st.sampled_from([1, 1, 2]))))
        requests.append(request(f"r{i}", *options))
    return claim(*requests, constraints=draw(st.lists(constraints, max_size=draw(st.sampled_from([0, 1, 2])))))
