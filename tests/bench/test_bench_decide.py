"""``kai-py bench decide``."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from kai_py.cli.bench.decide import measure
from kai_py.cli.bench.shapes import SHAPES, Shape


def test_what_fits_is_placed_and_contradicts_nothing():
    result = measure("tiny", Shape(about="", nodes=2, jobs=20, repetitions=2))
    assert (result["placed"], result["waiting"], result["broken"]) == (16, 4, 0)
    assert result["milliseconds"]["decision"]["min"] > 0


def test_a_gang_is_placed_whole_or_not_at_all():
    assert measure("fits", Shape(about="", nodes=4, jobs=1, gang=4, gpus=8, repetitions=1))["placed"] == 4
    assert measure("does not", Shape(about="", nodes=3, jobs=1, gang=4, gpus=8, repetitions=1))["placed"] == 0


def test_running_pods_are_there_and_one_more_comes_and_goes():
    result = measure("idle", Shape(about="", nodes=3, running=10, queues=4, departments=2, repetitions=3))
    assert (result["pods"], result["placed"], result["broken"]) == (31, 0, 0)


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_asks_for_no_more_than_it_has(name):
    shape = SHAPES[name]
    if name != "stuck":
        assert shape.jobs * shape.gang * shape.gpus <= 8 * shape.nodes
    assert shape.queues >= shape.departments


@pytest.mark.slow
def test_the_command_prints_a_document_for_programs():
    command = [sys.executable, "-m", "kai_py", "bench", "decide", "--shape", "queues", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    report = json.loads(done.stdout)
    assert report["machine"]["cpus"] >= 1
    (result,) = report["results"]
    assert (result["shape"], result["placed"]) == ("queues", 200)


def test_an_unknown_shape_is_refused_with_those_that_there_are():
    command = [sys.executable, "-m", "kai_py", "bench", "decide", "--shape", "round"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "gang-whole" in done.stderr
