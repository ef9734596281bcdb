from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kai_py.cluster.rows import Slots, SortedRows

KEYS = st.tuples(st.sampled_from("abcdef"), st.integers(0, 30))
CHANGES = st.lists(st.tuples(KEYS, st.none() | st.integers(-5, 5)), max_size=60)


def number_rows() -> SortedRows:
    return SortedRows(number=np.int64, name=object)


@given(st.lists(CHANGES, max_size=6))
def test_rows_are_those_of_a_dictionary_sorted_by_key(batches):
    rows, reference = number_rows(), {}
    for changes in batches:
        for key, number in changes:
            if number is None:
                rows.drop(key)
                reference.pop(key, None)
            else:
                rows.put(key, number, f"n{number}")
                reference[key] = number
        rows.settle()
        assert rows.keys == tuple(sorted(reference))
        assert rows.share()["number"].tolist() == [reference[key] for key in sorted(reference)]
        assert rows.share()["name"].tolist() == [f"n{reference[key]}" for key in sorted(reference)]
        assert all(rows.row(key) == row for row, key in enumerate(rows.keys))


@given(CHANGES, CHANGES)
def test_what_was_handed_out_is_never_written_to_again(first, second):
    rows = number_rows()
    for key, _ in first:
        rows.put(key, 1, "first")
    rows.settle()
    keys, columns = rows.keys, rows.share()
    before = (keys, {name: column.tolist() for name, column in columns.items()})
    for key, number in second:
        rows.put(key, number or 0, "second")
    for key, _ in first[::2]:
        rows.drop(key)
    rows.settle()
    assert (keys, {name: column.tolist() for name, column in columns.items()}) == before


def test_only_a_change_begins_a_new_generation():
    rows = number_rows()
    rows.put(("a", 1), 1, "x")
    rows.settle()
    before = rows.generation
    rows.drop(("b", 1))
    rows.settle()
    assert rows.generation == before
    rows.put(("a", 1), 2, "x")
    rows.settle()
    assert rows.generation == before + 1


def test_a_key_that_is_not_there_has_no_row():
    rows = number_rows()
    assert rows.row(("a", 1)) is None


def test_a_slot_is_given_to_another_name_only_when_nobody_uses_it():
    slots = Slots()
    first = slots.take("a")
    assert slots.take("a") == first
    slots.give_back("a")
    assert slots.take("b") != first
    slots.give_back("a")
    assert slots.take("c") == first


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=40), st.permutations("abcdef"))
def test_slots_translate_to_the_rows_of_their_names(steps, order):
    slots, used, row_of = Slots(), Counter(), {name: row for row, name in enumerate(order[:4])}
    for name, taking in steps:
        if taking:
            slots.take(name)
            used[name] += 1
        elif used[name]:
            slots.give_back(name)
            used[name] -= 1
        rows = slots.rows(row_of)
        assert rows[-1] == -1
        assert {name: rows[slots.number(name)] for name in +used} == {name: row_of.get(name, -1) for name in +used}


def test_slots_notice_that_rows_moved():
    slots = Slots()
    number = slots.take("a")
    assert slots.rows({"a": 3})[number] == 3
    assert slots.rows({"a": 4})[number] == 4
