"""One table: reason code -> what it says, means and asks for.

The verdict names what failed (queue, resource, subgroup) and keeps its wording while numbers move, so that a reader
(and ``conditions.gist``) can tell a new reason from new numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kai_py.api.keys import PODGROUP_ANNOTATION, PREEMPTIBILITY_LABEL, QUEUE_LABEL, SUBGROUP_LABEL
from kai_py.core.resources import CPU, GPU, MEMORY
from kai_py.core.result import ReasonCode
from kai_py.telemetry.amounts import amount, per_unit
from kai_py.telemetry.case import Case
from kai_py.telemetry.claim_texts import CLAIM_TEXTS
from kai_py.telemetry.places import histogram, node_next_step
from kai_py.telemetry.share_texts import SHARE_TEXTS
from kai_py.telemetry.text import Text, about, fixed
from kai_py.telemetry.topology_texts import TOPOLOGY_TEXTS
from kai_py.telemetry.victim_texts import VICTIM_TEXTS
from kai_py.telemetry.volume_texts import VOLUME_TEXTS

_MEGABYTE: Final = 1_000_000


# gates --------------------------------------------------------------------------------------------


def _queue_in_place(case: Case) -> str:
    """The queue that refuses, and its relation to the podgroup's own."""
    refusing = case.named("queue", "queue")
    above = case.queue and case.name("queue") not in ("", case.queue)
    return f"{refusing} (above queue {case.queue})" if above else refusing


def _closed_to(case: Case) -> str:
    """Which rule keeps a namespace out."""
    if case.name("by"):
        selector = case.name("selector")
        return f"{case.named('queue', 'by')} takes namespaces with {selector}" if selector else ""
    if case.name("verb"):
        group = f"system:serviceaccounts:{case.name('namespace')}"
        return f"a SubjectAccessReview says that {group} may not {case.name('verb')} it"
    return case.name("message")


def _over_limit(case: Case) -> str:
    return f"{_queue_in_place(case)} would exceed its {case.resource_noun}limit"


def _over_limit_evidence(case: Case) -> str:
    if not case.resource:
        return ""
    return f"it may hold {case.amount('ceiling')}, holds {case.amount('held')} and is asked for {_asked(case)}"


def _over_quota(case: Case) -> str:
    return f"{_queue_in_place(case)} would exceed its {case.resource_noun}quota with pods that cannot be preempted"


def _over_quota_evidence(case: Case) -> str:
    if not case.resource:
        return ""
    held = case.amount("held")
    return f"the quota is {case.amount('ceiling')}, such pods hold {held} and {_asked(case)} are asked for"


def _asked(case: Case) -> str:
    return f"{case.amount('requested')} more"


def _room(case: Case, field: str) -> str:
    """How to get past a ceiling: ask for less, wait, or raise it; the new value in the unit of the Queue's spec."""
    if not case.resource:
        return ""
    held, requested, ceiling = (case.base_units(key) for key in ("held", "requested", "ceiling"))
    what = " of memory" if case.resource == MEMORY else ""
    ways = []
    if held < ceiling:
        ways.append(f"ask for at most {amount(case.resource, ceiling - held, case.axis, rounded='down')}{what}")
    if requested <= ceiling:
        excess = amount(case.resource, held + requested - ceiling, case.axis, rounded="up")
        ways.append(f"wait until {excess}{what} in that queue are free again")
    path = _spec_path(case.resource, field)
    ways.append(f"raise {path} of {case.named('queue', 'queue')} to {_in_spec(case.resource, held + requested)}")
    return ", or ".join(ways)


def _spec_path(resource: str, field: str) -> str:
    if resource in (CPU, MEMORY, GPU):
        return f"spec.resources.{resource}.{field}"
    return f"spec.resources.additional[{resource}].{field}"


def _in_spec(resource: str, base_units: float) -> str:
    """A number as the Queue's spec writes it: millicores, MB, devices, else plain counts."""
    if resource == CPU:
        return f"{base_units:.0f} (millicores)"
    if resource == MEMORY:
        return f"{-(-base_units // _MEGABYTE):.0f} (MB)"
    return f"{base_units / per_unit(resource):.15g}"  # whole, however large: bytes of storage, for instance


def _lower_or_yield(case: Case) -> str:
    room = _room(case, "quota")
    preemptible = f"let it be preempted (label {PREEMPTIBILITY_LABEL}=preemptible)"
    return f"{preemptible}, or {room}" if room else preemptible


# gangs --------------------------------------------------------------------------------------------


def _whole(case: Case) -> str:
    return case.named("subgroup", "subGroup") if case.name("subGroup") else "the podgroup"


def _requested(case: Case) -> str:
    name = case.name("provisioningRequest")
    return f"ProvisioningRequest {name}" if name else ""


def _members(case: Case) -> str:
    needed = case.number("minMember")
    return f"{case.number('pods')} of {needed} pods that must start together exist" if needed else ""


def _gates(case: Case) -> str:
    held = case.number("gated")
    if not held:
        return ""
    gates = f"{held} {'pod has' if held == 1 else 'pods have'} scheduling gates"
    needed = case.number("minMember")
    return f"{gates}, {case.number('pods')} of {needed} that must start together have none" if needed else gates


def _gang_verdict(case: Case) -> str:
    return f"{case.number('placed')} of {case.number('pods')} pods that must start together find a node"


def _gang_evidence(case: Case) -> str:
    counts = histogram(case.reason) or _no_nodes(case)
    head = f"for the next one 0/{case.number('nodes')} nodes fit"
    return f"{head} ({counts})" if counts else head


def _no_nodes(case: Case) -> str:
    return "there are no nodes" if case.number("nodes") == 0 else ""


def _release_evidence(case: Case) -> str:
    if not case.number("pods"):
        return ""
    return f"{case.number('nominated')} of {case.number('pods')} waiting pods have a node"


TEXTS: Final[Mapping[str, Text]] = {
    ReasonCode.QUEUE_MISSING: Text(
        about("queue", "queue", "does not exist"),
        "The podgroup names a queue that is not there.",
        f"Create the queue, or name one that exists (label {QUEUE_LABEL}; kubectl get queues lists them).",
        used=frozenset({"queue"}),
    ),
    ReasonCode.QUEUE_NOT_LEAF: Text(
        about("queue", "queue", "has child queues and takes no pods itself"),
        "Only queues without child queues take pods; this one is divided further.",
        f"Name one of its child queues (label {QUEUE_LABEL}).",
        used=frozenset({"queue"}),
    ),
    ReasonCode.QUEUE_INVALID: Text(
        about("queue", "queue", "cannot be used"),
        "The queue, or one above it, is malformed, has a parent that does not exist, or is its own ancestor.",
        "Mend the queue: its status conditions say what is wrong.",
        used=frozenset({"queue"}),
    ),
    ReasonCode.QUEUE_FORBIDDEN: Text(
        lambda case: f"{case.named('namespace', 'namespace')} may not use {case.named('queue', 'queue')}",
        "The queue, or one above it, lets in other namespaces only (spec.allowedNamespaces), or the service accounts "
        "of the namespace may not use it (settings: queues.authorization). What the podgroup asks for counts nowhere.",
        f"Name another queue (label {QUEUE_LABEL}), or let whoever owns this one give access.",
        evidence=_closed_to,
        used=frozenset({"queue", "namespace", "by", "selector", "verb", "message"}),
    ),
    ReasonCode.QUEUE_NOT_NAMED: Text(
        fixed("no queue is named"),
        "Neither the podgroup nor its pods say which queue pays for them.",
        f"Set the label {QUEUE_LABEL} on the workload.",
    ),
    ReasonCode.PODGROUP_MISSING: Text(
        about("podgroup", "podGroup", "does not exist"),
        f"A pod names a podgroup (annotation {PODGROUP_ANNOTATION}) that is not in its namespace.",
        f"Create the podgroup, or correct the annotation {PODGROUP_ANNOTATION} of the pods.",
        used=frozenset({"podGroup"}),
    ),
    ReasonCode.PODGROUP_INVALID: Text(
        about("podgroup", "podGroup", "is malformed"),
        "The podgroup's spec contradicts itself, for instance a subgroup whose parent does not exist.",
        "Correct the podgroup's spec.",
        used=frozenset({"podGroup"}),
    ),
    ReasonCode.SUBGROUP_MISSING: Text(
        lambda case: (
            f"{case.named('subgroup', 'subGroup')} does not exist in {case.named('podgroup', 'podGroup')}, "
            "or is divided further"
        ),
        f"A pod's label {SUBGROUP_LABEL} names no subgroup of its podgroup that can hold pods.",
        f"Set the label {SUBGROUP_LABEL} to a subgroup of the podgroup that has no subgroups itself.",
        used=frozenset({"subGroup", "podGroup"}),
    ),
    ReasonCode.POD_INVALID: Text(
        about("pod", "pod", "is malformed"),
        "A pod of the podgroup has a field that cannot be understood.",
        "Correct the field and create the pod again.",
        used=frozenset({"pod"}),
    ),
    ReasonCode.RUNTIME_CLASS_MISSING: Text(
        about("RuntimeClass", "runtimeClass", "does not exist"),
        "A pod names a RuntimeClass that is not there: no kubelet would start it.",
        "Create the RuntimeClass, or create the pods anew with another spec.runtimeClassName.",
        used=frozenset({"runtimeClass"}),
    ),
    ReasonCode.OWNER_INVALID: Text(
        lambda case: f"{case.name('owner') or 'an owner'} cannot be understood",
        "The workload that made the pod has a field that cannot be meant: nobody knows which pods belong together.",
        "Correct the field of the workload.",
        used=frozenset({"owner"}),
    ),
    ReasonCode.OWNER_PENDING: Text(
        lambda case: f"{case.name('owner') or 'an owner'} decides which pods start together, and is waited for",
        "The workload that made the pod, or a part that its controller makes, has not been seen yet.",
        "Nothing if it is soon over; otherwise see whether the object exists and the scheduler may list its kind.",
        used=frozenset({"owner"}),
    ),
    ReasonCode.UNSUPPORTED: Text(
        lambda case: f"{case.name('object') or 'the pod'} asks for what this version of kai-py cannot honour",
        "A field asks for something that is not implemented. Ignoring it could break the workload, so the pod waits.",
        "Remove the field, or let another scheduler place the pod.",
        used=frozenset({"object"}),
    ),
    ReasonCode.BACKING_OFF: Text(
        fixed("the last attempt to start it failed, and the next one comes after a pause"),
        "Binding failed, so the podgroup pauses; the pause grows with each failure.",
        "Nothing if it happens once; if it repeats, look at the Events of its pods.",
    ),
    ReasonCode.GANG_NOT_READY: Text(
        lambda case: f"{_whole(case)} waits for more pods to be created",
        "Fewer pods exist than must start together.",
        "Look at the workload that creates the pods, or lower the minimum (minMember).",
        evidence=_members,
        used=frozenset({"subGroup"}),
    ),
    ReasonCode.GATED: Text(
        lambda case: f"scheduling gates hold back pods of {_whole(case)}",
        "Pods carry spec.schedulingGates: somebody else has yet to give them free.",
        "Wait for the controller that owns the gates, or remove them from the pods.",
        evidence=_gates,
        used=frozenset({"subGroup"}),
    ),
    ReasonCode.OVER_LIMIT: Text(
        _over_limit,
        "The podgroup's queue, or one above it, would hold more than its limit.",
        "Ask for less, wait until pods of the queue finish, or raise the queue's limit.",
        evidence=_over_limit_evidence,
        next_step=lambda case: _room(case, "limit"),
        used=frozenset({"queue", "resource"}),
    ),
    ReasonCode.NON_PREEMPTIBLE_OVER_QUOTA: Text(
        _over_quota,
        "Pods that cannot be preempted must stay within the quota of their queue and of those above it, because "
        "nobody could take back what they hold.",
        f"Let it be preempted (label {PREEMPTIBILITY_LABEL}=preemptible), ask for less, or raise the queue's quota.",
        evidence=_over_quota_evidence,
        next_step=_lower_or_yield,
        used=frozenset({"queue", "resource"}),
    ),
    ReasonCode.MIN_RESOURCES_MISSING: Text(
        lambda case: (
            f"{case.amount('free')} can be had in the cluster, and {_whole(case)} does not start below "
            f"{case.amount('requested')}"
        ),
        "Its minResources names more than is free on all nodes together, with what its pods have already.",
        "Wait until others finish, add nodes, or ask for less (minResources).",
        used=frozenset({"resource"}),
    ),
    ReasonCode.UNSCHEDULABLE: Text(
        lambda case: f"0/{case.number('nodes')} nodes fit",
        "No node takes the pod. The message counts the nodes by reason (table below).",
        "See what most nodes say, and the nearest miss.",
        evidence=lambda case: histogram(case.reason) or _no_nodes(case),
        next_step=lambda case: node_next_step(case.reason),
    ),
    ReasonCode.GANG_DOES_NOT_FIT: Text(
        _gang_verdict,
        "The pods start together or not at all, and not all of them find a place. The message counts the nodes by "
        "reason (table below) for the first pod that finds none.",
        "See what most nodes say, and the nearest miss; or lower the minimum (minMember).",
        evidence=_gang_evidence,
        next_step=lambda case: node_next_step(case.reason),
    ),
    ReasonCode.WAITING_FOR_RELEASE: Text(
        fixed("its place is reserved, but the pods that are there have not left yet"),
        "Nodes are chosen, and other pods on them are ending. The podgroup starts when they are gone.",
        "Nothing: it starts by itself. A pod that does not end holds it up (kubectl get pods shows Terminating).",
        evidence=_release_evidence,
    ),
    ReasonCode.QUEUE_DEPTH: Text(
        fixed("too many podgroups of its queue come first"),
        "Each cycle looks at a limited number of podgroups per queue, and this one is beyond it.",
        "Wait, give it a higher priority, or raise actions.queueDepth in the settings.",
        evidence=lambda case: f"a cycle looks at {case.number('depth')}" if case.number("depth") else "",
    ),
    ReasonCode.NODES_REQUESTED: Text(
        fixed("nodes are asked for"),
        "The cluster has no room for it, so a ProvisioningRequest asks an autoscaler for nodes for all of its pods.",
        "Wait; the ProvisioningRequest's conditions tell how far it is.",
        evidence=_requested,
        used=frozenset({"provisioningRequest"}),
    ),
    ReasonCode.NODES_PROVISIONED: Text(
        fixed("nodes are there or about to join, and it has found no place yet"),
        "An autoscaler says that it has provided what the ProvisioningRequest asks for.",
        "Wait until the nodes are ready. If it goes on, compare the nodes with what the pods ask for.",
        evidence=_requested,
        used=frozenset({"provisioningRequest"}),
    ),
    ReasonCode.PROVISIONING_FAILED: Text(
        fixed("nodes were asked for in vain"),
        "An autoscaler could not provide what the ProvisioningRequest asks for, or has taken it back. It is asked "
        "again after a while (autoscaling.provisioningRetry).",
        "See the ProvisioningRequest's conditions; ask for less, or raise what the autoscaler may add.",
        evidence=lambda case: "; ".join(part for part in (_requested(case), case.name("message")) if part),
        used=frozenset({"provisioningRequest", "message"}),
    ),
    ReasonCode.OUT_OF_TURN: Text(
        fixed("its namespace has too many different podgroups in line, which take turns"),
        "Each cycle looks at a limited number of sorts of podgroups per namespace, so that nobody holds up all others.",
        "Wait for its turn, submit fewer different pods at once, or raise actions.sortsPerNamespace in the settings.",
        evidence=lambda case: f"a cycle looks at {case.number('sorts')}" if case.number("sorts") else "",
    ),
    ReasonCode.INTERNAL_ERROR: Text(
        fixed("the scheduler made a mistake over this podgroup and left it alone for this cycle"),
        "An unexpected error of the scheduler itself. What was begun for the podgroup was taken back, all others are "
        "scheduled, and the next cycle tries again.",
        "Report it as a bug, with the error and the podgroup's manifest.",
        evidence=lambda case: case.name("error"),
        used=frozenset({"error"}),
    ),
    **CLAIM_TEXTS,
    **VOLUME_TEXTS,
    **SHARE_TEXTS,
    **TOPOLOGY_TEXTS,
    **VICTIM_TEXTS,
}
