"""``kai-py bench dra``."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import pytest

from kai_py.cli.bench.claims import measure
from kai_py.cli.bench.device_shapes import SHAPES
from kai_py.cli.bench.manifests import GPUS_PER_NODE


def small(name, **changes):
    return measure(name, dataclasses.replace(SHAPES[name], repetitions=1, **changes))


def numbers(result):
    return result["placed"], result["devices"], result["waiting"], result["broken"]


def test_every_gpu_goes_to_one_claim_and_who_is_left_over_waits():
    result = small("whole-gpus", nodes=2, jobs=18)
    assert numbers(result) == (16, 16, 2, 0)
    assert result["milliseconds"]["decision"]["min"] > 0


def test_a_gpu_is_cut_in_seven_and_no_further():
    assert numbers(small("partitions", nodes=2, jobs=15)) == (14, 14, 1, 0)


def test_of_the_widest_case_somebody_gets_less_than_preferred():
    assert numbers(small("backtracking")) == (1, 32, 0, 0)


@pytest.mark.parametrize(("nodes", "placed"), [(2, 8), (1, 0)])
def test_a_gang_with_claims_starts_whole_or_not_at_all(nodes, placed):
    result = small("gang", nodes=nodes, gang=8)
    assert numbers(result)[:2] == (placed, 3 * placed)
    assert result["broken"] == 0


def test_what_is_allocated_stays_as_it_is():
    result = small("idle", nodes=3)
    assert numbers(result) == (0, 0, 0, 0)
    assert result["pods"] == 3 * GPUS_PER_NODE + 1


@pytest.mark.slow
def test_the_command_prints_a_document_for_programs():
    command = [sys.executable, "-m", "kai_py", "bench", "dra", "--shape", "backtracking", "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    report = json.loads(done.stdout)
    assert report["kind"] == "DeviceBenchmark"
    assert [(one["shape"], one["placed"]) for one in report["results"]] == [("backtracking", 1)]


def test_an_unknown_shape_is_refused_with_those_that_there_are():
    command = [sys.executable, "-m", "kai_py", "bench", "dra", "--shape", "round"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "whole-gpus" in done.stderr
