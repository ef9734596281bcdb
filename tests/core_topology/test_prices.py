from math import inf

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.topology.prices import Offered, by_price, cheapest_slots, real_domains
from tests.core_topology.builders import topology, trees


def test_domains_come_from_the_cheapest_to_the_dearest():
    table = np.array([[0, 5, 9], [0, 1, 7], [0, 2, inf]])
    found = list(by_price(np.array([2, 3, 2]), 4, table))
    assert found == [Offered(1, 1, 1.0), Offered(0, 2, 9.0)]


def test_a_domain_with_room_costs_nothing():
    assert next(by_price(np.array([0, 4]), 4, lambda *_: 3.0)) == Offered(1, 0, 0.0)


def test_more_slots_than_have_a_price_cannot_be_had():
    assert list(by_price(np.array([0]), 3, np.array([[0.0, 1.0]]))) == []


def test_only_domains_whose_bound_is_low_enough_are_priced():
    asked = []

    def price(domain, missing):
        asked.append(domain)
        return [4.0, 2.0, 9.0][domain]

    found = by_price(np.array([0, 0, 0]), 1, price, np.array([3.0, 1.0, 5.0]))
    assert next(found) == Offered(1, 1, 2.0)
    assert asked == [1]
    assert next(found).domain == 0
    assert asked == [1, 0]


def test_equally_dear_domains_come_in_the_order_of_rows():
    found = by_price(np.zeros(3, dtype=np.int64), 1, lambda *_: 2.0, np.array([2.0, 1.0, 0.0]))
    assert [each.domain for each in found] == [0, 1, 2]


def test_the_cheapest_slots_of_a_domain_are_added_up():
    tree = topology({"a": "r1", "b": "r1", "c": "r2"}, ("rack",))
    prices = cheapest_slots(tree, 0, np.array([[1.0, 4.0], [2.0, inf], [3.0, inf]]))
    assert prices.tolist() == [[0, 1, 3, 7], [0, 3, inf, inf]]


def test_loose_nodes_are_parts_but_no_domains():
    tree = topology({"a": "r1", "b": (), "c": "r2"}, ("rack",))
    assert (real_domains(tree, 0), tree.parts(0), real_domains(tree, -1)) == (2, 3, 1)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6), st.data())
def test_the_order_is_that_of_a_sort(domains, data):
    free = np.array([free for free, _, _ in domains])
    prices = [float(bound + more) for _, bound, more in domains]
    bounds = np.array([float(bound) for _, bound, _ in domains])
    demand = data.draw(st.integers(0, 5))
    found = list(by_price(free, demand, lambda domain, _: prices[domain], bounds))
    paid = [prices[row] if free[row] < demand else 0.0 for row in range(len(domains))]
    assert [each.domain for each in found] == sorted(range(len(domains)), key=lambda row: (paid[row], row))
    assert [each.price for each in found] == sorted(paid)


@given(trees(levels=2), st.data())
def test_prices_never_fall_and_start_at_nothing(tree, data):
    single = st.lists(st.integers(0, 9), min_size=2, max_size=2).map(sorted)
    offers = np.array(data.draw(st.lists(single, min_size=len(tree.nodes), max_size=len(tree.nodes))), dtype=float)
    for level in range(-1, 2):
        prices = cheapest_slots(tree, level, offers)
        assert not prices[:, 0].any()
        assert all(row == sorted(row) for row in prices.tolist())
        for part in range(tree.parts(level)):
            every = offers[tree.partition(level) == part]
            assert prices[part, every.size] == every.sum()
