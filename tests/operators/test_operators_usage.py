"""Usage outlives the process in a ConfigMap; whatever is wrong with that never stops anything."""

from __future__ import annotations

import asyncio
import contextlib

import msgspec
import numpy as np
import pytest

from kai_py.core.result import QueueShares
from kai_py.errors import ConflictError, ForbiddenError, NotFoundError, UnavailableError
from kai_py.operators import usage as module
from kai_py.operators.usage import KEY, UsageKeeper
from kai_py.settings.load import load_settings
from tests.cluster.objects import NOW, a_store

RESOURCES = ("cpu", "memory", "gpu")
ON = load_settings("fairness: {usage: {enabled: true}}").fairness.usage
OFF = load_settings("").fairness.usage


class Server:
    """One ConfigMap, or the error to answer with."""

    def __init__(self):
        self.there = None
        self.error = None
        self.asked = 0
        self.written = []

    async def get_object(self, path):
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.there is None:
            raise NotFoundError(path, status=404)
        return {"metadata": {"resourceVersion": "7"}, "data": {KEY: self.there}}

    async def create(self, _kind, body):
        self.written.append(("create", body))

    async def replace(self, _kind, body):
        self.written.append(("replace", body))
        if self.there == "raced":
            raise ConflictError("changed meanwhile", status=409)


class Clock:
    now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def keep(server, clock, monkeypatch):
    """Makes a keeper of a store with one queue; its loop turns at once."""
    monkeypatch.setattr(module, "TURN", 0.001)

    def make(settings=ON):
        return UsageKeeper(server, server, a_store().queues, lambda: settings, namespace="kai", clock=clock)

    return make


def shares(gpus):
    amounts = np.array([[0, 0, gpus]], dtype=np.int64)
    floats = amounts.astype(np.float64)
    return QueueShares(("team",), floats, amounts, amounts, amounts, np.array([64, 100, 8]))


async def lead(keeper, *, until):
    """Run as the leader until something holds."""
    task = asyncio.create_task(keeper.run(lambda: True))
    async with asyncio.timeout(5):
        while not until():  # noqa: ASYNC110  # what is waited for knows no events
            await asyncio.sleep(0.001)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def after(keeper, clock, seconds, gpus):
    clock.now += seconds
    keeper.record(shares(gpus), RESOURCES)


def gpu_usage(keeper):
    return {name: float(amounts[2]) for name, amounts in keeper._queues.usage.items()}


async def test_queues_are_told_what_they_have_held(keep, clock):
    keeper = keep()
    await lead(keeper, until=lambda: keeper._read)
    after(keeper, clock, 0, 8)
    after(keeper, clock, 10, 8)
    after(keeper, clock, 10, 0)
    assert gpu_usage(keeper) == {"team": 0.5}


async def test_nothing_is_recorded_unless_settings_say_so(keep, clock, server):
    keeper = keep(OFF)
    after(keeper, clock, 10, 8)
    after(keeper, clock, 10, 8)
    await keeper.save()
    assert (gpu_usage(keeper), server.written) == ({}, [])


async def test_nothing_is_recorded_or_written_before_what_is_there_was_read(keep, clock, server):
    keeper = keep()
    after(keeper, clock, 10, 8)
    after(keeper, clock, 10, 8)
    await keeper.save()
    assert (gpu_usage(keeper), server.written) == ({}, [])


async def test_the_next_leader_goes_on_where_the_last_one_ended(keep, clock, server):
    first = keep()
    await lead(first, until=lambda: first._read)
    after(first, clock, 0, 8)
    after(first, clock, 50, 8)
    await first.save()
    ((verb, body),) = server.written
    assert (verb, body["metadata"]) == ("create", {"name": "kai-py-usage", "namespace": "kai"})
    server.there = body["data"][KEY]
    second = keep()
    await lead(second, until=lambda: second._read)
    after(second, clock, 0, 0)
    assert gpu_usage(second) == {"team": 1.0}
    await second.save()
    verb, body = server.written[-1]
    assert (verb, body["metadata"]["resourceVersion"]) == ("replace", "7")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 1}', '{"version": 9}'])
async def test_what_is_broken_is_passed_over(keep, clock, server, text):
    server.there = text
    keeper = keep()
    await lead(keeper, until=lambda: keeper._read)
    after(keeper, clock, 0, 8)
    after(keeper, clock, 10, 8)
    assert gpu_usage(keeper) == {"team": 1.0}


async def test_a_server_that_does_not_answer_is_asked_again(keep, server):
    server.error = UnavailableError("down")
    keeper = keep()
    await lead(keeper, until=lambda: server.asked > 1)
    assert not keeper._read
    server.error = None
    await lead(keeper, until=lambda: keeper._read)
    assert server.asked > 2


async def test_without_the_right_to_read_usage_begins_anew(keep, clock, server):
    server.error = ForbiddenError("no", status=403)
    keeper = keep()
    await lead(keeper, until=lambda: keeper._read)
    after(keeper, clock, 0, 8)
    after(keeper, clock, 10, 8)
    assert gpu_usage(keeper) == {"team": 1.0}


async def test_a_conflict_is_left_to_the_next_writing(keep, server):
    keeper = keep()
    await lead(keeper, until=lambda: keeper._read)
    server.there = "raced"
    await keeper.save()
    await keeper.save()
    assert [verb for verb, _ in server.written] == ["replace", "replace"]


async def test_a_standby_reads_and_writes_nothing(keep, server):
    keeper = keep()
    task = asyncio.create_task(keeper.run(lambda: False))
    await asyncio.sleep(0.02)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not keeper._read
    assert server.written == []


async def test_a_long_silence_says_nothing_about_what_was_held(keep, clock):
    keeper = keep()
    await lead(keeper, until=lambda: keeper._read)
    after(keeper, clock, 0, 8)
    after(keeper, clock, 3600, 8)
    document = msgspec.json.encode(keeper.book.document())
    assert msgspec.json.decode(document)["buckets"][0]["used"]["team"][2] == 8 * module.LONGEST
