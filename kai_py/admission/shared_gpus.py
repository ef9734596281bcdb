"""Pods that share GPUs: what they ask for can be read, and they refer from the start to what is yet to be.

The scheduler knows a pod's device when it has a node, and neither a container's environment nor a pod's claims can be
changed then. So the container refers to a ConfigMap, and does not start before the scheduler has written it (names and
keys are KAI's); or the pod gets a claim, made from a template that the scheduler makes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from kai_py.admission.verdict import LET_IN, Known, Request, Verdict, by_rigour, part
from kai_py.api.decode import convert
from kai_py.api.keys import (
    GPU_FRACTION_ANNOTATION,
    GPU_FRACTION_CONTAINER_ANNOTATION,
    GPU_FRACTION_DEVICES_ANNOTATION,
    GPU_MEMORY_ANNOTATION,
    MPS_ANNOTATION,
    NVIDIA_GPU,
    SHARE_CLAIM,
    SHARED_GPU_CONFIGMAP_ANNOTATION,
)
from kai_py.api.pod import Pod
from kai_py.cluster.encode.shares import asked, asks_for_part
from kai_py.cluster.shares.asks import ShareAsk, check_claimable
from kai_py.cluster.shares.ways import Ways
from kai_py.core.tables.devices import Share
from kai_py.errors import MalformedObjectError
from kai_py.settings.model import Settings

VISIBLE_DEVICES: Final = "NVIDIA_VISIBLE_DEVICES"
PORTION: Final = "GPU_PORTION"
#: The older name of the same, which KAI still sets.
OLD_PORTION: Final = "RUNAI_NUM_OF_GPUS"
#: Annotations that make a pod one of these, or are only allowed at one of these.
ANNOTATIONS: Final = (
    GPU_FRACTION_ANNOTATION,
    GPU_MEMORY_ANNOTATION,
    GPU_FRACTION_DEVICES_ANNOTATION,
    MPS_ANNOTATION,
)
#: Values by which a container sees no GPU.
_BLIND: Final = ("", "void", "none")
_MOST_OF_A_NAME: Final = 30
_LISTS: Final = (("initContainers", "i"), ("containers", ""))

Json = dict[str, Any]


class Place(NamedTuple):
    """A container: the list that it is in, and its number there."""

    list: str
    number: int

    @property
    def suffix(self) -> str:
        """As it ends the name of the container's ConfigMap."""
        return f"{dict(_LISTS)[self.list]}{self.number}"


def decide(request: Request, known: Known) -> Verdict:
    """Whether a pod may be made, as far as GPUs are concerned that it shares, or takes a look at."""
    if request.operation != "CREATE" or part(request.new, "spec").get("schedulerName") not in _names(known):
        return LET_IN
    wrong = by_rigour(known.settings.admission.pods, faults(request.new, request.namespace, Ways.of(known.settings)))
    if not wrong.allowed:
        return wrong
    peeks = by_rigour(known.settings.admission.visible_devices, _peeking(request.new))
    return Verdict(peeks.refusal, peeks.code, (*wrong.warnings, *peeks.warnings, *_unoffered(request, known)))


def _names(known: Known) -> tuple[str, ...]:
    return known.settings.scheduler_names


def _unoffered(request: Request, known: Known) -> tuple[str, ...]:
    """A warning about a DeviceClass that is not there: it may come yet, and the pod's author cannot mend it."""
    claims = known.settings.gpu_share_claims.device_class_name
    if known.device_classes is None or claims in known.device_classes:
        return ()
    if _ask(request.new, request.namespace, known) is None:
        return ()
    return (f"there is no DeviceClass {claims!r}, of which the pod is to get a part of a device; it waits for that",)


def faults(pod: Mapping[str, Any], namespace: str = "", ways: Ways | None = None) -> list[str]:
    """What is wrong with the part of a GPU that a pod asks for.

    Args:
        pod: as it was sent.
        namespace: where it is to be.
        ways: by which pods share GPUs; None = nobody asks.
    """
    annotations = part(pod, "metadata", "annotations")
    shares = asks_for_part(annotations)
    found = []
    if annotations.get(MPS_ANNOTATION) == "true" and not shares:
        found.append(f"metadata.annotations[{MPS_ANNOTATION}]: needs {GPU_FRACTION_ANNOTATION} beside it")
    share: Share | None = None
    try:
        share = _share(pod, namespace)
    except MalformedObjectError as error:
        found += [f"{fault.field}: {fault.message}" for fault in error.faults]
    if not shares:
        return found
    try:
        if ways is not None and ways.of_pod(annotations, "") == "claims" and share is not None:
            found += _beside(pod, ShareAsk.of(share, ways.claims).template)
            check_claimable(share, "")
    except MalformedObjectError as error:
        found += [f"{fault.field}: {fault.message}" for fault in error.faults]
    if container_of(pod) is None:
        wanted = annotations.get(GPU_FRACTION_CONTAINER_ANNOTATION)
        found.append(f"metadata.annotations[{GPU_FRACTION_CONTAINER_ANNOTATION}]: there is no container {wanted!r}")
    for place, container in _containers(pod):
        if any(NVIDIA_GPU in part(container, "resources", kind) for kind in ("requests", "limits")):
            where = f"spec.{place.list}[{place.number}].resources"
            found.append(f"{where}: {NVIDIA_GPU} cannot be combined with a share of a GPU")
    return found


def _share(pod: Mapping[str, Any], namespace: str) -> Share | None:
    """What a pod's annotations ask for.

    Raises:
        MalformedObjectError: they cannot be read.
    """
    meta = part(pod, "metadata")
    annotations, name = dict(part(meta, "annotations")), str(meta.get("name") or "")
    return asked(convert(Pod, {"metadata": {"name": name, "namespace": namespace, "annotations": annotations}}))


def _beside(pod: Mapping[str, Any], template: str) -> list[str]:
    """Claims that somebody has written beside the annotations, of a pod that is not prepared already."""
    claims = part(pod, "spec").get("resourceClaims") or ()
    if any(one.get("name") == SHARE_CLAIM and one.get("resourceClaimTemplateName") == template for one in claims):
        return []
    why = "claims cannot be combined with a part of a GPU by annotation; claim that part as well"
    return [f"spec.resourceClaims[{one.get('name')}]: {why}" for one in claims]


def _ask(pod: Mapping[str, Any], namespace: str, known: Known) -> ShareAsk | None:
    """What a pod's claim has to ask for; None if it is to have none."""
    annotations = part(pod, "metadata", "annotations")
    if not asks_for_part(annotations):
        return None
    try:
        ways, share = Ways.of(known.settings), _share(pod, namespace)
        if share is None or ways.of_pod(annotations, "") != "claims":
            return None
        check_claimable(share, "")
    except MalformedObjectError:
        return None  # it is let in where settings do not mind, and waits
    return ShareAsk.of(share, ways.claims)


def _peeking(pod: Mapping[str, Any]) -> Iterator[str]:
    """Where a pod chooses the GPUs that it sees."""
    for place, container in _containers(pod):
        for variable in container.get("env") or ():
            if variable.get("name") != VISIBLE_DEVICES or _refers(variable, _prefix(pod)):
                continue
            if "valueFrom" in variable or variable.get("value", "") not in _BLIND:
                yield (
                    f"spec.{place.list}[{place.number}].env[{VISIBLE_DEVICES}]: a pod does not choose the GPUs that it "
                    f"sees: ask for {NVIDIA_GPU}, or a part of a GPU"
                )


def prepared(pod: Mapping[str, Any], known: Known, token: str) -> Json | None:
    """A merge patch of the pod, so that it gets or learns its devices; None if it need not.

    Args:
        pod: as it was sent, and good according to :func:`faults`.
        known: what the settings say.
        token: makes the ConfigMap's name differ from those of other pods of the same owner.
    """
    annotations, place = part(pod, "metadata", "annotations"), container_of(pod)
    ours = part(pod, "spec").get("schedulerName") in _names(known)
    if not (asks_for_part(annotations) and ours) or place is None:
        return None
    try:
        way = Ways.of(known.settings).of_pod(annotations, "")
    except MalformedObjectError:
        return None  # it is let in where settings do not mind, and waits
    if way == "claims":
        ask = _ask(pod, "", known)
        return claiming(pod, place, ask.template) if ask is not None else None
    return _referring(pod, place, token, known.settings) if way == "reservation" else None


def claiming(pod: Mapping[str, Any], place: Place, template: str) -> Json | None:
    """The pod with a claim from a template, and the container that uses it; None if it has claims already."""
    spec = part(pod, "spec")
    if spec.get("resourceClaims"):
        return None
    containers = copy.deepcopy(list(spec[place.list]))
    container = containers[place.number]
    resources = container.get("resources") or {}
    container["resources"] = {**resources, "claims": [*(resources.get("claims") or ()), {"name": SHARE_CLAIM}]}
    entry = {"name": SHARE_CLAIM, "resourceClaimTemplateName": template}
    return {"spec": {"resourceClaims": [entry], place.list: containers}}


def _referring(pod: Mapping[str, Any], place: Place, token: str, settings: Settings) -> Json:
    """The pod with references to the ConfigMap from which its container learns its devices."""
    prefix = _prefix(pod) or _new_prefix(pod, token)
    containers = copy.deepcopy(list(part(pod, "spec")[place.list]))
    container, name = containers[place.number], f"{prefix}-{place.suffix}"
    kept = [one for one in container.get("env") or () if one.get("name") not in (VISIBLE_DEVICES, PORTION, OLD_PORTION)]
    added = [
        {"name": key, "valueFrom": {"configMapKeyRef": {"name": name, "key": key}}}
        for key in (VISIBLE_DEVICES, PORTION, OLD_PORTION)
    ]
    container["env"] = [*kept, *added]
    spec: Json = {place.list: containers}
    if settings.gpu_reservation.runtime_class_name and not part(pod, "spec").get("runtimeClassName"):
        spec["runtimeClassName"] = settings.gpu_reservation.runtime_class_name
    return {"metadata": {"annotations": {SHARED_GPU_CONFIGMAP_ANNOTATION: prefix}}, "spec": spec}


def steps(changed: Mapping[str, Any]) -> tuple[Json, ...]:
    """What :func:`prepared` has found, as a JSON patch: the annotation is added, lists are replaced."""
    annotations = [
        {"op": "add", "path": f"/metadata/annotations/{key.replace('~', '~0').replace('/', '~1')}", "value": text}
        for key, text in part(changed, "metadata", "annotations").items()
    ]
    return *annotations, *({"op": "add", "path": f"/spec/{key}", "value": new} for key, new in changed["spec"].items())


def configmaps_of(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """The ConfigMaps from which a pod's container learns its devices; none if the pod is not prepared.

    KAI's webhook adds a second one, from which all variables are taken; a pod that it has prepared needs both.
    """
    prefix = _prefix(pod)
    for _, container in _containers(pod) if prefix else ():
        for variable in container.get("env") or ():
            if variable.get("name") == VISIBLE_DEVICES and (name := _refers(variable, prefix)):
                sources = [part(one, "configMapRef").get("name") for one in container.get("envFrom") or ()]
                return name, *(str(one) for one in sources if one == f"{name}-evar")
    return ()


def container_of(pod: Mapping[str, Any]) -> Place | None:
    """The container that gets the share: the one that an annotation names, or the first."""
    wanted = part(pod, "metadata", "annotations").get(GPU_FRACTION_CONTAINER_ANNOTATION)
    for place, container in _containers(pod):
        if container.get("name") == wanted if wanted is not None else place == Place("containers", 0):
            return place
    return None


def _containers(pod: Mapping[str, Any]) -> Iterator[tuple[Place, Mapping[str, Any]]]:
    spec = part(pod, "spec")
    for name, _ in _LISTS:
        for number, container in enumerate(spec.get(name) or ()):
            yield Place(name, number), container


def _refers(variable: Mapping[str, Any], prefix: str) -> str:
    """The ConfigMap of ours that a variable is taken from; empty if it is not."""
    source = part(variable, "valueFrom", "configMapKeyRef")
    name = str(source.get("name") or "")
    required = source.get("key") == variable.get("name") and not source.get("optional")
    return name if prefix and required and name.startswith(f"{prefix}-") else ""


def _prefix(pod: Mapping[str, Any]) -> str:
    return str(part(pod, "metadata", "annotations").get(SHARED_GPU_CONFIGMAP_ANNOTATION) or "")


def _new_prefix(pod: Mapping[str, Any], token: str) -> str:
    meta = part(pod, "metadata")
    owners = [one.get("name") for one in meta.get("ownerReferences") or ()]
    name = str((owners or [meta.get("name") or meta.get("generateName")])[0] or "pod")
    return f"{name[:_MOST_OF_A_NAME].strip('-.')}-{token}-shared-gpu"
