"""The story adds up on clusters of any size, and is played in one order."""

from __future__ import annotations

import pytest

from kai_py.cli.demo.screen import bar
from kai_py.cli.demo.stage import jittered
from kai_py.cli.demo.story import End, cast, story
from kai_py.cli.demo.teams import Queue, lineage, queues
from kai_py.cli.demo.wanted import Wanted, template

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


@pytest.mark.parametrize("claimable", [0, 16])
@pytest.mark.parametrize("gpus", SIZES)
def test_everything_that_is_awaited_or_ended_has_been_submitted_before(gpus, claimable):
    submitted = set()
    for step in story(gpus, claimable):
        workloads = step.act.workloads if isinstance(step.act, End) else (step.act.workload,)
        submitted |= {one.name for one in workloads if type(step.act).__name__ == "Submit"}
        assert {one.name for one in workloads} | {effect.workload for effect in step.effects} <= submitted


def test_a_team_claims_all_devices_and_two_more():
    actors = [one for one in cast(story(88, 16)).values() if one.claims is not None]
    parts = sum(one.pods for one in actors if one.claims is Wanted.PART)
    assert sum(one.gpus * one.pods for one in actors) + parts / 7 == 16 + 2
    assert next(queue for queue in queues(88, 16) if queue.name == "studio").quota == 16
    assert {one.name for one in cast(story(88)).values()} == {one.name for one in cast(story(88, 16)).values()} - {
        one.name for one in actors
    }


def test_a_pod_that_claims_devices_asks_the_node_for_none():
    [workload] = [one for one in cast(story(88, 16)).values() if one.claims is Wanted.PAIR]
    [pod] = workload.some_pods(range(1), 60.0)
    [container] = pod["spec"]["containers"]
    assert container["resources"]["claims"] == [{"name": pod["spec"]["resourceClaims"][0]["name"]}]
    assert "nvidia.com/gpu" not in container["resources"]["requests"]
    assert (
        pod["spec"]["resourceClaims"][0]["resourceClaimTemplateName"] == template(Wanted.PAIR, "x")["metadata"]["name"]
    )


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
