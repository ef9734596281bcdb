"""What PodGroups for which claims are reserved mean to a snapshot: consumers, and claims that come free."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from kai_py.cluster.claim_objects import Name
from kai_py.cluster.laid import Laid
from kai_py.cluster.needs import Needs
from kai_py.cluster.pod_group_claims import PodGroupClaims


class Standing(NamedTuple):
    """Of one claim, what its PodGroups add to ``ClaimRow``: see there."""

    others: int = 0
    leaving: int = 0
    spared: int = 0


class ThroughPodGroups:
    """Who uses which claim of a snapshot through a PodGroup.

    Args:
        claims: the rules.
        ours: whether we have allocated a claim, and so take it back from a PodGroup of which nobody holds it. What
            others have allocated is given back with the PodGroup alone, by kube-controller-manager.
    """

    def __init__(self, claims: PodGroupClaims, ours: Callable[[Name], bool]) -> None:
        self._claims = claims
        self._ours = ours
        self._uid_of: dict[tuple[int, int], str] = {}

    def put(self, pod: int, needs: Needs, rows: Sequence[tuple[int, Name]]) -> None:
        """Take in a pod, by row, with the rows and names of its claims."""
        for row, name in rows:
            if uid := self._claims.uid(needs, name):
                self._uid_of[pod, row] = uid

    def standing(self, row: int, laid: Laid, users: Sequence[int]) -> Standing:
        """What the PodGroups of a claim mean.

        Args:
            row: of the claim.
            laid: the claim.
            users: rows of the pods that use it.
        """
        through = [self._uid_of[pod, row] for pod in users if (pod, row) in self._uid_of]
        if not through and not laid.pod_groups:
            return _NOTHING
        members, others, leaving = set(through), 0, 0
        for uid in laid.pod_groups:
            if not self._ours(laid.name):
                others += 1
                members.discard(uid)
            elif uid not in members or self._claims.vacated(laid.name, uid):
                leaving += 1
                members.discard(uid)
        return Standing(others, leaving, len(through) - len(members))


_NOTHING = Standing()
