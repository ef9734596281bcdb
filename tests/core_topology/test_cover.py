from hypothesis import given
from hypothesis import strategies as st

from kai_py.core.topology.cover import fewest, smallest_cover
from tests.core_topology import reference

sizes = st.lists(st.integers(0, 12), max_size=9)


def cover(capacities, demand, **options):
    found = smallest_cover(capacities, demand, **options)
    return found and (found.sizes.total(), found.leftover, sorted(found.sizes.elements(), reverse=True))


def test_fewest_before_least_left_over():
    assert cover([5, 3, 3], 6) == (2, 0, [3, 3])
    assert cover([9, 3, 3], 6) == (1, 3, [9])


def test_large_parts_stay_whole_when_others_are_as_good():
    assert cover([5, 4, 4, 3], 8) == (2, 0, [4, 4])


def test_too_small_is_none():
    assert cover([3, 3], 7) is None
    assert cover([], 1) is None


def test_nothing_is_asked_for():
    assert cover([3, 3], 0) == (0, 0, [])


def test_parts_that_take_almost_anything_need_no_memory():
    assert cover([2**31, 2**31, 7], 8) == (1, 2**31 - 8, [2**31])


def test_beyond_the_budget_the_count_is_still_the_fewest_and_the_cover_says_so():
    capacities = [9, 8, 8, 7, 7, 6, 5, 5]
    assert cover(capacities, 22) == (3, 0, [8, 7, 7])
    hurried = smallest_cover(capacities, 22, bits=0)
    assert (hurried.sizes.total(), hurried.leftover, hurried.exact) == (3, 0, False)
    assert hurried.sizes == {9: 1, 8: 1, 5: 1}


@given(sizes, st.integers(1, 60))
def test_a_cover_is_the_best_of_all_subsets(capacities, demand):
    assert cover(capacities, demand) == reference.covers(capacities, demand)


@given(sizes, st.integers(1, 60))
def test_without_a_budget_a_cover_holds_the_demand_with_as_few(capacities, demand):
    hurried = smallest_cover(capacities, demand, bits=0)
    best = reference.covers(capacities, demand)
    assert (hurried is None) == (best is None)
    if hurried is not None:
        assert hurried.sizes.total() == best[0]
        assert sum(hurried.sizes.elements()) == demand + hurried.leftover
        assert hurried.leftover >= best[1]
        assert all(capacities.count(size) >= count for size, count in hurried.sizes.items())


@given(sizes, st.integers(1, 60))
def test_fewest_counts_the_largest_first(capacities, demand):
    best = reference.covers(capacities, demand)
    assert fewest(sorted(capacities, reverse=True), demand) == (best and best[0])
