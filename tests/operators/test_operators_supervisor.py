"""The parts of the scheduler, run and ended together."""

from __future__ import annotations

import asyncio

import pytest

from kai_py.errors import UnavailableError
from kai_py.operators import reflectors
from kai_py.operators.reflectors import until_answered
from kai_py.operators.supervisor import Supervisor


async def forever(ended, name):
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(name)


async def test_parts_are_ended_and_none_of_them_has_failed():
    supervisor, ended = Supervisor(), []
    for name in ("first", "second"):
        supervisor.spawn(forever(ended, name), name)
    await asyncio.sleep(0)
    await supervisor.stop()
    assert sorted(ended) == ["first", "second"]
    assert not supervisor.failed.done()


async def test_the_first_part_that_ends_with_an_error_is_what_failed_and_the_others_go_on():
    supervisor, ended = Supervisor(), []

    async def break_with(error):
        raise error

    supervisor.spawn(forever(ended, "other"), "other")
    supervisor.spawn(break_with(ValueError("first")), "broken")
    supervisor.spawn(break_with(ValueError("second")), "broken, too")
    with pytest.raises(ValueError, match="first"):
        await asyncio.wait_for(supervisor.failed, 1)
    assert ended == []
    await supervisor.stop()
    assert ended == ["other"]


async def test_who_waits_for_the_server_asks_again_until_there_is_an_answer(monkeypatch):
    monkeypatch.setattr(reflectors, "RETRY", 0.0)
    answers = [UnavailableError("nobody there"), UnavailableError("still nobody"), None]

    async def ask():
        if (error := answers.pop(0)) is not None:
            raise error

    await asyncio.wait_for(until_answered(ask), 1)
    assert answers == []
