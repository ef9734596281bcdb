"""What a pod asks for that we do not honour yet. It waits and is told so: nothing is silently ignored."""

from __future__ import annotations

from kai_py.api.keys import GPU_FRACTION_ANNOTATION, GPU_MEMORY_ANNOTATION
from kai_py.api.pod import Pod
from kai_py.cluster.encode.shares import asks_for_part, entry_of


def unsupported_by(pod: Pod, *, gpu_sharing: bool = True) -> str | None:
    """The field of a pod whose meaning is not implemented, or None.

    Args:
        pod: one that waits.
        gpu_sharing: whether it may have parts of GPUs.
    """
    if not asks_for_part(pod.metadata.annotations) or entry_of(pod) is not None:
        return None
    for annotation in () if gpu_sharing else (GPU_FRACTION_ANNOTATION, GPU_MEMORY_ANNOTATION):
        if annotation in pod.metadata.annotations:
            return f"metadata.annotations[{annotation}], unless the setting gpuSharing says how GPUs are shared"
    return "spec.resourceClaims, together with a part of a GPU" if pod.spec.resource_claims else None
