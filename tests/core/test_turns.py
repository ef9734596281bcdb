"""One namespace cannot let all others wait by making every pod differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.gangs.turns import TURN, out_of_turn


def line(*sorts, namespace="ns"):
    return [(row, namespace, sort) for row, sort in enumerate(sorts)]


def test_those_who_are_alike_are_one():
    assert out_of_turn(line(*"aaaabbbb"), 2, 0.0) == set()


def test_the_first_half_is_the_first_in_order_and_the_others_take_turns():
    seen = [set(range(8)) - out_of_turn(line(*"abcdefgh"), 4, turn * TURN) for turn in range(4)]
    assert seen == [{0, 1, 2, 3}, {0, 1, 4, 5}, {0, 1, 6, 7}, {0, 1, 2, 3}]


def test_a_namespace_with_few_sorts_is_looked_at_whole():
    mixed = line(*range(100)) + [(row, "other", row) for row in range(100, 110)]
    assert out_of_turn(mixed, 10, 0.0) <= set(range(100))


@given(sorts=st.lists(st.integers(0, 30), max_size=60), most=st.integers(1, 12), now=st.floats(0, 1e6))
def test_no_more_than_the_limit_is_looked_at_and_everybody_in_the_end(sorts, most, now):
    everybody = set(range(len(sorts)))
    looked_at = everybody - out_of_turn(line(*sorts), most, now)
    assert len({sorts[row] for row in looked_at}) == min(most, len(set(sorts)))
    for turn in range(31):
        looked_at |= everybody - out_of_turn(line(*sorts), most, now + turn * TURN)
    assert looked_at == everybody
