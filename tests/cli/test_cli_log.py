"""``kai-py log`` against a server of decisions."""

import asyncio
import json

import pytest

from kai_py.kube.reviews import Reviews
from kai_py.operators.decision_server import serving
from kai_py.telemetry.decision_log import DecisionLog

ENTRY = {"time": "T", "kind": "bind", "pod": "ns/p", "podGroup": "ns/g", "queue": "q", "node": "n", "why": "It fits."}


@pytest.fixture
async def address():
    log = DecisionLog()
    log._add(ENTRY)
    async with serving(log, Reviews(None), ("127.0.0.1", 0), lambda: True) as port:
        yield f"http://127.0.0.1:{port}"


async def test_decisions_are_shown_to_people_and_to_programs(kai, address):
    shown = await asyncio.to_thread(kai, "log", "--address", address)
    assert (await asyncio.to_thread(kai, "log", "--address", address.removeprefix("http://"))).stdout == shown.stdout
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[1].split() == ["T", "bind", "ns/p", "n", "-", "-", "-", "It", "fits."]
    answer = json.loads(
        (await asyncio.to_thread(kai, "log", "--address", address, "-o", "json", "--pod", "ns/p")).stdout
    )
    assert answer["items"] == [{"id": 1, **ENTRY}]
    empty = await asyncio.to_thread(kai, "log", "--address", address, "--pod", "ns/other")
    assert (empty.exit_code, empty.stdout) == (0, "")


def test_nobody_there_is_told_with_the_next_step(kai):
    answer = kai("log", "--address", "http://127.0.0.1:9")
    assert answer.exit_code == 1
    assert "port-forward" in answer.stderr
    assert kai("log", "--address", "file:///etc").exit_code == 2
