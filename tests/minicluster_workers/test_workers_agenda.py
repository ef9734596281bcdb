from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from kai_py.errors import ApiError
from kai_py.minicluster import MiniCluster
from kai_py.minicluster.workers import ManualClock
from kai_py.minicluster.workers.agenda import Agenda
from kai_py.minicluster.workers.clock import WallClock, seconds_of, timestamp
from kai_py.minicluster.workers.mirror import Mirror


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Seen:
    uid: str
    color: str
    revision: int = field(compare=False)

    @classmethod
    def of(cls, obj: dict[str, Any]) -> Seen:
        meta = obj["metadata"]
        return cls(meta["uid"], (obj.get("data") or {}).get("color", ""), int(meta["resourceVersion"]))


class Followed:
    """A mirror of ConfigMaps and what it told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None, str | None]] = []
        self.mirror: Mirror[Seen] = Mirror("configmaps", Seen.of, self._changed)

    def _changed(self, key: tuple[str, str], before: Seen | None, after: Seen | None) -> None:
        self.told.append((key[1], before and before.color, after and after.color))


def config(name: str, color: str = "red") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"color": color}}


async def test_keys_are_handled_in_the_order_of_their_time_and_once():
    clock, handled = ManualClock(0), []
    agenda: Agenda[str] = Agenda(clock, handled.append)
    agenda.at("late", 20)
    agenda.at("early", 10)
    agenda.at("late", 30)
    agenda.soon("now")
    task = asyncio.create_task(agenda.run())
    await turns()
    assert handled == ["now"]
    clock.advance(10)
    await turns()
    assert handled == ["now", "early"]
    clock.advance(10)
    await turns()
    assert handled == ["now", "early", "late"]
    clock.advance(10)
    await turns()
    assert handled == ["now", "early", "late"]
    task.cancel()


async def test_a_refused_key_comes_back_later_and_later():
    clock, tries = ManualClock(0), []

    def refuse(key: str) -> None:
        tries.append(clock.time())
        if len(tries) < 4:
            raise ApiError("no", status=403)

    agenda: Agenda[str] = Agenda(clock, refuse)
    agenda.soon("a")
    task = asyncio.create_task(agenda.run())
    for _ in range(20):
        await turns()
        clock.advance(0.1)
    pauses = [later - sooner for sooner, later in pairwise(tries)]
    assert len(tries) == 4
    assert pauses == sorted(pauses)
    assert pauses[-1] > pauses[0]
    assert len(agenda) == 0
    task.cancel()


async def test_the_wall_clock_waits_for_news_or_for_the_time():
    clock, news = WallClock(), asyncio.Event()
    late, soon, never = (
        asyncio.create_task(clock.wait(news, until)) for until in (clock.time() - 1, clock.time() + 0.01, None)
    )
    await asyncio.wait({late, soon}, timeout=5)
    assert [waiting.done() for waiting in (late, soon, never)] == [True, True, False]
    news.set()
    await turns()
    assert never.done()


def test_timestamps_are_read_as_they_are_written():
    assert timestamp(1_800_000_000.9) == "2027-01-15T08:00:00Z"
    assert seconds_of("2027-01-15T08:00:00Z") == 1_800_000_000
    assert seconds_of("2027-01-15T08:00:00.500000Z") == 1_800_000_000.5


async def test_a_mirror_tells_what_changed_for_it():
    storage, followed = MiniCluster().storage, Followed()
    storage.create("configmaps", config("a"))
    task = asyncio.create_task(followed.mirror.run(storage))
    await turns()
    storage.patch("configmaps", "a", {"data": {"other": "1"}}, "default")
    storage.patch("configmaps", "a", {"data": {"color": "blue"}}, "default")
    storage.delete("configmaps", "a", "default")
    await turns()
    assert followed.told == [("a", None, "red"), ("a", "red", "blue"), ("a", "blue", None)]
    task.cancel()


async def test_what_was_learned_from_a_write_is_not_undone_by_older_events():
    storage, followed = MiniCluster().storage, Followed()
    task = asyncio.create_task(followed.mirror.run(storage))
    await turns()
    storage.create("configmaps", config("a", "red"))
    followed.mirror.learn(storage.patch("configmaps", "a", {"data": {"color": "blue"}}, "default"))
    await turns()
    assert followed.told == [("a", None, "blue")]
    task.cancel()


async def test_an_object_made_again_under_its_name_is_another_one():
    followed = Followed()
    first, second = MiniCluster().storage, MiniCluster().storage
    followed.mirror.learn(first.create("configmaps", config("a", "red")))
    second.create("configmaps", config("b"))
    followed.mirror.learn(second.create("configmaps", config("a", "red")))
    assert followed.told == [("a", None, "red"), ("a", "red", None), ("a", None, "red")]


async def test_a_mirror_that_fell_behind_catches_up():
    storage, followed = MiniCluster().storage, Followed()
    task = asyncio.create_task(followed.mirror.run(storage))
    for name in ("gone", "kept"):
        storage.create("configmaps", config(name))
    await turns()
    storage.delete("configmaps", "gone", "default")
    storage.patch("configmaps", "kept", {"data": {"color": "blue"}}, "default")
    # What happens to a reader that is too slow: its queue is dropped and its watch ends.
    for watcher in storage.store.collections["configmaps"].watchers:
        watcher.close()
    await turns()
    assert {key[1]: view.color for key, view in followed.mirror.views.items()} == {"kept": "blue"}
    assert ("gone", "red", None) in followed.told
    task.cancel()
