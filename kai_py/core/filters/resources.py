"""Room on a node: every resource that is asked for, the pod slot included."""

import numpy as np

from kai_py.core.resources import Amounts, Mask, ResourceAxis


def fits(request: Amounts, free: Amounts) -> Mask:
    """Tell on which nodes a pod class fits.

    Args:
        request: ``(R,)`` base units.
        free: ``(N, R)`` base units; negative where a node is overcommitted.

    Returns:
        ``(N,)``. A resource that is not requested never disqualifies a node.
    """
    fit = np.ones(free.shape[0], dtype=np.bool_)
    for r in np.flatnonzero(request):
        fit &= free[:, r] >= request[r]
    return fit


def shortages(request: Amounts, free: Amounts, candidates: Mask, axis: ResourceAxis) -> dict[str, tuple[int, int]]:
    """Which resource is missing where: the nearest misses.

    Args:
        request: ``(R,)``
        free: ``(N, R)``
        candidates: ``(N,)`` nodes that pass everything else.
        axis: names of R.

    Returns:
        Resource -> (candidates that lack it, least amount missing on any candidate that lacks nothing else; 0 when
        all of them lack something else too), base units.
    """
    asked = np.flatnonzero(request)
    missing = np.maximum(request[asked] - free[candidates][:, asked], 0)
    lacking = missing > 0
    found: dict[str, tuple[int, int]] = {}
    for column, r in enumerate(asked.tolist()):
        if count := int(lacking[:, column].sum()):
            alone = missing[lacking[:, column] & (lacking.sum(axis=1) == 1), column]
            found[axis.names[r]] = (count, int(alone.min()) if alone.size else 0)
    return found
