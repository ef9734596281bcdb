"""What a scheduler says about itself: its metrics, before and after."""

from __future__ import annotations

from typing import Any, Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from kai_py.cli.failures import Failure

Json = dict[str, Any]
Samples = dict[str, float]

_SECONDS: Final = 10.0
_MIB: Final = 1 << 20


async def scrape(url: str) -> Samples:
    """All samples without labels, and the sums over labels of the others, by name.

    Raises:
        Failure: nobody answers there, or not with metrics.
    """
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_SECONDS)) as session,
            session.get(url, raise_for_status=True) as response,
        ):
            text = await response.text()
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Failure(f"no metrics at {url}", [str(error) or type(error).__name__]) from error
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                samples[sample.name] = samples.get(sample.name, 0.0) + sample.value
    return samples


def work(before: Samples, after: Samples) -> Json:
    """What a scheduler has done between two scrapes, and its memory now."""

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    requests = grown("kai_py_bind_seconds_count")
    memory = after.get("process_resident_memory_bytes")
    return {
        "cycles": int(grown("kai_py_cycle_seconds_count")),
        "decisionSeconds": round(grown("kai_py_cycle_seconds_sum"), 4),
        "snapshotSeconds": round(grown("kai_py_snapshot_seconds_sum"), 4),
        "requestMilliseconds": round(1000 * grown("kai_py_bind_seconds_sum") / requests, 2) if requests else None,
        "apiErrors": int(grown("kai_py_api_errors_total")),
        "cpuSeconds": round(grown("process_cpu_seconds_total"), 2),
        "memoryMiB": None if memory is None else round(memory / _MIB, 1),
    }
