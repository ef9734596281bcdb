"""Settings that are only tried out: what differs is told once, and nothing else happens."""

import asyncio
import contextlib
import json
import sys

import pytest

from kai_py.errors import ForbiddenError, NotFoundError
from kai_py.operators import shadow as module
from kai_py.operators.shadow import KEY, NAME, PreviewFailedError, Shadow
from kai_py.telemetry.events import Regarding
from kai_py.telemetry.metrics import Metrics
from kai_py.telemetry.shadow_texts import LONGEST, shadow_sentence, shortened

ABOUT = Regarding("v1", "ConfigMap", "kai", "kai-py-settings", "u")


def difference(evicted=0):
    evictions = [{"pod": f"default/p-{n}"} for n in range(evicted)]
    return {
        "same": not evicted,
        "queues": {},
        "evictions": {"more": evictions, "fewer": []},
        "starts": {"more": [], "fewer": [], "elsewhere": []},
        "waiting": {"more": [], "fewer": [], "otherReasons": []},
    }


class World:
    """Everything around a shadow: who answers, who is told, what is written."""

    def __init__(self):
        self.asked, self.events, self.written = [], [], []
        self.answer = difference()
        self.leading = True
        self.error = None
        self.metrics = Metrics()
        self.shadow = Shadow(
            self,
            self,
            self.metrics,
            self.preview,
            namespace="kai",
            leading=lambda: self.leading,
            tell=self.events.append,
        )

    async def preview(self, document):
        self.asked.append(document)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def get_object(self, path):
        raise NotFoundError(path, status=404)

    async def create(self, _kind, body):
        if self.error is not None:
            raise self.error
        self.written.append((body["metadata"]["name"], json.loads(body["data"][KEY])))

    def number(self, kind, change):
        return self.metrics.registry.get_sample_value("kai_py_shadow_differences", {"kind": kind, "change": change})

    async def turn(self):
        """Let it run for some turns."""
        task = asyncio.create_task(self.shadow.run())
        await asyncio.sleep(0.05)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def world(monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.005)
    monkeypatch.setattr(module, "TURN", 0.005)
    return World()


async def test_without_other_settings_nobody_is_asked_and_nothing_is_said(world):
    world.shadow.take("", ABOUT)
    await world.turn()
    assert (world.asked, world.events, world.written) == ([], [], [])
    assert world.number("evictions", "more") is None


async def test_a_difference_is_published_once_however_often_it_is_computed(world):
    world.answer = difference(evicted=2)
    world.shadow.take("gangs: {}", ABOUT)
    await world.turn()
    assert len(world.asked) > 1
    assert [(one.reason, one.note) for one in world.events] == [
        ("ShadowCompared", "With the settings in shadow.yaml, 2 pods would be evicted.")
    ]
    assert [name for name, _ in world.written] == [NAME]
    assert world.written[0][1]["counts"]["evictions.more"] == 2
    assert (world.number("evictions", "more"), world.number("evictions", "fewer")) == (2, 0)


async def test_faults_are_told_and_nothing_is_computed(world):
    world.shadow.take("gangs: 7\nplacement: {gpu: bin}\n", ABOUT)
    await world.turn()
    assert world.asked == []
    assert world.events[0].reason == "InvalidShadow"
    assert "gangs" in world.events[0].note
    assert "placement.gpu" in world.events[0].note
    assert world.metrics.registry.get_sample_value("kai_py_shadow_faults") == 2
    world.shadow.take("", ABOUT)
    assert world.metrics.registry.get_sample_value("kai_py_shadow_faults") == 0


async def test_a_standby_does_not_compute(world):
    world.leading = False
    world.shadow.take("gangs: {}", ABOUT)
    await world.turn()
    assert world.asked == []


async def test_other_settings_that_go_take_their_numbers_with_them(world):
    world.answer = difference(evicted=1)
    world.shadow.take("gangs: {}", ABOUT)
    await world.turn()
    world.shadow.take("", ABOUT)
    asked = len(world.asked)
    await world.turn()
    assert len(world.asked) == asked
    assert world.number("evictions", "more") is None


@pytest.mark.parametrize("error", [PreviewFailedError("no"), OSError("no process")])
async def test_a_preview_that_fails_says_nothing_and_is_tried_again(world, error):
    world.answer = error
    world.shadow.take("gangs: {}", ABOUT)
    await world.turn()
    assert len(world.asked) > 1
    assert (world.events, world.written) == ([], [])


async def test_a_server_that_refuses_the_config_map_does_not_end_it(world):
    world.error = ForbiddenError("no", status=403)
    world.shadow.take("gangs: {}", ABOUT)
    await world.turn()
    assert len(world.asked) > 1
    assert len(world.events) == 1


async def test_a_process_is_asked_and_its_failure_is_told(monkeypatch):
    echo = "import sys, json; print(json.dumps({'got': sys.stdin.read()}))"
    assert await module._answer([sys.executable, "-c", echo], b"gangs: {}") == {"got": "gangs: {}"}
    with pytest.raises(PreviewFailedError, match="no such thing"):
        await module._answer([sys.executable, "-c", "import sys; sys.exit('no such thing')"], b"")
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    with pytest.raises(PreviewFailedError, match="no answer"):
        await module._answer([sys.executable, "-c", "import time; time.sleep(30)"], b"")


def test_what_is_published_fits_into_a_config_map():
    long = difference(evicted=20_000)
    assert len(shortened(long)["evictions"]["more"]) == LONGEST
    assert shortened(long)["counts"]["evictions.more"] == 20_000
    assert shadow_sentence(difference()) == "With the settings in shadow.yaml nothing would differ."
    assert "1 pod would be evicted." in shadow_sentence(difference(evicted=1))
