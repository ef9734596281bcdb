"""Dividing capacity among queues: quota first, then the surplus by priority and weight.

The rules are KAI Scheduler's (docs/fairness of that project), its quota phase included: quotas that add up to more
than there is are all granted. Numbers are in the units in which shares are rounded: devices, millicores, bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from kai_py.core.resources import Amounts, Shares
from kai_py.core.tables.queues import ROOT, QueueTable

#: More than what a float loses in dividing devices, less than anybody could miss.
_DIGITS = 6
_ROUNDING = 10.0**-_DIGITS
#: What remains of a pull of zero; alone in its round, it would get everything.
_NO_PULL = 1e-12


@dataclass
class Claimant:
    """One queue's claim on one resource. ``inf`` stands for unlimited.

    Attributes:
        requested: what its podgroups hold and ask for.
        usage: fraction of the capacity that it used in the past.
        age: sorts older queues first; breaks ties of equal remainders.
        share: the answer.
        remainder: the part of a unit that rounding took away in the last round.
    """

    quota: float
    limit: float
    weight: float
    requested: float
    usage: float
    priority: int
    age: tuple[float, str]
    share: float = 0.0
    remainder: float = 0.0

    @property
    def wanted(self) -> float:
        """The most that it can use."""
        return min(self.limit, self.requested)


def divide(total: float, claimants: Sequence[Claimant], *, k_value: float) -> None:
    """Divide one resource among siblings; the answer is written to each claimant's ``share``."""
    remaining = total
    for claimant in claimants:
        claimant.share = min(total if math.isinf(claimant.quota) else claimant.quota, claimant.wanted)
        remaining -= claimant.share
    buckets = [
        list(bucket) for _, bucket in groupby(sorted(claimants, key=lambda c: -c.priority), key=lambda c: c.priority)
    ]
    for bucket in buckets:
        if remaining <= 0:
            return
        remaining = _divide_surplus(remaining, bucket, k_value)
    for bucket in buckets:
        remaining = _hand_out_leftovers(remaining, bucket)


def _divide_surplus(remaining: float, bucket: Sequence[Claimant], k_value: float) -> float:
    """Give out surplus by weight, in rounds: what a satisfied queue leaves goes to the others. Returns what is left."""
    again = True
    while again and remaining > 0:
        again = False
        open_ = [c for c in bucket if c.weight > 0 and c.requested > c.share and c.limit > c.share]
        weights = sum(c.weight for c in open_)
        pulls = [_pull(c.weight / weights, c.usage, k_value) for c in open_]
        pull = sum(pulls)
        if pull <= 0:
            break
        pot = remaining
        for claimant, own in zip(open_, pulls, strict=True):
            if remaining <= 0:
                break
            need, slice_ = claimant.wanted - claimant.share, pot * own / pull
            # Rounding may leave 5.9999… of an even 6, and the missing device would go to a lower priority.
            given = need if need <= slice_ + _ROUNDING else min(math.floor(slice_ + _ROUNDING), remaining)
            claimant.remainder = 0.0 if need <= slice_ + _ROUNDING else round(max(0.0, slice_ - given), _DIGITS)
            claimant.share += given
            remaining -= given
            again |= given > 0 and need < slice_
    return remaining


def _pull(weight: float, usage: float, k_value: float) -> float:
    """The normalised weight, bent by past usage: who used more than its weight gets less."""
    bent = weight + k_value * (weight - usage) if k_value > 0 else weight
    return bent if bent > _NO_PULL else 0.0


def _hand_out_leftovers(remaining: float, bucket: Sequence[Claimant]) -> float:
    """Whole units that rounding left over, one each, largest remainder first, then oldest. Returns what is left."""
    for claimant in sorted(bucket, key=lambda c: (-c.remainder, c.age)):
        if remaining <= 0 or claimant.remainder <= 0:
            break
        given = min(1.0, remaining)
        claimant.share += given
        remaining -= given
    return remaining


def fair_shares(
    queues: QueueTable, requested: Amounts | Shares, total: Amounts | Shares, quantum: Shares, *, k_value: float
) -> Shares:
    """Fair share of every queue: the top queues divide the cluster, children their parent's share.

    Args:
        queues: the tree.
        requested: ``(Q, A)`` allocated and pending, base units; a parent's includes its children's.
        total: ``(A,)`` what the cluster has, base units.
        quantum: ``(A,)`` base units per unit of rounding.
        k_value: see :class:`kai_py.core.options.Options`.

    Returns:
        ``(Q, A)`` base units.
    """
    shares = np.zeros((len(queues), len(quantum)))
    wanted = requested / quantum
    parents = [ROOT, *(row for row in queues.top_down if row in queues.children)]
    for a, unit in enumerate(quantum.tolist()):
        claimants = _claimants(queues, wanted, a, unit)
        for parent in parents:
            capacity = (total[a] if parent == ROOT else shares[parent, a]) / unit
            rows = [row for row in queues.children.get(parent, ()) if row in claimants]
            divide(float(capacity), [claimants[row] for row in rows], k_value=k_value)
            for row in rows:
                shares[row, a] = claimants[row].share * unit
    return shares


def _claimants(queues: QueueTable, wanted: Shares, a: int, unit: float) -> dict[int, Claimant]:
    """The claims on one resource by queue; who requests nothing gets nothing and is in nobody's way."""
    return {
        row: Claimant(
            quota=queues.quota.item(row, a) / unit,
            limit=queues.limit.item(row, a) / unit,
            weight=queues.weight.item(row, a),
            requested=wanted.item(row, a),
            usage=queues.usage.item(row, a),
            priority=queues.priority.item(row),
            age=(queues.created.item(row), queues.uids[row]),
        )
        for row in np.flatnonzero(wanted[:, a] > 0).tolist()
    }


def allocatable_shares(queues: QueueTable, shares: Shares) -> Shares:
    """What a queue is entitled to hold: quota or fair share, whichever is more, within the limit. ``(Q, A)``."""
    entitled = np.where(np.isinf(queues.quota), np.inf, np.maximum(queues.quota, shares))
    return np.minimum(queues.limit, entitled)
