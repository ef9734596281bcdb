"""The story adds up on clusters of any size, and is played in one order."""

from __future__ import annotations

import pytest

from kai_py.cli.demo.screen import bar
from kai_py.cli.demo.stage import jittered
from kai_py.cli.demo.story import End, cast, story
from kai_py.cli.demo.teams import Queue, lineage, queues

SIZES = [11 * 8, 27 * 8, 90 * 8, 450 * 8]


@pytest.mark.parametrize("gpus", SIZES)
def test_the_quotas_of_all_teams_are_all_gpus(gpus):
    teams = [queue for queue in queues(gpus) if queue.parent]
    assert sum(queue.quota for queue in teams) == gpus
    for department in (queue for queue in queues(gpus) if not queue.parent):
        assert department.quota == sum(queue.quota for queue in teams if queue.parent == department.name)


@pytest.mark.parametrize("gpus", SIZES)
def test_the_burst_takes_everything_that_nobody_uses(gpus):
    actors = cast(story(gpus))
    product = next(queue for queue in queues(gpus) if queue.name == "product")
    assert actors["burst"].pods + actors["serve"].pods > product.quota


@pytest.mark.parametrize("gpus", SIZES)
def test_everything_that_is_awaited_or_ended_has_been_submitted_before(gpus):
    submitted = set()
    for step in story(gpus):
        workloads = step.act.workloads if isinstance(step.act, End) else (step.act.workload,)
        submitted |= {one.name for one in workloads if type(step.act).__name__ == "Submit"}
        assert {one.name for one in workloads} | {effect.workload for effect in step.effects} <= submitted


def test_a_seed_moves_the_steps_and_keeps_their_order():
    steps = story(88)
    assert jittered(steps, 0) == steps
    assert jittered(steps, 7) == jittered(steps, 7) != steps
    assert [step.says for step in jittered(steps, 7)] == [step.says for step in steps]


def test_a_queue_is_charged_with_its_departments():
    assert [queue.name for queue in lineage("research", queues(88))] == ["research", "labs"]
    assert list(lineage("nobody", queues(88))) == []


def test_a_bar_shows_what_is_borrowed_and_where_quota_and_limit_end():
    drawn = bar(22, Queue("team", "labs", 11, 33, 1), 44)
    assert len(drawn.plain) == 44
    assert drawn.plain.count("█") == 21  # the mark of the quota stands on one of them
    assert drawn.plain[11] == "│"
    assert drawn.plain[33] == "┃"
