"""What a pod asks for that we do not honour yet. It waits and is told so: nothing is silently ignored."""

from __future__ import annotations

from kai_py.api.keys import GPU_FRACTION_ANNOTATION, GPU_MEMORY_ANNOTATION
from kai_py.api.pod import Pod


def unsupported_by(pod: Pod, *, gpu_sharing: bool = True) -> str | None:
    """The field of a pod whose meaning is not implemented, or None.

    Args:
        pod: one that waits.
        gpu_sharing: whether parts of GPUs may be given, though nothing keeps pods to their part.
    """
    spec = pod.spec
    for annotation in () if gpu_sharing else (GPU_FRACTION_ANNOTATION, GPU_MEMORY_ANNOTATION):
        if annotation in pod.metadata.annotations:
            return f"metadata.annotations[{annotation}], unless the setting gpuSharing is reservation or trusted"
    if spec.resource_claims and not {GPU_FRACTION_ANNOTATION, GPU_MEMORY_ANNOTATION}.isdisjoint(
        pod.metadata.annotations
    ):
        return "spec.resourceClaims, together with a part of a GPU"
    return None
