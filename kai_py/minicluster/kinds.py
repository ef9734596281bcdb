"""The built-in kinds: names, scope, subresources, selectable fields. Custom kinds become the same type (``crds``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_VERBS: Final = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind as it is stored.

    Attributes:
        group: API group, empty for core.
        version: the version in which objects are stored.
        versions: all served versions.
        subresources: names of what is served below an object, e.g. ``status``.
        counts_generation: whether ``metadata.generation`` counts changes of the spec.
        selectable: field selector paths beyond ``metadata.name`` and ``metadata.namespace``.
        unconditional_update: whether a PUT without resourceVersion is taken.
        status_keeps_labels: whether a write to ``status`` may change labels, annotations and finalizers.
        custom: defined by a CustomResourceDefinition.
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str = ""
    namespaced: bool = True
    versions: tuple[str, ...] = ("v1",)
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    counts_generation: bool = False
    selectable: tuple[str, ...] = ()
    unconditional_update: bool = True
    status_keeps_labels: bool = False
    custom: bool = False
    list_kind: str = ""
    verbs: tuple[str, ...] = _VERBS

    @property
    def key(self) -> str:
        """``pods`` or ``deployments.apps``: unique among all kinds."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """``v1`` or ``apps/v1``: what stored objects carry."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def has_status(self) -> bool:
        """Whether status is written only through its subresource."""
        return "status" in self.subresources

    @property
    def list_name(self) -> str:
        """The kind of a list of these."""
        return self.list_kind or f"{self.kind}List"


def _builtin(
    group: str,
    kind: str,
    plural: str,
    *,
    version: str = "v1",
    short: str = "",
    scope: str = "Namespaced",
    sub: str = "",
    select: str = "",
    categories: str = "",
    generation: bool = False,
    unconditional: bool = True,
    status_keeps_labels: bool = False,
) -> Kind:
    return Kind(
        group=group,
        version=version,
        versions=(version,),
        kind=kind,
        plural=plural,
        singular=kind.lower(),
        namespaced=scope == "Namespaced",
        short_names=tuple(short.split()),
        categories=tuple(categories.split()),
        subresources=tuple(sub.split()),
        counts_generation=generation,
        selectable=tuple(select.split()),
        unconditional_update=unconditional,
        status_keeps_labels=status_keeps_labels,
        verbs=tuple(verb for verb in _VERBS if not (kind == "Namespace" and verb == "deletecollection")),
    )


PODS: Final = _builtin(
    "",
    "Pod",
    "pods",
    short="po",
    sub="status binding eviction",
    categories="all",
    generation=True,
    status_keeps_labels=True,
    select="spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork"
    " status.phase status.podIP status.nominatedNodeName",
)
NAMESPACES: Final = _builtin(
    "", "Namespace", "namespaces", short="ns", scope="Cluster", sub="status finalize", select="status.phase"
)
NODES: Final = _builtin(
    "",
    "Node",
    "nodes",
    short="no",
    scope="Cluster",
    sub="status",
    select="spec.unschedulable",
    status_keeps_labels=True,
)
EVENTS: Final = _builtin(
    "",
    "Event",
    "events",
    short="ev",
    select="involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid"
    " involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath reason reportingComponent"
    " source type",
)
#: The same objects under their second name; ``events.EVENTS_API`` translates.
NEW_EVENTS: Final = _builtin("events.k8s.io", "Event", "events", short="ev", select=" ".join(EVENTS.selectable))
SECRETS: Final = _builtin("", "Secret", "secrets", select="type")
CLAIMS: Final = _builtin("resource.k8s.io", "ResourceClaim", "resourceclaims", sub="status", unconditional=True)
CLAIM_TEMPLATES: Final = _builtin("resource.k8s.io", "ResourceClaimTemplate", "resourceclaimtemplates")
SLICES: Final = _builtin(
    "resource.k8s.io",
    "ResourceSlice",
    "resourceslices",
    scope="Cluster",
    select="spec.nodeName spec.driver",
    generation=True,
)
BUDGETS: Final = _builtin(
    "policy", "PodDisruptionBudget", "poddisruptionbudgets", short="pdb", sub="status", generation=True,
    unconditional=False,
)  # fmt: skip
PRIORITY_CLASSES: Final = _builtin(
    "scheduling.k8s.io", "PriorityClass", "priorityclasses", short="pc", scope="Cluster", generation=True
)
POD_GROUPS: Final = _builtin("scheduling.k8s.io", "PodGroup", "podgroups", version="v1alpha2", sub="status")
RUNTIME_CLASSES: Final = _builtin("node.k8s.io", "RuntimeClass", "runtimeclasses", scope="Cluster", unconditional=False)
CONFIG_MAPS: Final = _builtin("", "ConfigMap", "configmaps", short="cm")
CRDS: Final = _builtin(
    "apiextensions.k8s.io", "CustomResourceDefinition", "customresourcedefinitions", short="crd crds", scope="Cluster",
    sub="status", categories="api-extensions", generation=True, unconditional=False,
)  # fmt: skip

BUILTIN: Final[tuple[Kind, ...]] = (
    PODS,
    NAMESPACES,
    NODES,
    EVENTS,
    SECRETS,
    CONFIG_MAPS,
    _builtin("", "Service", "services", short="svc", sub="status", categories="all"),
    _builtin("", "ServiceAccount", "serviceaccounts", short="sa"),
    _builtin("", "PodTemplate", "podtemplates", generation=True),
    _builtin("", "PersistentVolumeClaim", "persistentvolumeclaims", short="pvc", sub="status"),
    _builtin("", "PersistentVolume", "persistentvolumes", short="pv", scope="Cluster", sub="status"),
    _builtin(
        "", "ReplicationController", "replicationcontrollers", short="rc", sub="status scale", categories="all",
        generation=True, select="status.replicas",
    ),
    _builtin("apps", "Deployment", "deployments", short="deploy", sub="status scale", categories="all",
             generation=True),
    _builtin("apps", "ReplicaSet", "replicasets", short="rs", sub="status scale", categories="all", generation=True,
             select="status.replicas"),
    _builtin("apps", "StatefulSet", "statefulsets", short="sts", sub="status scale", categories="all", generation=True),
    _builtin("apps", "DaemonSet", "daemonsets", short="ds", sub="status", categories="all", generation=True),
    _builtin("batch", "Job", "jobs", sub="status", categories="all", generation=True, select="status.successful"),
    _builtin("batch", "CronJob", "cronjobs", short="cj", sub="status", categories="all", generation=True),
    PRIORITY_CLASSES,
    BUDGETS,
    _builtin("coordination.k8s.io", "Lease", "leases", unconditional=False),
    _builtin("storage.k8s.io", "StorageClass", "storageclasses", short="sc", scope="Cluster"),
    _builtin("storage.k8s.io", "CSINode", "csinodes", scope="Cluster", unconditional=False),
    _builtin("storage.k8s.io", "CSIDriver", "csidrivers", scope="Cluster", unconditional=False, generation=True),
    _builtin("storage.k8s.io", "CSIStorageCapacity", "csistoragecapacities", unconditional=False),
    _builtin("storage.k8s.io", "VolumeAttachment", "volumeattachments", scope="Cluster", sub="status",
             unconditional=False),
    RUNTIME_CLASSES,
    _builtin("resource.k8s.io", "DeviceClass", "deviceclasses", scope="Cluster", generation=True),
    CLAIMS,
    CLAIM_TEMPLATES,
    SLICES,
    _builtin("rbac.authorization.k8s.io", "Role", "roles"),
    _builtin("rbac.authorization.k8s.io", "RoleBinding", "rolebindings"),
    _builtin("rbac.authorization.k8s.io", "ClusterRole", "clusterroles", scope="Cluster"),
    _builtin("rbac.authorization.k8s.io", "ClusterRoleBinding", "clusterrolebindings", scope="Cluster"),
    CRDS,
)  # fmt: skip
#: Kinds that are served with a feature gate.
GATED: Final[tuple[tuple[str, Kind], ...]] = (("GenericWorkload", POD_GROUPS),)
