"""Where the ranks of a gang are, as a small picture: a line for each rack, the ranks on its servers in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kai_py.api.keys import POD_INDEX_LABEL
from kai_py.cli.demo.world import EVENTS, NODES, Thing, World
from kai_py.minicluster.pools import BLOCK_LABEL, RACK_LABEL, ZONE_LABEL
from kai_py.telemetry.events import LAID_OUT

_LEVELS: Final = (ZONE_LABEL, BLOCK_LABEL, RACK_LABEL)
#: So many servers of a rack are drawn.
_DRAWN: Final = 12


def rank_map(world: World, workload: str) -> list[str]:
    """The picture; empty while not all pods of a workload have nodes, or some have no rank."""
    pods = world.pods_of(workload)
    if not pods or not all(pod.node and POD_INDEX_LABEL in pod.metadata.labels for pod in pods):
        return []
    ranks: dict[str, list[int]] = {}
    for pod in pods:
        ranks.setdefault(pod.node, []).append(int(pod.metadata.labels[POD_INDEX_LABEL]))
    racks: dict[str, list[str]] = {}
    for node in sorted(ranks, key=lambda name: min(ranks[name])):
        racks.setdefault(_rack(world, node), []).append(node)
    lines = [f"{rack:<{max(map(len, racks))}}  {_servers(nodes, ranks)}" for rack, nodes in racks.items()]
    return [*lines, *_told(world, pods[0])]


def _rack(world: World, node: str) -> str:
    found = world.find(NODES, "", node)
    labels = found.metadata.labels if found is not None else {}
    return "/".join(labels.get(level, "?") for level in _LEVELS)


def _servers(nodes: list[str], ranks: dict[str, list[int]]) -> str:
    drawn = [f"{node} [{','.join(map(str, sorted(ranks[node])))}]" for node in nodes[:_DRAWN]]
    more = [f"and {len(nodes) - _DRAWN} more"] if len(nodes) > _DRAWN else []
    return " → ".join([*drawn, *more])


def _told(world: World, pod: Thing) -> Iterable[str]:
    """What the scheduler has said about it."""
    for event in world.all(EVENTS):
        if event.reason == LAID_OUT and event.regarding.get("name") == pod.workload:
            yield event.note
