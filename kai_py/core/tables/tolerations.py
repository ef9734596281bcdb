"""Whether a pod tolerates a taint."""

from kai_py.core.tables.classes import PodClass, Toleration
from kai_py.core.tables.integers import parse_int64
from kai_py.core.tables.nodes import Taint


def tolerated(taint: Taint, pod: PodClass) -> bool:
    """Whether any toleration of the pod matches a taint."""
    return any(_matches(toleration, taint) for toleration in pod.tolerations)


def _matches(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in ("", taint.effect) or toleration.key not in ("", taint.key):
        return False
    match toleration.operator:
        case "" | "Equal":
            return bool(toleration.key) and toleration.value == taint.value
        case "Exists":
            return True
        case "Gt" | "Lt":
            return _compares(toleration, taint)
        case _:
            return False


def _compares(toleration: Toleration, taint: Taint) -> bool:
    """Gt: the taint's value is above the toleration's; both must read as integers."""
    bound, value = parse_int64(toleration.value), parse_int64(taint.value)
    if bound is None or value is None:
        return False
    return value > bound if toleration.operator == "Gt" else value < bound
