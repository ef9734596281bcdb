"""Parts of GPUs: what a pod's annotations ask for, and which devices its labels say that it has."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Final

from kai_py.api.keys import (
    GPU_FRACTION_ANNOTATION,
    GPU_FRACTION_DEVICES_ANNOTATION,
    GPU_GROUP_LABEL,
    GPU_MEMORY_ANNOTATION,
    GPU_MEMORY_LABEL,
    SHARE_CLAIM,
)
from kai_py.api.pod import Pod, PodResourceClaim
from kai_py.core.resources import DEVICE
from kai_py.core.tables.devices import MILLION, Share
from kai_py.errors import Fault, MalformedObjectError

_GROUP_PREFIX: Final = f"{GPU_GROUP_LABEL}/"
#: KAI counts a device's memory in steps of so many MiB, because drivers of one model differ a little.
_STEP: Final = 100
#: No node has more devices, and no device more MiB; beyond, sums could leave int64.
_MOST_DEVICES: Final = 1024
_MOST_MEMORY: Final = 2**32


def share_of(pod: Pod) -> Share | None:
    """The part of a node's GPUs that a pod asks for; None if it does not, or if a claim answers what it asks for.

    Raises:
        MalformedObjectError: see :func:`asked`.
    """
    return None if entry_of(pod) is not None else asked(pod)


def entry_of(pod: Pod) -> PodResourceClaim | None:
    """The claim of a pod that answers its annotations; None if it has none."""
    for one in pod.spec.resource_claims:
        if one.name == SHARE_CLAIM and (one.resource_claim_template_name or "").startswith(f"{SHARE_CLAIM}-"):
            return one
    return None


def asks_for_part(annotations: Mapping[str, str]) -> bool:
    """Whether a pod asks for a part of GPUs."""
    return GPU_FRACTION_ANNOTATION in annotations or GPU_MEMORY_ANNOTATION in annotations


def asked(pod: Pod) -> Share | None:
    """The part of GPUs that a pod's annotations ask for; None if they do not.

    Raises:
        MalformedObjectError: an annotation cannot be read, or two contradict each other; names it.
    """
    annotations = pod.metadata.annotations
    fraction, memory = annotations.get(GPU_FRACTION_ANNOTATION), annotations.get(GPU_MEMORY_ANNOTATION)
    if fraction is None and memory is None:
        if GPU_FRACTION_DEVICES_ANNOTATION in annotations:
            raise _malformed(pod, GPU_FRACTION_DEVICES_ANNOTATION, f"needs {GPU_FRACTION_ANNOTATION} beside it")
        return None
    devices = _count(pod, GPU_FRACTION_DEVICES_ANNOTATION, annotations.get(GPU_FRACTION_DEVICES_ANNOTATION, "1"))
    if devices > _MOST_DEVICES:
        raise _malformed(pod, GPU_FRACTION_DEVICES_ANNOTATION, f"should not exceed {_MOST_DEVICES}")
    if fraction is None:
        assert memory is not None
        mebibytes = _count(pod, GPU_MEMORY_ANNOTATION, memory)
        if mebibytes > _MOST_MEMORY:
            raise _malformed(pod, GPU_MEMORY_ANNOTATION, f"should not exceed {_MOST_MEMORY}")
        return Share(memory=mebibytes, devices=devices)
    if memory is not None:
        raise _malformed(pod, GPU_MEMORY_ANNOTATION, f"cannot be combined with {GPU_FRACTION_ANNOTATION}")
    return Share(millionths=_millionths(pod, fraction), devices=devices)


def _millionths(pod: Pod, text: str) -> int:
    try:
        fraction = Decimal(text)
    except InvalidOperation:
        fraction = Decimal(0)
    if not (fraction.is_finite() and 0 < fraction <= 1):
        raise _malformed(pod, GPU_FRACTION_ANNOTATION, f"should be above 0 and at most 1, not {text!r}")
    # Rounded up, so that no sum of shares that fits is more than a device; thrice 0.333333 still fits.
    return int((fraction * MILLION).to_integral_value(rounding="ROUND_CEILING"))


def _count(pod: Pod, annotation: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < DEVICE and int(text) > 0):
        raise _malformed(pod, annotation, f"should be a whole number above 0, not {text!r}")
    return int(text)


def _malformed(pod: Pod, annotation: str, message: str) -> MalformedObjectError:
    where = f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
    return MalformedObjectError([Fault(where, f"metadata.annotations[{annotation}]", message)])


def groups_of(pod: Pod, devices: int) -> tuple[str, ...]:
    """The names of the devices on which a pod that runs has its share.

    Where labels do not name all of them, it has devices of its own: nobody knows whom it shares them with.
    """
    labels = pod.metadata.labels
    names = {key.removeprefix(_GROUP_PREFIX) for key in labels if key.startswith(_GROUP_PREFIX)}
    if not names and labels.get(GPU_GROUP_LABEL):
        names = {labels[GPU_GROUP_LABEL]}
    own = [f"{pod.metadata.uid}/{number}" for number in range(devices - len(names))]
    return tuple(sorted({*names, *own}))


def names_device(label: str) -> bool:
    """Whether a label says on which device a pod has its share."""
    return label == GPU_GROUP_LABEL or label.startswith(_GROUP_PREFIX)


def labels_of(groups: tuple[str, ...]) -> dict[str, str]:
    """The labels that name the devices on which a pod has its share."""
    if len(groups) == 1:
        return {GPU_GROUP_LABEL: groups[0]}
    return {f"{_GROUP_PREFIX}{name}": name for name in groups}


def device_memory(labels: Mapping[str, str]) -> int:
    """MiB of each GPU of a node, rounded down as KAI does; 0 if its labels do not say."""
    text = labels.get(GPU_MEMORY_LABEL, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 12):
        return 0
    memory = int(text)
    return memory - memory % _STEP if memory >= _STEP else memory
