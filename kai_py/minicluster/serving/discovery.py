"""Discovery: what is served, in the old form and in the aggregated one."""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.kinds import Kind
from kai_py.minicluster.refusals import no_such_path
from kai_py.minicluster.registry import Endpoint, Registry

Object = dict[str, Any]

_SUBRESOURCES: Final[dict[str, tuple[tuple[str, ...], tuple[str, str, str] | None]]] = {
    "status": (("get", "patch", "update"), None),
    "finalize": (("update",), None),
    "scale": (("get", "patch", "update"), ("autoscaling", "v1", "Scale")),
    "binding": (("create",), ("", "v1", "Binding")),
    "eviction": (("create",), ("policy", "v1", "Eviction")),
}
_BINDINGS: Final[Object] = {
    "name": "bindings",
    "singularName": "binding",
    "namespaced": True,
    "kind": "Binding",
    "verbs": ["create"],
}
REVIEW_GROUP: Final = "authorization.k8s.io"
_REVIEW_KINDS: Final = {
    "selfsubjectaccessreviews": "SelfSubjectAccessReview",
    "subjectaccessreviews": "SubjectAccessReview",
}


def core_versions(address: str) -> Object:
    """``/api``."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def groups(registry: Registry) -> Object:
    """``/apis``."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(*item) for item in _versions(registry).items()],
    }


def group(registry: Registry, name: str) -> Object:
    """``/apis/<group>``.

    Raises:
        RefusedError: 404.
    """
    versions = _versions(registry).get(name)
    if versions is None:
        raise no_such_path()
    return {"kind": "APIGroup", "apiVersion": "v1"} | _group(name, versions)


def _group(name: str, versions: list[str]) -> Object:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _versions(registry: Registry) -> dict[str, list[str]]:
    """Group → its versions, the stored one of its first kind first."""
    found: dict[str, list[str]] = {REVIEW_GROUP: ["v1"]}
    for endpoint in registry:
        versions = found.setdefault(endpoint.kind.group, [])
        if endpoint.version not in versions:
            versions.append(endpoint.version)
    found.pop("")
    return {name: sorted(versions, key=_age_of_version) for name, versions in found.items()}


def _age_of_version(version: str) -> tuple[int, int, int]:
    """Kubernetes' order: GA before beta before alpha, higher numbers first."""
    digits = version.lstrip("v")
    for rank, word in ((1, "beta"), (2, "alpha")):
        major, found, minor = digits.partition(word)
        if found:
            return rank, -int(major or 0), -int(minor or 0)
    return 0, -int(digits) if digits.isdecimal() else 0, 0


def resources(registry: Registry, name: str, version: str) -> Object:
    """``/api/v1`` and ``/apis/<group>/<version>``.

    Raises:
        RefusedError: 404.
    """
    listed: list[Object] = []
    for endpoint in registry:
        if (endpoint.kind.group, endpoint.version) == (name, version):
            listed += _entries(endpoint)
    if name == REVIEW_GROUP and version == "v1":
        listed += [
            {"name": plural, "singularName": kind.lower(), "namespaced": False, "kind": kind, "verbs": ["create"]}
            for plural, kind in _REVIEW_KINDS.items()
        ]
    if not listed:
        raise no_such_path()
    if not name:
        listed.insert(0, _BINDINGS)
    group_version = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": listed}


def _entries(endpoint: Endpoint) -> list[Object]:
    kind = endpoint.kind
    entry: Object = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    return [entry, *(_subresource(kind, name) for name in kind.subresources)]


def _subresource(kind: Kind, name: str) -> Object:
    verbs, own = _SUBRESOURCES[name]
    entry: Object = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
    if own is None:
        entry["kind"] = kind.kind
    else:
        group_name, version, own_kind = own
        entry |= {"kind": own_kind}
        if group_name:
            entry |= {"group": group_name, "version": version}
    return entry | {"verbs": list(verbs)}


def aggregated(registry: Registry, *, core: bool) -> Object:
    """``/api`` or ``/apis`` as ``APIGroupDiscoveryList`` v2."""
    wanted = {"": ["v1"]} if core else _versions(registry)
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None} if name else {"creationTimestamp": None},
            "versions": [
                {
                    "version": version,
                    "resources": _aggregated(resources(registry, name, version)["resources"], name, version),
                    "freshness": "Current",
                }
                for version in versions
            ],
        }
        for name, versions in wanted.items()
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _aggregated(listed: list[Object], group_name: str, version: str) -> list[Object]:
    found: dict[str, Object] = {}
    for entry in listed:
        plural, _, subresource = entry["name"].partition("/")
        kind = {
            "group": entry.get("group", group_name),
            "version": entry.get("version", version),
            "kind": entry["kind"],
        }
        if subresource:
            sub = {"subresource": subresource, "responseKind": kind, "verbs": entry["verbs"]}
            found[plural].setdefault("subresources", []).append(sub)
            continue
        found[plural] = {
            "resource": plural,
            "responseKind": kind,
            "scope": "Namespaced" if entry["namespaced"] else "Cluster",
            "singularResource": entry["singularName"],
            "verbs": entry["verbs"],
        } | {key: entry[key] for key in ("shortNames", "categories") if key in entry}
    return list(found.values())
