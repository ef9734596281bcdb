"""What keeps a pod with claims from being scheduled, wherever its devices are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kai_py.api.resource import ResourceClaim
from kai_py.cluster.claim_objects import Name
from kai_py.cluster.held_back import Problem
from kai_py.cluster.laid import LaidClaims, Shelf
from kai_py.cluster.needs import Needs, split
from kai_py.cluster.pod_group_claims import PodGroupClaims
from kai_py.cluster.shares.book import ShareBook
from kai_py.core.result import ReasonCode
from kai_py.errors import Fault

_NOT_SERVED: Final[Problem] = (
    ReasonCode.UNSUPPORTED,
    {
        "object": "the API server",
        "field": "spec.resourceClaims: it does not serve resource.k8s.io/v1, or not to us",
    },
)


class ClaimProblems:
    """Finds them.

    Args:
        objects: the claims by name.
        laid: what of them cannot be understood.
        pod_groups: through which PodGroups pods use claims.
        shares: why parts of GPUs cannot be claimed.
        served: whether the API server has claims at all.
    """

    def __init__(
        self,
        objects: Mapping[Name, ResourceClaim],
        laid: LaidClaims,
        pod_groups: PodGroupClaims,
        shares: ShareBook,
        served: Callable[[], bool],
    ) -> None:
        self._objects = objects
        self._laid = laid
        self._pod_groups = pod_groups
        self._shares = shares
        self._served = served

    def of(self, needs: Needs, shelf: Shelf, queue: str | None) -> Problem | None:
        """What keeps a pod from being scheduled; None for nothing."""
        if not self._served():
            return _NOT_SERVED
        if needs.pod_group is not None and (problem := self._of_pod_group(needs, needs.pod_group)) is not None:
            return problem
        if needs.missing:
            return self._shares.problem(split(needs.missing)) or (ReasonCode.CLAIM_MISSING, {"claim": needs.missing})
        for name in needs.claims:
            if name == needs.extended:
                continue  # without it, another one is made
            row = shelf.row_of.get(name)
            if row is None:
                return self._unreadable(name)
            claim = shelf.claims[row]
            if claim.problem is not None:
                return invalid(name, claim.problem)
            if claim.cost[0] and name not in needs.owned and claim.queue != queue:
                return ReasonCode.CLAIM_OF_OTHER_QUEUE, {"claim": "/".join(name), "queue": queue or ""}
        return None

    def _of_pod_group(self, needs: Needs, name: Name) -> Problem | None:
        """Whose the claims of a pod are must be known; one that is made for its PodGroup is waited for by that name."""
        if self._pod_groups.awaited(needs):
            return ReasonCode.CLAIM_MISSING, {"pod_group": "/".join(name)}
        fault = self._pod_groups.fault(needs)
        if fault is not None:
            details = {"object": fault.where, "field": f"{fault.field}: {fault.message}"}
            return ReasonCode.UNSUPPORTED, details
        if needs.missing and self._pod_groups.makes_missing(needs):
            return ReasonCode.CLAIM_MISSING, {"claim": needs.missing, "pod_group": "/".join(name)}
        return None

    def _unreadable(self, name: Name) -> Problem:
        """Why there is nothing to be had of a claim."""
        if name not in self._objects:
            return ReasonCode.CLAIM_MISSING, {"claim": "/".join(name)}
        return invalid(name, self._laid.faults[name][0])


def invalid(name: Name, fault: Fault) -> Problem:
    """A claim is not as it should be."""
    details = {"claim": "/".join(name), "field": fault.field, "message": fault.message}
    return ReasonCode.CLAIM_INVALID, {key: value for key, value in details.items() if value}
