"""How long a pod waits for admission: reviews at a steady rate against ``kai-py webhooks`` in a process of its own."""

from __future__ import annotations

import asyncio
import math
import ssl
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiohttp
import msgspec

from kai_py.api.keys import QUEUE_LABEL, SCHEDULER_NAME
from kai_py.cli.bench.machine import cpu_seconds
from kai_py.cli.bench.processes import minicluster, webhooks
from kai_py.cli.failures import Failure
from kai_py.kube.client import ApiClient, connect
from kai_py.operators.kinds import NAMESPACES, QUEUES

Json = dict[str, Any]

_QUEUES: Final = 500
_TEAMS: Final = 50
#: At most so many at once; an API server keeps them open.
_CONNECTIONS: Final = 32
#: Seconds until the webhooks must answer, and have read what there is.
_START: Final = 60.0
#: They have when they take less than this part of a core for so many seconds.
_IDLE: Final = 0.02
_QUIET: Final = 1.0


async def measure_admission(rate: int, seconds: float) -> Json:
    """Ask about pods at a steady rate, as an API server does that has many clients; every tenth pod is refused.

    A review is sent when its time has come, whether or not those before it are answered, and its latency counts from
    that time: a server that stalls cannot hide behind questions that were not asked.

    Args:
        rate: reviews a second.
        seconds: how long.
    """
    with TemporaryDirectory(prefix="kai-py-bench-") as name:
        folder = Path(name)
        async with minicluster(folder) as kubeconfig:
            async with await connect(str(kubeconfig)) as client:
                await _furnish(client)
            async with webhooks(kubeconfig, folder) as (url, process), _session() as session:
                await _until_answered(session, url)
                await _until_quiet(process)
                before = cpu_seconds(process)
                found = await _load(session, url, rate, seconds)
                after = cpu_seconds(process)
                if before is not None and after is not None:
                    each = (after - before) / found["reviews"]
                    found["cpuMillisecondsPerReview"] = round(each * 1000, 3)
                    found["coresAtRate"] = round(each * rate, 3)
                return found


async def _furnish(client: ApiClient) -> None:
    """Queues of many teams, each open to the namespaces of its team alone."""
    for team in range(_TEAMS):
        meta: Json = {"name": f"ns-{team}", "labels": {"team": f"t{team}"}}
        body: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}
        await client.post(NAMESPACES.path(), body)
    resources = {name: {"quota": -1, "limit": -1} for name in ("cpu", "memory", "gpu")}
    for number in range(_QUEUES):
        allowed = {"matchLabels": {"team": f"t{number % _TEAMS}"}}
        spec = {"resources": resources, "allowedNamespaces": allowed}
        meta = {"name": f"queue-{number}"}
        queue = {"apiVersion": QUEUES.api_version, "kind": "Queue", "metadata": meta, "spec": spec}
        await client.post(QUEUES.path(), queue)


def _session() -> aiohttp.ClientSession:
    trusting = ssl.create_default_context()  # the certificate is not what is measured
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=trusting))


def _review(number: int) -> bytes:
    """A pod of a team in one of its queues, or, every tenth time, in somebody else's."""
    queue = number % _QUEUES
    team = (queue + (number % 10 == 0)) % _TEAMS
    resources = {"requests": {"cpu": "8", "memory": "64Gi"}, "limits": {"nvidia.com/gpu": "8"}}
    env = [{"name": "ARGUMENTS", "value": "x" * 500}]
    container = {"name": "main", "image": "example.com/train:1", "resources": resources, "env": env}
    meta = {"name": f"p{number}", "namespace": f"ns-{team}", "labels": {QUEUE_LABEL: f"queue-{queue}"}}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta,
        "spec": {"schedulerName": SCHEDULER_NAME, "containers": [container]},
    }
    request = {
        "uid": f"u{number}",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "resource": {"group": "", "version": "v1", "resource": "pods"},
        "name": f"p{number}",
        "namespace": f"ns-{team}",
        "operation": "CREATE",
        "userInfo": {"username": "system:serviceaccount:kube-system:job-controller"},
        "object": pod,
        "oldObject": None,
        "dryRun": False,
    }
    return msgspec.json.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


async def _ask(session: aiohttp.ClientSession, url: str, number: int) -> bool:
    async with session.post(
        f"{url}/pods", data=_review(number), headers={"Content-Type": "application/json"}
    ) as answer:
        answer.raise_for_status()
        return bool(msgspec.json.decode(await answer.read())["response"]["allowed"])


async def _until_answered(session: aiohttp.ClientSession, url: str) -> None:
    deadline = time.monotonic() + _START
    while time.monotonic() < deadline:
        try:
            if await _ask(session, url, 1):
                return
        except (aiohttp.ClientError, OSError):
            pass
        await asyncio.sleep(0.1)
    raise Failure("the webhooks do not answer", [url])


async def _until_quiet(process: int) -> None:
    """Wait until the webhooks have read what there is: their start is not what is measured."""
    before = cpu_seconds(process)
    deadline = time.monotonic() + _START
    while before is not None and time.monotonic() < deadline:
        await asyncio.sleep(_QUIET)
        after = cpu_seconds(process)
        if after is None or after - before < _IDLE * _QUIET:
            return
        before = after


async def _load(session: aiohttp.ClientSession, url: str, rate: int, seconds: float) -> Json:
    latencies: list[float] = []
    wrong = 0
    begun = time.perf_counter()

    async def one(number: int, due: float) -> None:
        nonlocal wrong
        allowed = await _ask(session, url, number)
        latencies.append(time.perf_counter() - due)
        wrong += allowed != (number % 10 != 0)

    async with asyncio.TaskGroup() as tasks:
        for number in range(round(rate * seconds)):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.create_task(one(number, due))
    ordered = sorted(latencies)
    return {
        "rate": rate,
        "reviews": len(ordered),
        "reviewsPerSecond": round(len(ordered) / (time.perf_counter() - begun), 1),
        "queues": _QUEUES,
        "wrongAnswers": wrong,
        "milliseconds": {
            "p50": _percentile(ordered, 0.5),
            "p90": _percentile(ordered, 0.9),
            "p99": _percentile(ordered, 0.99),
            "max": _percentile(ordered, 1.0),
        },
    }


def _percentile(ordered: list[float], part: float) -> float:
    return round(ordered[max(0, math.ceil(part * len(ordered)) - 1)] * 1000, 2)
