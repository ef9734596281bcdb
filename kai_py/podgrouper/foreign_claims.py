"""Claims of pods that are called like one of their PodGroup (``scheduling.k8s.io``), and are not the same.

A pod uses the claim of its PodGroup where name and source agree (KEP-5729). What differs is the pod's own; whoever gave
it that name may have meant something else.
"""

from __future__ import annotations

from collections.abc import Iterator

from kai_py.api.pod import Pod
from kai_py.podgrouper.fields import Field


def differing(pod: Pod, spec: Field, where: str, group: str) -> Iterator[str]:
    """A sentence for each entry that has a name of the PodGroup's, and another source.

    Args:
        pod: the pod.
        spec: of its PodGroup. What cannot be understood is not compared.
        where: how messages name the pod.
        group: the PodGroup's name.
    """
    sources = {}
    for entry in spec.at("resourceClaims").items():
        name, claim, template = (
            entry.at(key).value for key in ("name", "resourceClaimName", "resourceClaimTemplateName")
        )
        sources[name] = claim, template
    for number, one in enumerate(pod.spec.resource_claims):
        if one.name in sources and sources[one.name] != (one.resource_claim_name, one.resource_claim_template_name):
            yield (
                f"{where}: spec.resourceClaims[{number}] is called {one.name!r} as one of PodGroup {group!r}, "
                "but names another claim or template, so that it is the pod's own"
            )
