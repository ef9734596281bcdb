"""Taints that evict, and how long pods tolerate them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Taint:
    """A taint. Its value is of no interest here unless a toleration asks for it."""

    key: str
    effect: str
    value: str = ""


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration; ``seconds`` is how long, None for ever."""

    key: str
    operator: str
    value: str
    effect: str
    seconds: float | None

    def tolerates(self, taint: Taint) -> bool:
        """Whether it is about the taint."""
        if self.effect not in ("", taint.effect) or self.key not in ("", taint.key):
            return False
        return self.operator == "Exists" or self.value == taint.value


def taints_of(node: Object) -> tuple[Taint, ...]:
    """The taints of a node."""
    taints = (node.get("spec") or {}).get("taints") or ()
    return tuple(Taint(one["key"], one["effect"], one.get("value", "")) for one in taints)


def tolerations_of(pod: Object) -> tuple[Toleration, ...]:
    """The tolerations of a pod; the same object for equal ones, because nearly all pods have the two default ones."""
    tolerations = tuple(
        Toleration(
            key=one.get("key", ""),
            operator=one.get("operator", "Equal"),
            value=one.get("value", ""),
            effect=one.get("effect", ""),
            seconds=one.get("tolerationSeconds"),
        )
        for one in pod["spec"].get("tolerations") or ()
    )
    return _shared(tolerations)


@lru_cache(maxsize=1024)
def _shared(tolerations: tuple[Toleration, ...]) -> tuple[Toleration, ...]:
    return tolerations


def evicting(taints: tuple[Taint, ...]) -> list[Taint]:
    """Those that pods must leave for."""
    return [taint for taint in taints if taint.effect == "NoExecute"]


def tolerated_until(tolerations: tuple[Toleration, ...], taints: tuple[Taint, ...], *, since: float) -> float:
    """When a pod must leave: at once if it does not tolerate a taint, else when the shortest toleration ends."""
    until = float("inf")
    for taint in evicting(taints):
        matching = [toleration for toleration in tolerations if toleration.tolerates(taint)]
        if not matching:
            return since
        limits = [toleration.seconds for toleration in matching if toleration.seconds is not None]
        until = min([until, *(since + max(limit, 0.0) for limit in limits)])
    return until
