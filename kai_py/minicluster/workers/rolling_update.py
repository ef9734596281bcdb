"""How a Deployment goes from one ReplicaSet to the next: so many replicas too many, so many too few, or all at once.

The rules are those of kube-controller-manager (``deployment/rolling.go``), for as long as nobody scales a Deployment
in the middle of a rollout.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

Object = Mapping[str, Any]


class Replicas(NamedTuple):
    """Of one ReplicaSet.

    Attributes:
        size: that it should have.
        there: pods that it has.
        ready: of these.
    """

    size: int
    there: int
    ready: int

    @classmethod
    def of(cls, replica_set: Object) -> Replicas:
        """What a ReplicaSet says."""
        status = replica_set.get("status") or {}
        return cls(replica_set["spec"]["replicas"], status.get("replicas", 0), status.get("readyReplicas", 0))


@dataclass(frozen=True, slots=True)
class Strategy:
    """What a Deployment allows meanwhile.

    Attributes:
        wanted: replicas.
        surge: so many more may be there.
        absent: so many may be missing.
        recreate: the old ones go before there are new ones.
    """

    wanted: int
    surge: int
    absent: int
    recreate: bool = False

    @classmethod
    def of(cls, deployment: Object) -> Strategy:
        """What a Deployment says, or leaves to the defaults of its API."""
        spec = deployment["spec"]
        strategy = spec.get("strategy") or {}
        rolling, wanted = strategy.get("rollingUpdate") or {}, spec["replicas"]
        surge = ceil(_number(rolling.get("maxSurge", "25%"), wanted))
        absent = floor(_number(rolling.get("maxUnavailable", "25%"), wanted))
        # Neither would be no way at all.
        return cls(wanted, surge, absent if surge or absent else 1, strategy.get("type") == "Recreate")

    def sizes(self, current: Replicas, old: Sequence[Replicas]) -> tuple[int, list[int]]:
        """The sizes to give now.

        Args:
            current: of the template as it is.
            old: of earlier ones, in the order in which they are to go.
        """
        if self.recreate:
            return (0 if any(one.there for one in old) else self.wanted), [0 for _ in old]
        room = self.wanted + self.surge - current.size - sum(one.size for one in old)
        size = min(self.wanted, current.size + max(room, 0))
        return size, list(self._kept(current._replace(size=size), old))

    def _kept(self, current: Replicas, old: Sequence[Replicas]) -> Iterator[int]:
        least = self.wanted - self.absent
        # Whoever is not ready serves nobody, and goes first.
        spare = current.size + sum(one.size for one in old) - least - (current.size - min(current.ready, current.size))
        left = []
        for one in old:
            idle = min(max(one.size - one.ready, 0), max(spare, 0))
            spare -= idle
            left.append(one.size - idle)
        serving = min(current.ready, current.size) + sum(
            min(one.ready, size) for one, size in zip(old, left, strict=True)
        )
        for size in left:
            gone = min(size, max(serving - least, 0))
            serving -= gone
            yield size - gone


def _number(said: int | str, of: int) -> Fraction:
    return Fraction(said.removesuffix("%")) * of / 100 if isinstance(said, str) else Fraction(said)
