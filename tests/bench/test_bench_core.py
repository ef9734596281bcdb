"""``kai-py bench core``."""

from __future__ import annotations

import pytest

from kai_py.cli.bench.decisions import measure
from kai_py.cli.bench.manifests import GPUS_PER_NODE
from kai_py.cli.bench.scenes import SCENES, Scene, Team


def test_what_is_owed_is_taken_and_what_it_costs_is_counted():
    teams = (Team(name="rich", quota=0, weight=0, running=8), Team(name="poor", quota=16, jobs=4))
    result = measure("tiny", Scene(about="", nodes=2, teams=teams, repetitions=2))
    assert (result["placed"], result["evictions"], result["moved"], result["broken"]) == (4, 4, 0, 0)
    assert result["gpuSecondsLost"] == 7 + 14 + 21  # the youngest go: they started 0, 7, 14 and 21 seconds ago
    assert result["maxUnfairness"] == 12  # rich, owed nothing, keeps what nobody asked for
    assert result["milliseconds"]["decision"]["min"] > 0


def test_what_cannot_be_had_is_not_taken_and_the_reason_is_there():
    teams = (Team(name="rich", quota=9, weight=0, running=8), Team(name="poor", quota=8, jobs=1, gpus=8))
    result = measure("tiny", Scene(about="", nodes=2, teams=teams, repetitions=1))
    assert (result["placed"], result["evictions"]) == (0, 0)
    assert [codes[1] for codes in result["waiting"].values()] == ["NotEnoughReclaimable"]


@pytest.mark.parametrize("name", SCENES)
def test_every_scene_runs_no_more_than_it_has(name):
    scene = SCENES[name]
    assert sum(team.running for team in scene.teams) <= GPUS_PER_NODE
    assert sum(team.jobs for team in scene.teams) > 0
