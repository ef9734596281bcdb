"""A cycle holds large arrays: they are free when it is over, and not when somebody next collects garbage."""

import gc
from contextlib import contextmanager

import pytest

from kai_py.cli.bench import claims, decisions
from kai_py.cli.bench.device_shapes import SHAPES
from kai_py.cli.bench.repeated import NOW
from kai_py.cli.bench.scenes import SCENES
from tests.core.builders import decide

SCENES_OF = ("gangs", "consolidate", "made-volumes", "neighbours-affinity")
LOADS = {name: lambda scene=SCENES[name]: decisions.load(scene) for name in SCENES_OF}
LOADS["devices"] = lambda: claims.load(SHAPES["gang"])


@contextmanager
def only_ours():
    """Whatever is garbage by now is gone, and what was there before is not looked at."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS)
def test_a_cycle_leaves_nothing_that_only_a_collection_would_free(load):
    snapshot = load().take(NOW)
    decide(snapshot)  # what is made once per snapshot, or once for all
    with only_ours():
        decide(snapshot)
        assert gc.collect() == 0
