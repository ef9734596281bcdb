"""A live cluster's objects, as a plan takes them: what the scheduler itself would read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from kai_py.api.meta import PartialObject
from kai_py.cluster.usage import USAGE_NAME
from kai_py.errors import ForbiddenError, NotFoundError, SettingsError
from kai_py.kube.client import ApiClient
from kai_py.kube.discovery import discover
from kai_py.kube.listing import list_all
from kai_py.kube.resource import ResourceKind
from kai_py.planning.manifests import Sourced
from kai_py.planning.objects import SETTINGS_KEY, SETTINGS_NAME
from kai_py.podgrouper.foreign import kinds_named
from kai_py.podgrouper.kinds.registry import COMPANIONS
from kai_py.settings.load import load_settings

#: Namespace and name of the settings, unless the scheduler was told otherwise.
SETTINGS_AT: Final = ("kai-scheduler", SETTINGS_NAME)

_KINDS: Final = (
    ResourceKind("scheduling.k8s.io", "v1", "priorityclasses", PartialObject, namespaced=False),
    ResourceKind("", "v1", "nodes", PartialObject, namespaced=False),
    ResourceKind("scheduling.run.ai", "v2", "queues", PartialObject, namespaced=False),
    ResourceKind("kai.scheduler", "v1alpha1", "topologies", PartialObject, namespaced=False),
    ResourceKind("scheduling.run.ai", "v2alpha2", "podgroups", PartialObject),
    ResourceKind("", "v1", "pods", PartialObject),
)
_POD: Final = ("", "Pod")
_NAMESPACES: Final = ResourceKind("", "v1", "namespaces", PartialObject, namespaced=False)
_BUDGETS: Final = ResourceKind("policy", "v1", "poddisruptionbudgets", PartialObject)
_DEVICES: Final = (
    ResourceKind("resource.k8s.io", "v1", "deviceclasses", PartialObject, namespaced=False),
    ResourceKind("resource.k8s.io", "v1", "resourceslices", PartialObject, namespaced=False),
    ResourceKind("resource.k8s.io", "v1", "resourceclaims", PartialObject),
    ResourceKind("resource.k8s.io", "v1", "resourceclaimtemplates", PartialObject),
)
#: The first version that has any is taken: the same rules come in all versions that are served.
_TAINT_RULES: Final = tuple(
    ResourceKind("resource.k8s.io", version, "devicetaintrules", PartialObject, namespaced=False)
    for version in ("v1beta2", "v1", "v1alpha3")
)
_VOLUMES: Final = (
    ResourceKind("", "v1", "persistentvolumes", PartialObject, namespaced=False),
    ResourceKind("", "v1", "persistentvolumeclaims", PartialObject),
    ResourceKind("storage.k8s.io", "v1", "storageclasses", PartialObject, namespaced=False),
    ResourceKind("storage.k8s.io", "v1", "csidrivers", PartialObject, namespaced=False),
    ResourceKind("storage.k8s.io", "v1", "csinodes", PartialObject, namespaced=False),
    ResourceKind("storage.k8s.io", "v1", "csistoragecapacities", PartialObject),
    ResourceKind("storage.k8s.io", "v1", "volumeattachments", PartialObject, namespaced=False),
)
_ZONES: Final = ResourceKind(
    "topology.node.k8s.io", "v1alpha2", "noderesourcetopologies", PartialObject, namespaced=False
)
_SERVICES: Final = ResourceKind("", "v1", "services", PartialObject)
_RUNTIMES: Final = ResourceKind("node.k8s.io", "v1", "runtimeclasses", PartialObject, namespaced=False)
_CONFIG_MAPS: Final = ResourceKind("", "v1", "configmaps", PartialObject)


async def read_cluster(
    client: ApiClient,
    warn: Callable[[str], None] = lambda _: None,
    settings_at: tuple[str, str] = SETTINGS_AT,
) -> list[Sourced]:
    """All objects that decisions depend on; kinds that the server does not know have none.

    Args:
        client: the API server.
        warn: told in a sentence about what is left out.
        settings_at: namespace and name of the ConfigMap with the settings.

    Raises:
        ApiError: the server does not answer, or refuses.
    """
    lists = await asyncio.gather(*(list_all(client, kind) for kind in _KINDS))
    objects = [one for objects in lists for one in objects]
    objects += await _read_if_allowed(client, _NAMESPACES, "labels of namespaces", warn)
    budgets = await _read_if_allowed(client, _BUDGETS, "pod disruption budgets", warn)
    for kind in (*_DEVICES, *_VOLUMES):
        objects += await _read_if_allowed(client, kind, kind.plural, warn)
    for kind in _TAINT_RULES:
        if rules := await _read_if_allowed(client, kind, "device taint rules", warn):
            objects += rules
            break
    objects += await _read_if_allowed(client, _ZONES, "node resource topologies", warn)
    objects += await _read_if_allowed(client, _RUNTIMES, "runtime classes", warn)
    objects += await _read_if_allowed(client, _SERVICES, "services", warn)
    objects += await read_owners(client, [one for one in objects if one["kind"] == "Pod"])
    objects += budgets
    settings = await read_settings(client, settings_at)
    if settings is not None:
        objects += [settings, *await _read_beside(client, settings, warn)]
    return [Sourced(one, "live", live=True) for one in objects]


async def _read_beside(
    client: ApiClient, settings: Mapping[str, Any], warn: Callable[[str], None]
) -> list[dict[str, Any]]:
    """The ConfigMaps that the settings are about: what queues have used, and default priorities by kind."""
    try:
        chosen = load_settings((settings.get("data") or {}).get(SETTINGS_KEY, ""))
    except SettingsError:
        return []  # the plan says what is wrong with them
    wanted = [(settings["metadata"]["namespace"], USAGE_NAME)] if chosen.fairness.usage.enabled else []
    if (defaults := chosen.pod_groups.default_priorities_config_map) is not None:
        wanted.append((defaults.namespace, defaults.name))
    found = []
    for namespace, name in wanted:
        try:
            one = await client.get_object(_CONFIG_MAPS.path(namespace, name))
            found.append({"apiVersion": "v1", "kind": "ConfigMap", **one})
        except NotFoundError:
            continue
        except ForbiddenError as error:
            warn(f"ConfigMap {namespace}/{name} is left out: {error}")
    return found


async def read_owners(
    client: ApiClient, pods: Iterable[Mapping[str, Any]], namespace: str = ""
) -> list[dict[str, Any]]:
    """All objects of the kinds that own pods, of those that own these, and of what grouping rules look up beside them.

    A kind that is not served, or that we may not read, has none: the scheduler takes references to it at their word.

    Args:
        client: the API server.
        pods: whose owners.
        namespace: where to look; empty for everywhere.

    Raises:
        ApiError: the server does not answer.
    """
    found: list[dict[str, Any]] = []
    pods = list(pods)
    named = (kinds_named(pod["metadata"].get("labels") or {}, pod.get("spec") or {}) for pod in pods)
    todo, done = _kinds_above(pods).union(*named), {_POD}
    while todo := todo - done:
        kind = todo.pop()
        done.add(kind)
        try:
            resource = await discover(client, *kind, PartialObject)
            objects = await list_all(client, resource, namespace) if resource is not None else []
        except ForbiddenError as error:
            if error.status == 401:
                raise
            objects = []
        found += objects
        todo |= _kinds_above(objects) | ({COMPANIONS[kind]} if kind in COMPANIONS else set())
    return found


def _kinds_above(objects: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    references = (owner for one in objects for owner in one["metadata"].get("ownerReferences") or ())
    return {(str(owner["apiVersion"]).rpartition("/")[0], str(owner["kind"])) for owner in references}


async def _read_if_allowed(
    client: ApiClient, kind: ResourceKind[PartialObject], called: str, warn: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Objects without which a plan can do; none for those who may not read them, as for the scheduler."""
    try:
        return await list_all(client, kind)
    except ForbiddenError as error:
        if error.status == 401:
            raise
        warn(f"{called} are left out: {error}")
        return []


async def read_settings(client: ApiClient, at: tuple[str, str] = SETTINGS_AT) -> dict[str, Any] | None:
    """The ConfigMap with the settings, under the name that plans know it by; None if there is none.

    Args:
        client: the API server.
        at: its namespace and name.

    Raises:
        ApiError: the server does not answer, or refuses.
    """
    try:
        found = await client.get_object(_CONFIG_MAPS.path(*at))
    except NotFoundError:
        return None
    metadata = {**found["metadata"], "name": SETTINGS_NAME}
    return {"apiVersion": "v1", "kind": "ConfigMap", **found, "metadata": metadata}
