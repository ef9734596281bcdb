"""The page ``docs/reference/metrics.md``, made from the declarations; a test compares it with the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from kai_py.telemetry.families import Family
from kai_py.telemetry.metrics import Metrics
from kai_py.telemetry.sizes import SIZES

PAGE: Final = PurePosixPath("docs/reference/metrics.md")

_INTRODUCTION: Final = """\
# Metrics

<!-- Generated from kai_py/telemetry/metrics.py and the modules that it names. -->

A scheduler answers `GET /metrics` on the port that `kai-py run --metrics-port` names (8080 in the chart), in
Prometheus' text format. The chart has a [ServiceMonitor, alerts and dashboards](../guides/install.md) for it; what to
do about an alert is in the [runbooks](../runbooks/README.md).

Every replica answers. What is read off cycles comes from the leader alone, which runs them; so add up counters over
replicas, and take the maximum of gauges. Counters of a process that is started anew begin at 0, which Prometheus'
`rate` and `increase` know how to handle.

No label grows with the number of pods or podgroups. `queue` is a Queue that exists, `resource` is `cpu` (cores),
`memory` (bytes), `gpu` (devices) or what settings charge beside them, `driver` is a driver of devices, `kind` a kind as
`kubectl get` names it. `size` sorts podgroups by the GPUs of all their unfinished pods:
{sizes}.
Single pods are the business of `kai-py why` and `kai-py log`.

Beside these there are the `process_*` metrics of the Python client library (memory, CPU, file descriptors).
"""
#: In the order of the page.
_SECTIONS: Final = {
    "Pods": "How long users wait, and for what.",
    "Queues": "Who holds how much, who should, and what it costs. Parents include their children.",
    "Devices": "How well GPUs and other devices are used.",
    "Cycles and decisions": "What the scheduler decides, and how long that takes.",
    "API server": "How it gets on with the API server. Kinds that need no watch of ours (Queues, PodGroups, "
    "Topologies) come through kopf, and have no silence.",
    "The process": "Who leads, which version, which settings.",
}


def metrics_page() -> str:
    """The whole page, Markdown."""
    families = Metrics().families
    assert families.keys() == _SECTIONS.keys(), "every section has an introduction"
    sizes = ", ".join(f"`{size}`" for size in SIZES)
    return "\n".join([_INTRODUCTION.format(sizes=sizes), *_sections(families)])


def _sections(families: dict[str, list[Family]]) -> Iterator[str]:
    for section, text in _SECTIONS.items():
        yield f"## {section}\n\n{text}\n"
        yield "| metric | type | labels | meaning |\n|---|---|---|---|"
        for one in sorted(families[section], key=lambda family: family.name):
            labels = ", ".join(f"`{label}`" for label in one.labels)
            yield f"| `{one.name}` | {one.kind} | {labels} | {one.help} |"
        yield ""
