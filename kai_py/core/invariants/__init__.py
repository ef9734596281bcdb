"""Checkers: what must hold for every result of a cycle, whoever found it.

Everything is computed again from the snapshot's tables and the decisions, with none of the solvers' bookkeeping, so
that a bug there cannot hide here. Tests check every result with it, the demo its verdict, and an operator may in
doubt (50 ms at 50,000 pods).
"""

from __future__ import annotations

from kai_py.core.invariants.claims import CLAIMS
from kai_py.core.invariants.evicting import EVICTING
from kai_py.core.invariants.near import NEAR
from kai_py.core.invariants.neighbours import NEIGHBOURS
from kai_py.core.invariants.node_shares import NODE_SHARES
from kai_py.core.invariants.outcome import Outcome, Violation
from kai_py.core.invariants.placing import PLACING, diagnoses, malformed
from kai_py.core.invariants.sharing import SHARING
from kai_py.core.invariants.volumes import VOLUMES
from kai_py.core.invariants.zones import ZONES
from kai_py.core.options import Options
from kai_py.core.result import CycleResult
from kai_py.core.tables.snapshot import Snapshot

__all__ = ["Violation", "violations"]


def violations(snapshot: Snapshot, result: CycleResult, options: Options | None = None) -> tuple[Violation, ...]:
    """Everything about a result that contradicts the snapshot or the rules; empty when all is well.

    When a decision names what does not exist, or a pod twice, only that is reported: the rest would be guesswork.

    Args:
        snapshot: what was decided about.
        result: what was decided.
        options: with which it was decided; None = the defaults.
    """
    if found := tuple(malformed(snapshot, result.decisions)):
        return found
    outcome = Outcome(snapshot, result, options or Options())
    checked = [
        violation
        for check in (*PLACING, *NEAR, *NEIGHBOURS, *SHARING, *CLAIMS, *NODE_SHARES, *ZONES, *VOLUMES, *EVICTING)
        for violation in check(outcome)
    ]
    return (*checked, *diagnoses(outcome))
