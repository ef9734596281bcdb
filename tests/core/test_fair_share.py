from fractions import Fraction
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.queues.fair_share import Claimant, allocatable_shares, divide, fair_shares
from tests.core.builders import AXIS, GPUS, Queue, cluster
from tests.reference import fair_share as reference


def claim(requested, *, quota=0.0, limit=inf, weight=1.0, usage=0.0, priority=100, age=0.0):
    return Claimant(quota, limit, weight, requested, usage, priority, (age, str(age)))


def shares(total, *claims, k_value=1.0):
    divide(total, claims, k_value=k_value)
    return [claimant.share for claimant in claims]


def test_the_surplus_is_divided_by_weight_after_the_quotas():
    assert shares(10, claim(10, quota=2, weight=1), claim(10, quota=4, weight=3)) == [3, 7]


def test_a_queue_without_weight_gets_its_quota_and_no_surplus():
    assert shares(10, claim(10, quota=4, weight=0)) == [4]


def test_an_unlimited_quota_is_all_that_is_requested_and_there():
    assert shares(10, claim(6, quota=inf)) == [6]
    assert shares(10, claim(60, quota=inf)) == [10]


def test_quotas_are_granted_even_when_they_add_up_to_more_than_there_is():
    assert shares(8, claim(10, quota=6), claim(10, quota=6)) == [6, 6]


def test_what_a_queue_does_not_request_is_surplus_for_the_others():
    assert shares(10, claim(1, quota=5), claim(20, quota=5)) == [1, 9]


def test_a_limit_caps_quota_and_surplus():
    assert shares(10, claim(10, quota=5, limit=3), claim(10, limit=4), claim(10)) == [3, 4, 3]


def test_a_limit_of_zero_leaves_nothing():
    assert shares(10, claim(10, quota=5, limit=0)) == [0]


def test_a_higher_priority_takes_surplus_first_but_no_quota():
    assert shares(10, claim(10, quota=2), claim(7, priority=200), claim(10)) == [2.0 + 1, 7, 0]


def test_the_last_unit_goes_to_the_older_of_two_equal_queues():
    assert shares(5, claim(9, age=2.0), claim(9, age=1.0)) == [2, 3]


def test_the_last_unit_goes_to_the_largest_remainder():
    assert shares(10, claim(99, weight=1), claim(99, weight=2)) == [3, 7]


def test_fractions_of_a_unit_left_over_are_handed_out_too():
    assert shares(2.5, claim(9, age=1.0), claim(9, age=2.0)) == [1.5, 1]


def test_past_usage_bends_the_surplus():
    used_its_share, used_nothing = claim(100, usage=0.5), claim(100)
    assert shares(90, used_its_share, used_nothing) == [30, 60]


def test_a_k_value_of_zero_ignores_past_usage():
    assert shares(90, claim(100, usage=0.5), claim(100), k_value=0.0) == [45, 45]


def test_a_queue_that_used_far_too_much_gets_no_surplus():
    assert shares(90, claim(100, usage=5.0), claim(100)) == [0, 90]


def test_nothing_is_divided_when_all_used_far_too_much():
    assert shares(90, claim(100, usage=5.0), claim(100, usage=5.0)) == [0, 0]


def test_an_even_division_survives_weights_that_are_no_binary_fractions():
    high = [claim(99, weight=w, priority=200) for w in (0.1, 0.2, 0.7)]
    assert shares(30, *high, claim(99)) == [3, 6, 21, 0]


claims = st.builds(
    dict,
    quota=st.sampled_from([-1, 0, 0, 1, 3, 10]),
    limit=st.sampled_from([-1, -1, 0, 2, 7, 20]),
    weight=st.integers(0, 7),
    requested=st.integers(0, 60).map(lambda halves: Fraction(halves, 2)),
    usage=st.sampled_from([Fraction(0), Fraction(1, 8), Fraction(1, 2), Fraction(2)]),
    priority=st.sampled_from([100, 100, 200]),
)


@given(
    total=st.integers(0, 64),
    queues=st.lists(claims, max_size=7),
    k=st.sampled_from([Fraction(0), Fraction(1), Fraction(4)]),
)
def test_the_division_is_that_of_the_exact_reference(total, queues, k):
    exact = reference.divide(total, [reference.Queue(created=n, **queue) for n, queue in enumerate(queues)], k)
    mine = [
        claim(
            float(queue["requested"]),
            quota=inf if queue["quota"] == -1 else queue["quota"],
            limit=inf if queue["limit"] == -1 else queue["limit"],
            weight=float(queue["weight"]),
            usage=float(queue["usage"]),
            priority=queue["priority"],
            age=float(n),
        )
        for n, queue in enumerate(queues)
    ]
    assert shares(float(total), *mine, k_value=float(k)) == pytest.approx([float(share) for share in exact])


def gpu_shares(requested, total, **queues):
    table = cluster(nodes={"a": 8}, queues=queues).queues
    wanted = np.zeros((len(table), 3))
    for name, gpus in requested.items():
        wanted[table.names.index(name), GPUS] = gpus * 1000
    found = fair_shares(table, wanted, np.array([0, 0, total * 1000]), AXIS.quantum, k_value=1.0)
    return {name: share / 1000 for name, share in zip(table.names, found[:, GPUS].tolist(), strict=True)}


def test_children_divide_the_fair_share_of_their_parent_and_not_its_quota():
    found = gpu_shares(
        {"lab": 20, "x": 10, "y": 10, "other": 20},
        12,
        lab=Queue(quota=2),
        other=Queue(quota=2),
        x=Queue("lab", quota=0),
        y=Queue("lab", quota=0),
    )
    assert found == {"lab": 6, "other": 6, "x": 3, "y": 3}


def test_gpus_are_handed_out_whole():
    found = gpu_shares({"x": 9, "y": 9}, 5, x=Queue(quota=0), y=Queue(quota=0))
    assert found == {"x": 3, "y": 2}


def test_a_queue_is_entitled_to_quota_or_fair_share_whichever_is_more_within_its_limit():
    table = cluster(
        nodes={"a": 8}, queues={"p": Queue(quota=4), "q": Queue(quota=1), "r": Queue(limit=3), "s": Queue()}
    ).queues
    entitled = allocatable_shares(table, np.full((4, 3), 2000.0))[:, GPUS]
    assert entitled.tolist() == [4000, 2000, 3000, inf]
