"""What each built-in kind demands of its objects: defaults, admission, validation. Custom kinds follow their schema.

One module per kind or family. Must not store anything: rules change the object they are given, or refuse it.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final

from kai_py.minicluster.kinds import (
    BUDGETS,
    CLAIMS,
    CRDS,
    EVENTS,
    NAMESPACES,
    NODES,
    POD_GROUPS,
    PODS,
    PRIORITY_CLASSES,
    RUNTIME_CLASSES,
    SECRETS,
    SLICES,
)

from . import workloads
from .base import Rules
from .claims import ClaimRules, ClaimTemplateRules, DeviceClassRules
from .crds import DefinitionRules
from .namespaces import NamespaceRules
from .node_takes import GATE
from .nodes import NodeRules
from .pod_groups import CLAIMS_GATE, WORKLOAD_GATE, PodGroupRules
from .pods import PodRules
from .priority import PriorityClassRules
from .runtime import RuntimeClassRules
from .slices import SliceRules
from .small import (
    BudgetRules,
    ConfigRules,
    EventRules,
    LeaseRules,
    NewEventRules,
    ServiceRules,
    StorageClassRules,
    VolumeClaimRules,
    VolumeRules,
)

#: Gates that can be switched on; they are off by default.
GATES: Final = frozenset({GATE, WORKLOAD_GATE, CLAIMS_GATE})


def builtin_rules(gates: AbstractSet[str] = frozenset()) -> dict[str, Rules]:
    """Kind key → its rules, fresh for each cluster: services count their addresses.

    Raises:
        ValueError: a gate is not one of ``GATES``, or needs another one.
    """
    if unknown := gates - GATES:
        raise ValueError(f"feature gates that are not known here: {', '.join(sorted(unknown))}")
    if CLAIMS_GATE in gates and WORKLOAD_GATE not in gates:
        raise ValueError(f"feature gate {CLAIMS_GATE} needs {WORKLOAD_GATE}")
    return {
        BUDGETS.key: BudgetRules(),
        CLAIMS.key: ClaimRules(),
        CRDS.key: DefinitionRules(),
        EVENTS.key: EventRules(),
        NAMESPACES.key: NamespaceRules(),
        NODES.key: NodeRules(),
        PODS.key: PodRules(gates),
        POD_GROUPS.key: PodGroupRules(gates),
        PRIORITY_CLASSES.key: PriorityClassRules(),
        RUNTIME_CLASSES.key: RuntimeClassRules(),
        SECRETS.key: ConfigRules(secret=True),
        SLICES.key: SliceRules(gates),
        "configmaps": ConfigRules(secret=False),
        "cronjobs.batch": workloads.CronJobRules(),
        "daemonsets.apps": workloads.DAEMON_SETS,
        "deployments.apps": workloads.DEPLOYMENTS,
        "deviceclasses.resource.k8s.io": DeviceClassRules(),
        "jobs.batch": workloads.JobRules(),
        "leases.coordination.k8s.io": LeaseRules(),
        "persistentvolumeclaims": VolumeClaimRules(),
        "persistentvolumes": VolumeRules(),
        "podtemplates": workloads.TemplateRules(),
        "replicasets.apps": workloads.REPLICA_SETS,
        "replicationcontrollers": workloads.ControllerRules(),
        "resourceclaimtemplates.resource.k8s.io": ClaimTemplateRules(),
        "services": ServiceRules(),
        "statefulsets.apps": workloads.STATEFUL_SETS,
        "storageclasses.storage.k8s.io": StorageClassRules(),
    }


NEW_EVENT_RULES: Final = NewEventRules()
