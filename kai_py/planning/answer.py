"""A plan's answer as the stable JSON document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kai_py.api.pod import Pod
from kai_py.core.result import Bind, CycleResult, Evict
from kai_py.planning.world import World, is_finished

Json = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The answer; ``to_dict`` is the stable interface.

    Attributes:
        cycles: what each cycle decided, and what waited in it.
        pods: where every unfinished pod of the input stands after the last cycle, by ``namespace/name``.
        queues: numbers of every queue at the start of the last cycle, by name.
        warnings: sentences.
    """

    cycles: tuple[Json, ...]
    pods: Json
    queues: Json
    warnings: tuple[str, ...]

    def to_dict(self) -> Json:
        """The JSON document, every list sorted by namespace and name."""
        return {
            "apiVersion": "kai-py/v1",
            "kind": "Plan",
            "cycles": list(self.cycles),
            "pods": self.pods,
            "queues": self.queues,
            "warnings": list(self.warnings),
        }


def render_pods(world: World, last: CycleResult) -> Json:
    """Where every unfinished pod of the input stands after the last cycle."""
    states: dict[tuple[str, str], Json] = {name: {"node": None, "state": "Evicted"} for name in world.gone}
    states |= {name: _undecided(pod) for name, pod in world.pods.items() if not is_finished(pod)}
    for decision in last.decisions:
        namespace, _, name = decision.pod.partition("/")
        if isinstance(decision, Evict):
            if not decision.moved:  # who moves is nominated as well
                states[namespace, name] = {"node": decision.node, "state": "Evicted"}
        else:
            state = "Bound" if isinstance(decision, Bind) else "Nominated"
            states[namespace, name] = {"node": decision.node, "state": state}
    return {"/".join(name): state for name, state in sorted(states.items())}


def _undecided(pod: Pod) -> Json:
    node = pod.spec.node_name or None
    if pod.metadata.deletion_timestamp is not None:
        return {"node": node, "state": "Evicted"}
    if node is not None:
        return {"node": node, "state": "Running"}
    return {"node": None, "state": "Gated" if pod.spec.scheduling_gates else "Pending"}
