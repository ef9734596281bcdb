"""Pods with a part of a GPU as the webhook makes them: with a claim, where settings share GPUs by claims."""

from __future__ import annotations

import msgspec

from kai_py.admission import shared_gpus
from kai_py.admission.verdict import Known
from kai_py.api.decode import convert
from kai_py.api.pod import Pod
from kai_py.cluster.encode.shares import asks_for_part


def prepared(pod: Pod, known: Known) -> Pod:
    """The pod with its claim; the same pod where it is to have none, or has claims already, or has started.

    How pods are prepared that share GPUs of a device plugin makes no difference to where they go.
    """
    if pod.spec.node_name or not asks_for_part(pod.metadata.annotations):
        return pod
    # What an object leaves out is one immutable map for all, which the encoder does not know.
    manifest = msgspec.to_builtins(pod, enc_hook=dict)
    changed = shared_gpus.prepared(manifest, known, "")
    if changed is None or "resourceClaims" not in changed["spec"]:
        return pod
    return convert(Pod, {**manifest, "spec": {**manifest["spec"], **changed["spec"]}})
