"""What holds for every cluster, however odd."""

from dataclasses import fields, replace
from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kai_py.core.actions.allocate import _Runs
from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.options import Action, Options, Strategy
from kai_py.core.result import Bind
from tests.core.builders import bound, decide, nominated
from tests.core.strategies import long_lines, one_queue, snapshots
from tests.reference.allocate import allocate as slowly


def answer(result):
    shares = result.shares
    numbers = [getattr(shares, column.name).tobytes() for column in fields(shares) if column.name != "names"]
    return result.decisions, result.diagnoses, numbers


def arrays(snapshot):
    for table in (
        snapshot.nodes,
        snapshot.classes,
        snapshot.pods,
        snapshot.podgroups,
        snapshot.subgroups,
        snapshot.queues,
    ):
        for column in fields(table):
            if isinstance(value := getattr(table, column.name), np.ndarray):
                yield value


@settings(max_examples=150)
@given(snapshots())
def test_every_result_keeps_all_invariants(snapshot):
    assert violations(snapshot, decide(snapshot)) == ()


@settings(max_examples=50)
@given(snapshots())
def test_every_result_keeps_all_invariants_when_pods_are_spread_and_lines_are_short(snapshot):
    result = decide(snapshot, gpu=Strategy.SPREAD, cpu=Strategy.SPREAD, queue_depth={Action.ALLOCATE: 1})
    assert violations(snapshot, result) == ()


@settings(max_examples=50)
@given(snapshots())
def test_the_same_snapshot_decides_the_same_and_is_not_changed(snapshot):
    before = [array.tobytes() for array in arrays(snapshot)]
    assert not any(array.flags.writeable for array in arrays(snapshot))
    assert answer(decide(snapshot)) == answer(decide(snapshot))
    assert [array.tobytes() for array in arrays(snapshot)] == before


@settings(max_examples=50)
@given(snapshots())
def test_what_started_is_not_decided_about_again(snapshot):
    """A second cycle, in which everything bound by the first one runs, starts nothing that was refused before."""
    first = decide(snapshot)
    pods = snapshot.pods
    node, state = pods.node_idx.copy(), pods.state.copy()
    rows = {str(key): row for row, key in enumerate(pods.keys)}
    for decision in first.decisions:
        if isinstance(decision, Bind):
            node[rows[decision.pod]] = snapshot.nodes.names.index(decision.node)
            state[rows[decision.pod]] = 2
    again = replace(snapshot, pods=replace(pods, node_idx=node, state=state))
    second = decide(again)
    assert violations(again, second) == ()
    assert not set(bound(first)) & set(bound(second))
    assert not set(bound(first)) & set(nominated(second))


@settings(max_examples=150)
@given(one_queue())
def test_places_are_those_that_the_slow_reference_finds(snapshot):
    result = decide(snapshot, actions=(Action.ALLOCATE,))
    assert (bound(result), nominated(result)) == slowly(snapshot)


@settings(max_examples=50)
@given(snapshots())
def test_the_clock_decides_nothing(snapshot):
    ticks = iter(range(10**6))
    timed = run_cycle(snapshot, Options(), clock=lambda: float(next(ticks)))
    assert answer(timed) == answer(decide(snapshot))


@settings(max_examples=100)
@given(long_lines(), st.sampled_from(list(Strategy)))
def test_podgroups_that_are_served_together_get_what_they_get_one_by_one(snapshot, strategy):
    together = decide(snapshot, gpu=strategy, cpu=strategy)
    with patch.object(_Runs, "serve", lambda *_: False):
        apart = decide(snapshot, gpu=strategy, cpu=strategy)
    assert (answer(together), together.stats, together.started) == (answer(apart), apart.stats, apart.started)
