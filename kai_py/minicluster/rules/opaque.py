"""Parameters for a driver, which only it understands: in classes, claims and allocations."""

from __future__ import annotations

import json
from typing import Any, Final

from kai_py.minicluster.refusals import Faults

from .devices import check_driver

Object = dict[str, Any]

_MAX_PARAMETERS: Final = 10 * 1024


def check_config(config: Object, field: str, faults: Faults) -> None:
    """Add what is wrong with the opaque parameters of a driver."""
    opaque = config.get("opaque")
    if opaque is None:
        faults.required(f"{field}.opaque")
        return
    check_driver(opaque.get("driver", ""), f"{field}.opaque.driver", faults)
    if opaque.get("parameters") is None:
        faults.required(f"{field}.opaque.parameters")
    elif len(json.dumps(opaque["parameters"])) > _MAX_PARAMETERS:
        faults.too_long(f"{field}.opaque.parameters", _MAX_PARAMETERS)
