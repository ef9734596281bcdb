"""Claims while the API server fails in every way that it can: no device twice, and everybody starts in the end."""

from __future__ import annotations

import random

import pytest

from kai_py.operators import starts, unused_claims

from .claims import claims, devices, devices_of, gang, owner
from .harness import Cluster

KINDS = ("PATCH", "/resourceclaims/[^/]+$"), ("PUT", "/resourceclaims/[^/]+/status"), ("POST", "/binding")


@pytest.mark.parametrize("seed", range(3))
async def test_no_device_is_given_twice_and_all_pods_start(
    embedded: Cluster, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(unused_claims, "EVERY", 0.3)
    monkeypatch.setattr(starts, "LOOK", 0.1)
    chance = random.Random(seed)  # chosen, not secret
    nodes = await embedded.nodes(4)
    for node in nodes:
        await devices(embedded, node, 9)
    await embedded.queue("team")
    names = [f"{group}-{number}" for group in "abc" for number in range(4)]
    for group in "abc":
        await gang(embedded, group, 4)
    for name in names:
        await owner(embedded, name, group=name[0])
    for _ in range(12):
        verb, path = chance.choice(KINDS)
        match chance.randrange(4):
            case 0:
                embedded.faults.answer(chance.choice([409, 422, 403, 404, 500]), verb=verb, path=path)
            case 1:
                embedded.faults.answer(500, verb=verb, path=path, after=True)
            case 2:
                embedded.faults.cut(verb=verb, path=path, after=chance.random() < 0.5)
            case _:
                embedded.faults.delay(0.05, verb=verb, path=path, times=3)
    async with embedded.scheduler():
        places = await embedded.until_bound(*names[:6], patience=40)
    async with embedded.scheduler():
        places = await embedded.until_bound(*names, patience=60)
    given = await devices_of(embedded)
    assert len({device for results in given.values() for device in results}) == len(names)
    pods = await embedded.pods()
    for name in names:
        made = (await claims(embedded))[f"{name}-dev"]
        assert given[f"{name}-dev"][0][0] == places[name]
        assert [one["uid"] for one in made["status"]["reservedFor"]] == [pods[name]["metadata"]["uid"]]
