"""By which of the ways that settings offer a pod shares GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from kai_py.api.keys import GPU_SHARING_ANNOTATION
from kai_py.errors import Fault, MalformedObjectError
from kai_py.settings.devices import GpuShareClaims, GpuSharing
from kai_py.settings.model import Settings


@dataclass(frozen=True)
class Ways:
    """The ways to share GPUs that there are.

    Attributes:
        default: of pods that do not choose.
        choices: further ones.
        claims: which devices are shared by claims, and what of them.
        trusting: nobody looks whether nodes can do it, nor how pods are prepared: a plan does not.
    """

    default: GpuSharing = "trusted"
    choices: frozenset[GpuSharing] = frozenset()
    claims: GpuShareClaims = field(default_factory=GpuShareClaims)
    trusting: bool = False

    @classmethod
    def of(cls, settings: Settings, *, trusting: bool = False) -> Self:
        """As settings say."""
        return cls(settings.gpu_sharing, frozenset(settings.gpu_sharing_choices), settings.gpu_share_claims, trusting)

    def offers(self, way: GpuSharing) -> bool:
        """Whether a pod may go a way."""
        return way == self.default or way in self.choices

    def of_pod(self, annotations: Mapping[str, str], where: str) -> GpuSharing:
        """The way of a pod that asks for a part of a GPU.

        Args:
            annotations: of the pod.
            where: how messages name it.

        Raises:
            MalformedObjectError: it chooses what is not offered.
        """
        chosen = annotations.get(GPU_SHARING_ANNOTATION)
        if chosen is None:
            return self._trusted(self.default)
        offered = sorted({self.default, *self.choices} - {"none"})
        for way in offered:
            if chosen == way:
                return self._trusted(way)
        said = f"should be {' or '.join(offered)}" if offered else "cannot choose where the setting gpuSharing is none"
        fault = Fault(where, f"metadata.annotations[{GPU_SHARING_ANNOTATION}]", f"{said}, not {chosen!r}")
        raise MalformedObjectError([fault])

    def _trusted(self, way: GpuSharing) -> GpuSharing:
        return "trusted" if self.trusting and way != "claims" else way
