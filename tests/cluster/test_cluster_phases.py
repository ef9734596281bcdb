"""The life of a decision, exhaustively."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kai_py.cluster.phases import TABLE, Assumptions, Event, Phase
from kai_py.core.tables.pods import PodKey
from kai_py.errors import InvariantError

POD = PodKey("ns", "p", "uid-p")
WAY_TO: dict[Phase, tuple[Event, ...]] = {Phase.ASSUMED: (), Phase.SENT: (Event.ACKNOWLEDGE,)}


def in_phase(phase: Phase) -> Assumptions:
    assumptions = Assumptions()
    assumptions.assume(POD, "a", 0.0)
    for event in WAY_TO[phase]:
        assumptions.note(POD, event)
    return assumptions


def test_every_phase_is_in_the_table_and_can_be_reached():
    assert set(TABLE) == set(Phase) == set(WAY_TO)
    for phase in Phase:
        assert in_phase(phase).get(POD).phase is phase


@pytest.mark.parametrize(("phase", "event"), list(product(Phase, Event)))
def test_an_event_does_what_the_table_says_and_nothing_if_it_says_nothing(phase, event):
    assumptions = in_phase(phase)
    ended = assumptions.note(POD, event)
    if event not in TABLE[phase]:
        assert not ended
        assert assumptions.get(POD).phase is phase
    elif (following := TABLE[phase][event]) is None:
        assert ended
        assert assumptions.get(POD) is None
    else:
        assert not ended
        assert assumptions.get(POD).phase is following


@pytest.mark.parametrize("phase", list(Phase))
def test_every_phase_ends_when_the_watch_shows_the_result_or_the_pod_vanishes(phase):
    assert TABLE[phase][Event.SEE] is None
    assert TABLE[phase][Event.VANISH] is None


@pytest.mark.parametrize("phase", list(Phase))
def test_a_second_decision_for_the_same_pod_is_a_bug(phase):
    with pytest.raises(InvariantError, match="already on its way"):
        in_phase(phase).assume(POD, "b", 1.0)


@given(st.lists(st.sampled_from(Event), max_size=6))
def test_a_life_that_has_ended_stays_ended(events):
    assumptions = in_phase(Phase.ASSUMED)
    ended = False
    for event in events:
        ended |= assumptions.note(POD, event)
        assert (assumptions.get(POD) is None) == ended
    assert len(assumptions) == (not ended)
