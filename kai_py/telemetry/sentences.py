"""Reasons in sentences, from the table in ``texts``, as ``verdict: evidence. nearest miss``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from kai_py.core.resources import ResourceAxis
from kai_py.core.result import Diagnosis, Reason
from kai_py.telemetry.case import Case
from kai_py.telemetry.places import histogram, nearest_miss
from kai_py.telemetry.text import nothing
from kai_py.telemetry.texts import TEXTS
from kai_py.telemetry.victim_texts import VICTIM_TEXTS


def verdict(reason: Reason, axis: ResourceAxis | None = None, *, queue: str = "") -> str:
    """What failed, in one clause: ``Queue research would exceed its GPU limit``."""
    text = TEXTS.get(reason.code)
    return _capital(text.verdict(Case(reason, axis, queue)) if text is not None else _unknown(reason))


def sentence(reason: Reason, axis: ResourceAxis | None = None, *, queue: str = "") -> str:
    """A reason in words; never empty, one line.

    Args:
        reason: codes and numbers.
        axis: of the snapshot that the reason is about; without it, the well-known units hold.
        queue: the podgroup's own queue, to tell when another one refuses.
    """
    case = Case(reason, axis, queue)
    text = TEXTS.get(reason.code)
    said = verdict(reason, axis, queue=queue)
    evidence = text.evidence(case) if text is not None else histogram(reason)
    rest = "; ".join(case.other_names(text.used if text is not None else frozenset()))
    because = "; ".join(part for part in (evidence, rest) if part)
    parts = [f"{said}: {because}" if because else said, _capital(nearest_miss(reason, axis))]
    return " ".join(f"{_one_line(part)}." for part in parts if part)


def headline(diagnosis: Diagnosis, axis: ResourceAxis | None = None, *, waiting: int = 0) -> str:
    """The first reason of a diagnosis, why nobody has to make room, and the place in the queue.

    A podgroup that finds no place has a second question: could others not give way? Where a reason answers it, it
    follows the first one.

    Args:
        diagnosis: why a podgroup waits.
        axis: as for :func:`sentence`.
        waiting: podgroups that stand in line in its queue; 0 if unknown.
    """
    first = diagnosis.reasons[0] if diagnosis.reasons else None
    said = sentence(first, axis, queue=diagnosis.queue) if first is not None else "It waits for the next cycle."
    victims = [reason for reason in diagnosis.reasons[1:] if reason.code in VICTIM_TEXTS][:1]
    answers = [sentence(reason, axis, queue=diagnosis.queue) for reason in victims]
    return " ".join(part for part in (said, *answers, place_in_line(diagnosis, waiting)) if part)


def place_in_line(diagnosis: Diagnosis, waiting: int = 0) -> str:
    """Where the podgroup stands: ``It is 3rd of 12 in queue research.``; empty if it is not in line."""
    if diagnosis.position <= 0:
        return ""
    of = f" of {waiting}" if waiting >= diagnosis.position else ""
    queue = f"queue {diagnosis.queue}" if diagnosis.queue else "its queue"
    return f"It is {_ordinal(diagnosis.position)}{of} in {queue}."


def next_step(reason: Reason, axis: ResourceAxis | None = None, *, queue: str = "") -> str:
    """What the reader can do about a reason, as a sentence; empty if we do not know."""
    text = TEXTS.get(reason.code)
    if text is None:
        return ""
    step = text.next_step(Case(reason, axis, queue)) or text.todo
    return f"{_capital(step.rstrip('.'))}."


def todo(code: str) -> str:
    """What to do about a reason of which only the code is known; empty for an unknown code."""
    text = TEXTS.get(code)
    return text.todo if text is not None else ""


def has_numbers(code: str) -> bool:
    """Whether the evidence of a code consists of numbers, which move while the reason stays."""
    text = TEXTS.get(code)
    return text is None or text.evidence is not nothing


def in_line(diagnoses: Iterable[Diagnosis]) -> Counter[str]:
    """Podgroups in line by queue, the ``waiting`` of :func:`headline`."""
    return Counter(diagnosis.queue for diagnosis in diagnoses if diagnosis.position > 0)


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _unknown(reason: Reason) -> str:
    """A code that this table does not have: say it as it is. A test keeps the table complete."""
    return f"it waits with reason {reason.code}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
