"""What a device may say about the capacities that several claims take from it (``requestPolicy``)."""

from __future__ import annotations

import math
from typing import Any, Final

from kai_py.minicluster.quantities import amount
from kai_py.minicluster.refusals import Faults

Object = dict[str, Any]

_MAX_VALUES: Final = 10


def check_capacity(capacity: Object, field: str, *, shared: bool, faults: Faults) -> None:
    """Add what is wrong with one capacity; only devices that are ``shared`` may have a policy."""
    policy = capacity.get("requestPolicy")
    if policy is None:
        return
    here = f"{field}.requestPolicy"
    values, limits = policy.get("validValues") or [], policy.get("validRange")
    if not shared:
        faults.forbidden(here, "allowMultipleAllocations must be true")
    elif values and limits is not None:
        text = 'cannot specify "validValues" and "validRange" at the same time'
        faults.forbidden(here, f"exactly one policy can be specified, {text}")
    elif (values or limits is not None) and policy.get("default") is None:
        faults.required(f"{here}.default", f"required when {'validValues' if values else 'validRange'} is defined")
    elif values:
        _check_values(policy["default"], capacity["value"], values, f"{here}.validValues", faults)
    elif limits is not None:
        _check_range(policy["default"], capacity["value"], limits, f"{here}.validRange", faults)


def _check_values(default: str, most: str, values: list[str], field: str, faults: Faults) -> None:
    seen: set[str] = set()
    if len(values) > _MAX_VALUES:
        # What is in a list that is too long is not looked at, so that the default is not found in it either.
        faults.too_many(field, len(values), _MAX_VALUES)
        faults.invalid(field, default, "default value is not valid according to the requestPolicy")
        return
    for i, value in enumerate(values):
        if i and amount(value) < amount(values[i - 1]):
            faults.invalid(f"{field}[{i}]", value, "values must be sorted in ascending order")
        if amount(value) > amount(most):
            faults.invalid(f"{field}[{i}]", value, f"option is larger than capacity value: {most}")
        if value in seen:
            faults.duplicate(f"{field}[{i}]", value)
        seen.add(value)
    if all(amount(value) != amount(default) for value in values):
        faults.invalid(field, default, "default value is not valid according to the requestPolicy")


def _check_range(default: str, most: str, limits: Object, field: str, faults: Faults) -> None:
    least, highest, step = limits.get("min"), limits.get("max"), limits.get("step")
    if least is None:
        faults.required(f"{field}.min", "required when validRange is defined")
        return
    if amount(least) > amount(most):
        faults.invalid(f"{field}.min", least, f"min is larger than capacity value: {most}")
    if amount(default) < amount(least):
        faults.invalid(f"{field}.min", default, f"default is less than min: {least}")
    if highest is not None:
        if amount(least) > amount(highest):
            faults.invalid(f"{field}.max", least, f"min is larger than max: {highest}")
        if amount(highest) > amount(most):
            faults.invalid(f"{field}.max", highest, f"max is larger than capacity value: {most}")
        if amount(default) > amount(highest):
            faults.invalid(f"{field}.max", default, f"default is more than max: {highest}")
    if step is not None:
        if amount(least) + amount(step) > amount(most):
            faults.invalid(f"{field}.step", step, f"one step from {least} is larger than capacity value: {most}")
        for value in (default, *([highest] if highest is not None else [])):
            if (math.ceil(amount(value)) - math.ceil(amount(least))) % math.ceil(amount(step)):
                faults.invalid(
                    f"{field}.step", value, f"value is not a multiple of a given step ({step}) from ({least})"
                )
