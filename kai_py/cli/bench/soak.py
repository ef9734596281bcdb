"""``bench soak``: a virtual day of comings and goings, with every decision checked and memory watched."""

from __future__ import annotations

import gc
import time
from collections import Counter
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from kai_py.cli.bench.churn import STEP, Churn
from kai_py.cli.bench.machine import memory_mib
from kai_py.core.cycle import run_cycle
from kai_py.core.invariants import violations
from kai_py.core.options import Options
from kai_py.core.result import Bind, CycleResult, Evict

Json = dict[str, Any]

#: Memory is looked at so often during a run.
PARTS: Final = 10
#: What Python and numpy keep for themselves may move by so much between two looks.
_SLACK_MIB: Final = 16.0


@dataclass
class _Tally:
    """What has happened so far."""

    decided: Counter[str] = field(default_factory=Counter)
    contradictions: list[str] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    waiting: int = 0

    def count(self, result: CycleResult) -> None:
        for decision in result.decisions:
            if isinstance(decision, Bind):
                self.decided["bound"] += 1
            elif isinstance(decision, Evict):
                self.decided["moved" if decision.moved else "evicted"] += 1


def measure_soak(pods: int, nodes: int, seed: int) -> Json:
    """Let pods come and go until so many have come.

    Every cycle is the one that runs in production. What it decided is checked by the core's checkers, and what the
    cluster looks like then by the churn's own books.

    Returns:
        What was decided; ``broken`` counts contradictions; ``milliseconds`` are CPU time of snapshot and cycle in the
        first and the last part; ``memoryMiB`` is resident memory after each part, and ``flat`` whether the second
        half of the run has added next to nothing to it.
    """
    churn, tally, options = Churn(nodes, seed), _Tally(), Options()
    memory: list[float] = []
    cycles = 0
    while churn.submitted < pods:
        until = pods * (len(memory) + 1) // PARTS
        while churn.submitted < until:
            _cycle(churn, tally, options)
            cycles += 1
        gc.collect()
        resident = memory_mib()
        memory.append(resident["now"] if resident else 0.0)
    part = max(1, len(tally.cpu) // PARTS)
    grown = memory[-1] - memory[PARTS // 2]
    return {
        "seed": seed,
        "nodes": nodes,
        "pods": churn.submitted,
        "virtualHours": round(cycles * STEP / 3600, 2),
        "cycles": cycles,
        "finished": churn.finished,
        "givenUp": churn.given_up,
        "lostWithNodes": churn.lost,
        **{name: tally.decided[name] for name in ("bound", "evicted", "moved")},
        "mostWaiting": tally.waiting,
        "milliseconds": {"first": _ms(tally.cpu[:part]), "last": _ms(tally.cpu[-part:])},
        "memoryMiB": memory,
        "flat": grown <= max(_SLACK_MIB, 0.05 * memory[PARTS // 2]),
        "broken": len(tally.contradictions),
        "contradictions": tally.contradictions[:20],
    }


def _cycle(churn: Churn, tally: _Tally, options: Options) -> None:
    """One cycle, as the scheduler runs it, and what becomes of its decisions."""
    store, now = churn.world.store, churn.now
    began = time.process_time()
    store.carryover.tidy(now)
    snapshot = store.take(now)
    result = run_cycle(snapshot, options, clock=time.monotonic)
    tally.cpu.append((time.process_time() - began) * 1000)
    tally.count(result)
    tally.waiting = max(tally.waiting, churn.waiting)
    found = [str(one) for one in violations(snapshot, result, options)]
    store.carryover.remember(result, now)
    for decision in result.decisions:
        if isinstance(decision, Bind | Evict):
            store.decisions.assume(decision, now)
            store.decisions.acknowledge(decision)
        if isinstance(decision, Evict):
            store.carryover.evicted(decision, now)
    found += churn.step(result.decisions)
    tally.contradictions += [f"{churn.now:.0f}: {one}" for one in found]


def _ms(milliseconds: list[float]) -> Json:
    ordered = sorted(milliseconds)
    return {
        "median": round(median(ordered), 2),
        "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 2),
        "max": round(ordered[-1], 2),
    }
