from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from scripted_server import ScriptedServer, hang_up, refusal, until

from kai_py.errors import LeaseLostError
from kai_py.kube.client import ApiClient
from kai_py.kube.election import Leadership, LeaseTimes

COLLECTION = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
PATH = f"{COLLECTION}/kai-py"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class LeaseServer:
    """One Lease with optimistic locking, as the real server keeps it."""

    def __init__(self, server: ScriptedServer) -> None:
        self.lease: dict[str, Any] | None = None
        self.down: Handler | None = None
        self.writes = 0
        for method, path in (("GET", PATH), ("PUT", PATH), ("POST", COLLECTION)):
            server.on(method, path, self.handle)

    @property
    def spec(self) -> dict[str, Any]:
        assert self.lease is not None
        return self.lease["spec"]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.down is not None:
            return await self.down(request)
        if request.method == "GET":
            return web.json_response(self.lease) if self.lease else await refusal(404)(request)
        body = await request.json()
        version = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if body["metadata"].get("resourceVersion") != version:
            return await refusal(409)(request)
        self.write(body)
        return web.json_response(self.lease)

    def write(self, lease: dict[str, Any]) -> None:
        self.writes += 1
        self.lease = lease | {"metadata": lease["metadata"] | {"resourceVersion": str(self.writes)}}

    def held_by(self, holder: str, transitions: int = 0) -> None:
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": transitions}
        self.write({"metadata": {"name": "kai-py"}, "spec": spec | {"renewTime": f"{self.writes}"}})


class Clock:
    """Time that passes only when somebody sleeps, or the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.on_sleep: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()
        await asyncio.sleep(0)


@pytest.fixture
def leases(server: ScriptedServer) -> LeaseServer:
    return LeaseServer(server)


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Heard(list[str]):
    def say(self, word: str) -> Callable[[], None]:
        return lambda: self.append(word)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def ours(client: ApiClient, clock: Clock, heard: Heard) -> Leadership:
    return Leadership(
        client,
        "kube-system",
        "kai-py",
        "me",
        on_started=heard.say("started"),
        on_lost=heard.say("lost"),
        clock=clock,
        sleep=clock.sleep,
    )


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_lease_that_does_not_exist_is_created(leases: LeaseServer, ours: Leadership, heard: Heard):
    with pytest.raises(LeaseLostError):
        ours.check()
    async with ours.held():
        await until(lambda: ours.is_leader)
        ours.check()
        assert leases.spec["holderIdentity"] == "me"
        assert leases.spec["leaseDurationSeconds"] == 15
        assert leases.spec["leaseTransitions"] == 0
        assert heard == ["started"]


async def test_the_lease_is_given_back_at_the_end_after_the_work_has_stopped(
    leases: LeaseServer, ours: Leadership, heard: Heard
):
    async with ours.held():
        await until(lambda: ours.is_leader)
    assert heard == ["started", "lost"]
    assert leases.spec["holderIdentity"] == ""
    with pytest.raises(LeaseLostError):
        ours.check()


async def test_renewals_keep_the_time_of_acquisition(leases: LeaseServer, ours: Leadership, clock: Clock):
    async with ours.held():
        await until(lambda: leases.writes >= 4)
        assert clock.now >= 1006.0
        assert leases.spec["acquireTime"] < leases.spec["renewTime"]
        assert leases.spec["leaseTransitions"] == 0


async def test_another_holders_lease_is_respected_until_it_has_not_changed_for_its_duration(
    leases: LeaseServer, ours: Leadership, clock: Clock
):
    leases.held_by("other", transitions=4)
    async with ours.held():
        await until(lambda: ours.is_leader)
        assert clock.now >= 1015.0
        assert leases.spec["leaseTransitions"] == 5
        assert leases.spec["holderIdentity"] == "me"


async def test_a_lease_that_is_renewed_is_never_taken(
    server: ScriptedServer, leases: LeaseServer, ours: Leadership, clock: Clock
):
    leases.held_by("other")
    clock.on_sleep = lambda: leases.held_by("other")
    async with ours.held():
        await until(lambda: clock.now > 1100.0)
        assert not ours.is_leader
        assert ours.holder == "other"
    assert server.requests("PUT") == []


async def test_a_lease_that_was_given_back_is_taken_at_once(leases: LeaseServer, ours: Leadership, clock: Clock):
    leases.held_by("")
    async with ours.held():
        await until(lambda: ours.is_leader)
        assert leases.spec["leaseTransitions"] == 1


async def test_the_fence_closes_when_the_deadline_passes_although_nobody_has_answered(
    server: ScriptedServer, leases: LeaseServer, ours: Leadership, clock: Clock
):
    await ours._acquire()
    clock.now += 9.9
    ours.check()
    clock.now += 0.2
    with pytest.raises(LeaseLostError):
        ours.check()


async def test_the_deadline_counts_from_the_start_of_the_renewal(leases: LeaseServer, ours: Leadership, clock: Clock):
    async def slow(request: web.Request) -> web.StreamResponse:
        clock.now += 7.0
        leases.down = None
        return await leases.handle(request)

    leases.down = slow
    await ours._acquire()
    clock.now += 3.1
    with pytest.raises(LeaseLostError):
        ours.check()


@pytest.mark.parametrize("down", [refusal(500), hang_up, refusal(403)])
async def test_a_leader_that_cannot_renew_stops_and_starts_over(
    leases: LeaseServer, ours: Leadership, clock: Clock, heard: Heard, down: Handler
):
    async with ours.held():
        await until(lambda: ours.is_leader)
        leases.down = down
        await until(lambda: "lost" in heard)
        with pytest.raises(LeaseLostError):
            ours.check()
        leases.down = None
        await until(lambda: heard == ["started", "lost", "started"])
        ours.check()


async def test_one_failed_renewal_does_not_end_the_leadership(
    leases: LeaseServer, ours: Leadership, clock: Clock, heard: Heard
):
    async def fail_once(request: web.Request) -> web.StreamResponse:
        leases.down = None
        return await hang_up(request)

    async with ours.held():
        await until(lambda: ours.is_leader)
        leases.down = fail_once
        await until(lambda: clock.now > 1030.0)
        assert heard == ["started"]


async def test_a_renewal_whose_answer_was_lost_is_found_out(
    leases: LeaseServer, ours: Leadership, clock: Clock, heard: Heard
):
    async def execute_and_hang_up(request: web.Request) -> web.StreamResponse:
        leases.down = None
        await leases.handle(request)
        return await hang_up(request)

    async with ours.held():
        await until(lambda: ours.is_leader)
        leases.down = execute_and_hang_up
        await until(lambda: clock.now > 1030.0)
        assert heard == ["started"]


async def test_who_finds_another_holder_stops_at_once(
    leases: LeaseServer, ours: Leadership, clock: Clock, heard: Heard
):
    async with ours.held():
        await until(lambda: ours.is_leader)
        leases.held_by("other")
        clock.on_sleep = lambda: leases.held_by("other")
        await until(lambda: "lost" in heard)
        assert not ours.is_leader
    assert leases.spec["holderIdentity"] == "other"


async def test_of_two_only_one_leads(server: ScriptedServer, leases: LeaseServer, client: ApiClient):
    clock = Clock()
    both = [Leadership(client, "kube-system", "kai-py", name, clock=clock, sleep=clock.sleep) for name in ("a", "b")]
    tasks = [asyncio.create_task(one.run()) for one in both]
    seen = set()

    def passed() -> bool:
        seen.add(sum(one.is_leader for one in both))
        return clock.now > 1060.0

    await until(passed)
    for task in tasks:
        await stop(task)
    assert 2 not in seen
    assert 1 in seen


async def test_what_others_wrote_into_the_lease_stays(leases: LeaseServer, ours: Leadership):
    leases.write({"metadata": {"name": "kai-py", "labels": {"a": "b"}}, "spec": {}})
    await ours._acquire()
    assert leases.lease is not None
    assert leases.lease["metadata"]["labels"] == {"a": "b"}


def test_times_that_could_let_two_lead_are_refused():
    with pytest.raises(ValueError, match="duration > renew_deadline"):
        LeaseTimes(duration=10.0, renew_deadline=10.0)


async def test_a_lease_that_runs_out_is_taken_at_that_moment_and_not_at_the_next_look(
    leases: LeaseServer, client: ApiClient, clock: Clock
):
    times = LeaseTimes(duration=15.0, renew_deadline=14.0, retry=10.0)
    ours = Leadership(client, "kube-system", "kai-py", "me", times=times, clock=clock, sleep=clock.sleep)
    leases.held_by("other")
    await ours._acquire()
    assert clock.now == 1015.0


async def test_what_the_lease_says_about_the_time_of_day_does_not_matter(
    leases: LeaseServer, ours: Leadership, clock: Clock
):
    def renew(year: int) -> None:
        leases.held_by("other")
        leases.spec["renewTime"] = f"{year}-01-01T00:00:{leases.writes % 60:02}.000000Z"

    renew(1970)
    clock.on_sleep = lambda: renew(1970 + 200 * (leases.writes % 2))
    async with ours.held():
        await until(lambda: clock.now > 1100.0)
        assert not ours.is_leader
        stopped, clock.on_sleep = clock.now, lambda: None
        await until(lambda: ours.is_leader)
        assert clock.now >= stopped + 13.0


async def test_a_lease_that_was_given_back_leaves_its_last_writes_time_to_arrive(
    leases: LeaseServer, ours: Leadership, clock: Clock
):
    leases.held_by("")
    await ours._acquire()
    assert clock.now == 1001.0
    ours.check()


async def test_parts_of_a_second_are_rounded_up_for_others(leases: LeaseServer, client: ApiClient, clock: Clock):
    times = LeaseTimes(duration=2.4, renew_deadline=2.3, retry=0.5)
    ours = Leadership(client, "kube-system", "kai-py", "me", times=times, clock=clock, sleep=clock.sleep)
    await ours._acquire()
    assert leases.spec["leaseDurationSeconds"] == 3


async def test_one_renewal_that_hangs_does_not_end_the_leadership(leases: LeaseServer, client: ApiClient, heard: Heard):
    times = LeaseTimes(duration=2.0, renew_deadline=1.0, retry=0.05)
    ours = Leadership(client, "kube-system", "kai-py", "me", times=times, on_lost=heard.say("lost"))

    async def hang_once(request: web.Request) -> web.StreamResponse:
        leases.down = None
        await asyncio.sleep(2.0)
        return await hang_up(request)

    async with ours.held():
        await until(lambda: ours.is_leader)
        leases.down, before = hang_once, leases.writes
        await until(lambda: leases.writes >= before + 4)
        assert heard == []
