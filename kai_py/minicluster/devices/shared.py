"""GPUs that several claims use at once, by cores and memory, as HAMi's DRA driver publishes them."""

from __future__ import annotations

from typing import Any, Final

from .gpus import whole_attributes
from .hardware import Gpu
from .models import mebibytes

Object = dict[str, Any]

DRIVER: Final = "hami-core-gpu.project-hami.io"
TYPE: Final = "hami-gpu"
_CORES: Final = "100"


def shared(gpu: Gpu) -> Object:
    """A GPU that may be allocated many times, until its cores (percent) or its memory are used up.

    Who does not say how much gets all of it.
    """
    memory = mebibytes(gpu.memory)
    return {
        "name": f"hami-gpu-{gpu.index}",
        "allowMultipleAllocations": True,
        "attributes": whole_attributes(gpu, TYPE) | {"minor": {"int": gpu.index}},
        "capacity": {
            "cores": _capacity(_CORES, least="0", step="1"),
            "memory": _capacity(memory, least="1Mi", step="1Mi"),
        },
    }


def _capacity(value: str, *, least: str, step: str) -> Object:
    valid = {"min": least, "max": value, "step": step}
    return {"value": value, "requestPolicy": {"default": value, "validRange": valid}}
