"""What a pod asks for by annotation, as the name of a template that makes its claim."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from kai_py.api.keys import GPU_FRACTION_DEVICES_ANNOTATION, SHARE_CLAIM
from kai_py.core.tables.devices import Share
from kai_py.errors import Fault, MalformedObjectError
from kai_py.settings.devices import GpuShareClaims

#: A claim has no more devices than this (``resource.k8s.io/v1``).
MOST_DEVICES = 32
_DIGITS = 12


@dataclass(frozen=True)
class ShareAsk:
    """A part of each of some devices of a class.

    Attributes:
        share: how much, and of how many.
        device_class: name of the DeviceClass.
        memory: the capacity that is the memory.
        in_proportion: further capacities of which the same part is wanted.
    """

    share: Share
    device_class: str
    memory: str
    in_proportion: tuple[str, ...] = ()

    @classmethod
    def of(cls, share: Share, claims: GpuShareClaims) -> ShareAsk:
        """As settings say."""
        return cls(share, claims.device_class_name, claims.memory, claims.in_proportion)

    @property
    def template(self) -> str:
        """Name of the template: the same ask has the same one, in whichever process."""
        said = (self.share.millionths, self.share.memory, self.share.devices)
        text = msgspec.json.encode((said, self.device_class, self.memory, self.in_proportion))
        return f"{SHARE_CLAIM}-{hashlib.sha256(text).hexdigest()[:_DIGITS]}"


def check_claimable(share: Share, where: str) -> None:
    """Whether a claim can ask for a share.

    Raises:
        MalformedObjectError: it is of more devices than a claim can have.
    """
    if share.devices > MOST_DEVICES:
        field = f"metadata.annotations[{GPU_FRACTION_DEVICES_ANNOTATION}]"
        message = f"should not exceed {MOST_DEVICES}, the devices of a claim, not {share.devices}"
        raise MalformedObjectError([Fault(where, field, message)])
