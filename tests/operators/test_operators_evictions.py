"""How evictions are carried out: by which request, how many at once, and what a refusal does to whoever wanted them."""

from __future__ import annotations

import asyncio

import pytest

from kai_py.core.options import Action
from kai_py.core.result import Evict, Nominate, ReasonCode
from kai_py.core.tables.pods import PodKey
from kai_py.errors import ForbiddenError
from kai_py.kube.pods import Outcome, Result
from kai_py.operators.dispatch import Dispatcher
from kai_py.settings.load import load_settings
from kai_py.telemetry.metrics import Metrics
from tests.cluster.objects import NOW, a_store, blocked, pod, podgroup
from tests.cluster.test_cluster_held import held_in, result_of

BUDGET = Result(Outcome.BLOCKED, "it would violate the disruption budget")
DONE = Result(Outcome.APPLIED)


class Server:
    """Answers every request, and keeps what was asked."""

    def __init__(self):
        self.requests = []
        self.refuses = {}
        self.claims = None

    async def mark_disruption_target(self, _namespace, name, *_):
        self.requests.append(("mark", name))
        return DONE

    async def delete(self, _namespace, name, _uid):
        return self._answer("delete", name)

    async def evict(self, _namespace, name, _uid):
        return self._answer("evict", name)

    def _answer(self, verb, name):
        self.requests.append((verb, name))
        answer = self.refuses.get(name, DONE)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def store():
    running = [pod(name, on="a", group="victims") for name in ("v0", "v1", "v2")]
    return a_store(podgroup("victims"), podgroup("hungry"), *running, pod("h0", group="hungry"))


async def carry_out(store, server, *decisions, settings="{}"):
    """Submit decisions and wait for the answers; returns how many were sent."""
    eviction = load_settings(settings).eviction
    dispatcher = Dispatcher(
        store, server, Metrics(), tell=lambda *_: None, wake=lambda: None, eviction=lambda: eviction, clock=lambda: NOW
    )
    store.carryover.remember(result_of(store, Nominate("ns/h0", "uid-h0", "a", "ns/hungry", Action.RECLAIM)), NOW)
    return await submit(dispatcher, *decisions), dispatcher


async def submit(dispatcher, *decisions):
    worker = asyncio.create_task(dispatcher.run())
    sent = dispatcher.submit(decisions)
    async with asyncio.timeout(5):
        await dispatcher.idle()
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    return sent


def evict(name, *, preemptor="ns/hungry", action=Action.RECLAIM):
    return Evict(f"ns/{name}", f"uid-{name}", "a", "ns/victims", action, preemptor)


EVICT = "eviction: {method: {reclaim: evict}}"


async def test_by_default_a_reclaimed_pod_is_told_why_and_deleted(store, server):
    await carry_out(store, server, evict("v0"))
    assert server.requests == [("mark", "v0"), ("delete", "v0")]


async def test_by_default_a_move_asks_the_budgets(store, server):
    await carry_out(store, server, evict("v0", action=Action.CONSOLIDATE))
    assert server.requests == [("evict", "v0")]


async def test_what_a_budget_forbids_is_given_up_before_more_is_lost(store, server):
    server.refuses["v1"] = BUDGET
    await carry_out(store, server, evict("v0"), evict("v1"), evict("v2"), settings=EVICT)
    assert server.requests == [("evict", "v0"), ("evict", "v1")]
    assert [key.name for key, _ in store.assumptions] == ["v0"]


async def test_whoever_wanted_it_pauses_says_why_and_holds_nothing(store, server):
    server.refuses["v0"] = BUDGET
    await carry_out(store, server, evict("v0"), settings=EVICT)
    snapshot = store.take(NOW)
    assert held_in(snapshot) == {}
    assert blocked(snapshot, "hungry") == ReasonCode.BACKING_OFF
    ((_, details),) = snapshot.podgroups.blocked.values()
    assert details["message"] == "the eviction of ns/v0 was refused: it would violate the disruption budget"


async def test_an_eviction_that_we_may_not_do_is_given_up_as_well(store, server):
    server.refuses["v0"] = ForbiddenError("pods/eviction is forbidden", status=403)
    await carry_out(store, server, evict("v0"), settings=EVICT)
    assert blocked(store.take(NOW), "hungry") == ReasonCode.BACKING_OFF


async def test_a_victim_that_is_gone_already_is_a_success(store, server):
    server.refuses["v0"] = Result(Outcome.NOT_FOUND)
    await carry_out(store, server, evict("v0"), settings=EVICT)
    assert held_in(store.take(NOW)) == {"h0": "a"}


async def test_a_wave_that_is_full_postpones_whoever_comes_next(store, server):
    other = evict("v2", preemptor="ns/later")
    sent, _ = await carry_out(store, server, evict("v0"), evict("v1"), other, settings="eviction: {wave: 2}")
    assert sent == 2
    assert ("delete", "v2") not in server.requests
    assert blocked(store.take(NOW), "hungry") is None


async def test_a_postponed_podgroup_holds_nothing_and_does_not_pause(store, server):
    first = evict("v0", preemptor="ns/first")
    await carry_out(store, server, first, evict("v1"), settings="eviction: {wave: 1}")
    snapshot = store.take(NOW)
    assert held_in(snapshot) == {}
    assert blocked(snapshot, "hungry") is None


async def test_a_podgroup_that_needs_more_than_a_wave_goes_alone(store, server):
    sent, _ = await carry_out(store, server, *map(evict, ("v0", "v1", "v2")), settings="eviction: {wave: 1}")
    assert sent == 3


async def test_the_next_wave_goes_when_the_pods_of_the_last_one_are_gone(store, server):
    sent, dispatcher = await carry_out(store, server, evict("v0"), settings="eviction: {wave: 1}")
    assert await submit(dispatcher, evict("v1")) == 0
    store.drop_pod(PodKey("ns", "v0", "uid-v0"))
    assert await submit(dispatcher, evict("v1")) == 1
    assert sent == 1


async def test_it_is_crowded_as_long_as_something_waits_for_a_worker(store, server):
    _, dispatcher = await carry_out(store, server)
    assert not dispatcher.crowded
    dispatcher.submit([evict("v0")])  # nobody works yet
    assert dispatcher.crowded
    await submit(dispatcher, evict("v1"))
    assert not dispatcher.crowded
    assert server.requests == [("mark", "v0"), ("delete", "v0"), ("mark", "v1"), ("delete", "v1")]
