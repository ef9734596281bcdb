"""Parts of GPUs as claims: what a template says, for whatever is asked and whatever devices there are."""

import itertools
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.api.decode import convert
from kai_py.api.quantity import parse_quantity
from kai_py.cluster.encode.shares import asked, entry_of, share_of
from kai_py.cluster.shares.asks import ShareAsk
from kai_py.cluster.shares.kinds import kinds_of, part_of
from kai_py.cluster.shares.template import MOST_ALTERNATIVES, claim_of, content_of, template_of
from kai_py.cluster.shares.ways import Ways
from kai_py.core.dra.capacity import consumed, taking
from kai_py.core.dra.devices import UNIT, Capacity, Device, Policy, Range
from kai_py.core.dra.expressions import compile_selector
from kai_py.core.tables.devices import MILLION, Share
from kai_py.errors import MalformedObjectError
from kai_py.minicluster import MiniCluster
from kai_py.settings.devices import GpuShareClaims
from kai_py.settings.load import load_settings
from tests.cluster.objects import NOW, a_store, blocked, pod

MEBIBYTE = 2**20 * UNIT
DRIVERS = ("a.example.com", "b.example.com")
TEMPLATES = "resourceclaimtemplates.resource.k8s.io"
#: What NVIDIA's cards say that they have, odd numbers among them.
SIZES = (15109, 16384, 24564, 40960, 46068, 81251, 81559, 183359)

_numbers = itertools.count()
_server = MiniCluster().storage


def ranged(value, step, least):
    return Capacity(value, Policy(value, range=Range(least, value, step)))


def device(driver, memory, *, policy=True, cores=100, shareable=True):
    """A GPU with so many MiB and so many percent of its cores."""
    one = ranged(memory * MEBIBYTE, MEBIBYTE, MEBIBYTE) if policy else Capacity(memory * MEBIBYTE)
    other = ranged(cores * UNIT, UNIT, 0) if policy else Capacity(cores * UNIT)
    return Device("gpu", driver, capacities={"memory": one, "cores": other}, shareable=shareable)


devices = st.lists(
    st.builds(
        device,
        st.sampled_from(DRIVERS),
        st.one_of(st.sampled_from(SIZES), st.integers(1, 300_000)),
        policy=st.booleans(),
        cores=st.sampled_from([100, 100, 132]),
        shareable=st.sampled_from([True, True, True, False]),
    ),
    max_size=12,
)
shares = st.one_of(
    st.builds(Share, millionths=st.integers(1, MILLION), devices=st.integers(1, 32)),
    st.builds(Share, millionths=st.sampled_from([200_000, 250_000, 333_333, 500_000, 666_667, MILLION])),
    st.builds(Share, memory=st.integers(1, 200_000), devices=st.integers(1, 32)),
)
proportions = st.sampled_from([(), ("cores",)])


def ways_of(claim):
    """The alternatives: selector, amounts by capacity, how many devices."""
    (request,) = claim.requests
    for one in (request.exactly,) if request.exactly is not None else request.first_available:
        amounts = {name: int(parse_quantity(text) * UNIT) for name, text in one.capacity.requests.items()}
        yield compile_selector(one.selectors[0].cel.expression), amounts, one.count


@given(devices, shares, proportions)
def test_every_device_gives_what_was_asked_and_one_way_leads_to_it(found, share, in_proportion):
    ask = ShareAsk(share, "shared", "memory", in_proportion)
    kinds = kinds_of(found, ("memory", *in_proportion), MOST_ALTERNATIVES)
    claim = claim_of(ask, kinds)
    if claim is None:
        assert share.millionths
        assert not kinds
        return
    for one in found:
        ways = [(amounts, count) for selector, amounts, count in ways_of(claim) if selector.matches(one)]
        if not one.shareable:
            assert ways == []
            continue
        total = one.capacities["memory"].value
        wanted = share.memory * MEBIBYTE or Fraction(total * share.millionths, MILLION)
        taken = [dict(taking(amounts, one) or ()) for amounts, _ in ways]
        assert len(ways) <= 1
        for (amounts, count), amount in zip(ways, taken, strict=True):
            assert count == share.devices
            if not amount:
                assert wanted > total  # it is refused by its size
                continue
            policy = one.capacities["memory"].policy
            step = policy.range.step if policy is not None else UNIT
            assert wanted - step < amount["memory"] < wanted + step or amount["memory"] == MEBIBYTE
            if share.memory:
                assert amounts["memory"] == wanted <= amount["memory"]
        if wanted <= total and len(kinds) < MOST_ALTERNATIVES:
            assert ways


@given(devices.filter(bool), shares, proportions)
def test_the_api_server_takes_every_template(found, share, in_proportion):
    ask = ShareAsk(share, "shared", "memory", in_proportion)
    claim = claim_of(ask, kinds_of(found, ("memory", *in_proportion), MOST_ALTERNATIVES))
    if claim is not None:
        template = template_of(("default", f"{ask.template}-{next(_numbers)}"), claim, "kai-scheduler")
        made = _server.create(TEMPLATES, template)
        assert made["spec"]["metadata"]["annotations"]["kai.scheduler/gpu-share-content"] == content_of(claim)


@given(st.integers(1, 200_000), st.integers(1, MILLION), st.booleans())
def test_as_many_parts_fit_as_there_are_in_a_whole(memory, millionths, policy):
    capacity = device("a", memory, policy=policy).capacities["memory"]
    amount, part = part_of(capacity, Fraction(millionths, MILLION)), Fraction(millionths, MILLION)
    assert amount is not None
    many = MILLION // millionths
    taken = consumed(amount, capacity)
    if many <= memory:  # no MiB is cut in two
        assert taken * many <= capacity.value
    assert taken > capacity.value * part - (MEBIBYTE if policy else UNIT)


def test_what_comes_in_certain_sizes_is_rounded_up_to_one():
    sizes = Capacity(80 * UNIT, Policy(80 * UNIT, choices=tuple(size * UNIT for size in (10, 20, 40, 80))))
    assert [consumed(part_of(sizes, Fraction(part)), sizes) // UNIT for part in ("0.1", "0.3", "0.5", "0.6")] == [
        10,
        40,
        40,
        80,
    ]
    few = Capacity(80 * UNIT, Policy(60 * UNIT, range=Range(UNIT, 60 * UNIT, UNIT)))
    assert part_of(few, Fraction(1)) is None


def test_capacities_may_be_of_another_domain_and_a_driver_need_not_write_its_own():
    own = {"memory": Capacity(80 * MEBIBYTE), "other.com/cores": Capacity(100 * UNIT)}
    one = Device("gpu", "a.example.com", capacities=own, shareable=True)
    names = ("a.example.com/memory", "other.com/cores")
    ask = ShareAsk(Share(millionths=500_000), "shared", *names[:1], names[1:])
    claim = claim_of(ask, kinds_of([one], names, MOST_ALTERNATIVES))
    ((selector, amounts, _),) = ways_of(claim)
    assert selector.matches(one)
    assert amounts == {names[0]: 40 * MEBIBYTE, names[1]: 50 * UNIT}
    assert taking(amounts, one) == (("memory", 40 * MEBIBYTE), ("other.com/cores", 50 * UNIT))


def test_kinds_beyond_eight_are_those_with_fewest_devices():
    found = [device("a", size) for size in range(1000, 1010) for _ in range(2 if size > 1001 else 1)]
    kinds = kinds_of(found, ("memory",), MOST_ALTERNATIVES)
    assert [kind.amounts[0] // MEBIBYTE for kind in kinds] == list(range(1002, 1010))


def test_the_same_ask_has_the_same_template_and_another_one_has_not():
    claims = GpuShareClaims(device_class_name="shared")
    asks = [ShareAsk.of(share, claims) for share in (Share(memory=1), Share(millionths=1), Share(memory=1, devices=2))]
    asks += [ShareAsk.of(Share(memory=1), GpuShareClaims(device_class_name="shared", in_proportion=("cores",)))]
    assert len({ask.template for ask in asks}) == len(asks)
    assert ShareAsk.of(Share(memory=1), claims).template == asks[0].template


# -- pods ----------------------------------------------------------------------------------------------


def claiming(template, **annotations):
    made = pod("p", requests={"cpu": "1"}, annotations={key.replace("_", "-"): v for key, v in annotations.items()})
    entry = {"name": "kai-gpu-share", "resourceClaimTemplateName": template}
    sent = msgspec.to_builtins(made, enc_hook=dict)
    return convert(type(made), {**sent, "spec": {**sent["spec"], "resourceClaims": [entry]}})


def test_what_a_claim_answers_is_not_counted_twice():
    half = claiming("kai-gpu-share-x", gpu_fraction="0.5")
    assert entry_of(half) is not None
    assert (asked(half), share_of(half)) == (Share(millionths=500_000), None)
    assert share_of(claiming("of-somebody", gpu_fraction="0.5")) == Share(millionths=500_000)


SHARED = {"gpuShareClaims": {"deviceClassName": "shared"}, "dra": {"gpuClasses": ["shared"]}}
WAYS = Ways.of(load_settings({"gpuSharing": "claims", **SHARED}))


def put(store, made):
    store.put_pod(made, 0.0)
    return store


def test_a_claim_that_nobody_makes_is_told_apart_from_one_that_takes_its_time():
    half = ShareAsk.of(Share(millionths=500_000), WAYS.claims).template
    store = a_store()
    store.share_gpus(WAYS, NOW)
    group = "pg-p-uid-p"
    assert blocked(put(store, claiming(half, gpu_fraction="0.5")).take(NOW), group) == "SharedGpuNotOffered"
    other = claiming("kai-gpu-share-0123456789ab", gpu_fraction="0.5")
    assert blocked(put(store, other).take(NOW), group) == "SharedGpuNotPrepared"
    assert blocked(put(store, claiming("of-somebody", gpu_fraction="0.5")).take(NOW), group) == "Unsupported"
    store.share_gpus(Ways("none"), NOW)
    assert blocked(put(store, claiming(half, gpu_fraction="0.5")).take(NOW), group) == "SharedGpuNotPrepared"


def test_a_pod_chooses_among_what_is_offered():
    ways = Ways("reservation", frozenset({"claims"}))
    choose = "kai.scheduler/gpu-sharing"
    assert [ways.of_pod(one, "") for one in ({}, {choose: "claims"}, {choose: "reservation"})] == [
        "reservation",
        "claims",
        "reservation",
    ]
    with pytest.raises(MalformedObjectError, match="should be claims or reservation, not 'trusted'"):
        ways.of_pod({choose: "trusted"}, "")
    with pytest.raises(MalformedObjectError, match="cannot choose where the setting gpuSharing is none"):
        Ways("none").of_pod({choose: "claims"}, "")
    assert Ways("reservation", trusting=True).of_pod({}, "") == "trusted"
