"""The parts of a sentence about a reason; ``texts`` and ``victim_texts`` fill them in, one per code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kai_py.telemetry.case import Case

Say = Callable[[Case], str]


def nothing(_: Case) -> str:
    """Nothing to say."""
    return ""


def fixed(text: str) -> Say:
    """The same words in every case."""
    return lambda _: text


def about(kind: str, key: str, predicate: str) -> Say:
    """``queue research does not exist``: what kind of object, which detail names it, and what is the matter."""
    return lambda case: f"{case.named(kind, key)} {predicate}"


@dataclass(frozen=True)
class Text:
    """What one reason code says. Every part but the verdict may be empty.

    Attributes:
        verdict: what failed, without a full stop; must not contain ``": "``.
        meaning: for the reference page: when this happens.
        todo: for the reference page, and the next step where ``next_step`` knows no better.
        evidence: the numbers behind it.
        next_step: what the reader can do in this very case.
        used: details that verdict and evidence have said; others are appended.
    """

    verdict: Say
    meaning: str
    todo: str
    evidence: Say = nothing
    next_step: Say = nothing
    used: frozenset[str] = frozenset()
