"""What the nodes say: the histogram of reasons over nodes, and the nearest miss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kai_py.core.resources import CPU, MEMORY, ResourceAxis
from kai_py.core.result import FilterReason, Reason, ReasonCode
from kai_py.telemetry.amounts import amount, amount_more, noun
from kai_py.telemetry.device_places import DEVICE_TEXTS
from kai_py.telemetry.filter_text import FilterText
from kai_py.telemetry.volume_texts import VOLUME_PLACES

FILTER_TEXTS: Final[Mapping[str, FilterText]] = {
    FilterReason.NOT_READY: FilterText(
        "is not ready",
        "are not ready",
        "The node's Ready condition is not True, or the node is being deleted.",
        "Look at the nodes that are not ready (kubectl get nodes)",
    ),
    FilterReason.NODE_NAME: FilterText(
        "is not the node that the pod names",
        "are not the node that the pod names",
        "The pod insists on one node by name.",
        "Check the name of the node that the pod insists on",
    ),
    FilterReason.CORDONED: FilterText(
        "is cordoned",
        "are cordoned",
        "The node has spec.unschedulable set, for instance by kubectl cordon or kubectl drain.",
        "Put cordoned nodes back into service (kubectl uncordon) when their maintenance is over",
    ),
    FilterReason.TAINT: FilterText(
        "has an untolerated taint",
        "have untolerated taints",
        "The node has a NoSchedule or NoExecute taint that the pod does not tolerate.",
        "Add a toleration to the pod, or remove the taint from the nodes",
    ),
    FilterReason.NODE_AFFINITY: FilterText(
        "does not match the pod's node selector or affinity",
        "do not match the pod's node selector or affinity",
        "The node's labels do not match the pod's nodeSelector or its required node affinity.",
        "Compare the pod's nodeSelector and required node affinity with the labels of the nodes",
    ),
    FilterReason.FEATURES: FilterText(
        "does not declare a feature that the pod needs",
        "do not declare a feature that the pod needs",
        "The pod has a field that only some kubelets understand, and the node's status.declaredFeatures does not name "
        "the feature.",
        "Remove restart rules with RestartAllContainers, or hostUsers: false beside hostNetwork; or update the nodes",
    ),
    FilterReason.RESOURCES: FilterText(
        "lacks resources",
        "lack resources",
        "The node has not enough left of at least one resource that the pod asks for, pod slots included. "
        "What leaving pods will give back counts as left.",
        "Ask for less per pod, wait until running pods finish, or add nodes",
    ),
    **DEVICE_TEXTS,
    **VOLUME_PLACES,
    FilterReason.NUMA_NODE: FilterText(
        "has no single NUMA node with enough free",
        "have no single NUMA node with enough free",
        "The node's kubelet gives a pod (or each of its containers, by its scope) the CPUs, memory and devices of one "
        "NUMA node or refuses it (policy single-numa-node), and none has all of them free, though the node has. What "
        "leaving pods will give back counts as free.",
        "Ask for less per pod or container, or wait until pods leave a whole NUMA node",
    ),
    FilterReason.NUMA_NODES: FilterText(
        "has no NUMA nodes that suit together",
        "have no NUMA nodes that suit together",
        "The node's kubelet refuses a pod (or container, by its scope) unless all its resources come from the same "
        "NUMA nodes, as few as an empty node would need (policy restricted); none have enough free. What leaving "
        "pods will give back counts as free.",
        "Ask for amounts that need equally many NUMA nodes, or wait until pods leave them",
    ),
    FilterReason.HOST_PORT: FilterText(
        "has its port taken",
        "have their ports taken",
        "Another pod on the node has a host port that the pod asks for.",
        "Do without hostPort, or ask for another port",
    ),
    FilterReason.SPREAD_LABEL: FilterText(
        "lacks a label over which the pod is spread",
        "lack a label over which the pod is spread",
        "The node has no value of a topologyKey in the pod's topologySpreadConstraints with DoNotSchedule.",
        "Give the nodes the labels that topologySpreadConstraints name",
    ),
    FilterReason.SPREAD: FilterText(
        "would have too many of the pods that are spread",
        "would have too many of the pods that are spread",
        "With the pod, the node's domain would be further ahead of the emptiest one than maxSkew in the pod's "
        "topologySpreadConstraints allows.",
        "Make room in the domains with the fewest of these pods, or allow a larger maxSkew",
    ),
    FilterReason.POD_AFFINITY: FilterText(
        "has none of the pods near it that the pod's affinity asks for",
        "have none of the pods near them that the pod's affinity asks for",
        "In the node's domain there is no pod that all terms of the pod's required podAffinity select, or the node has "
        "not the label that makes domains.",
        "Compare the pod's required podAffinity with the labels and places of the pods that it should be near",
    ),
    FilterReason.POD_ANTI_AFFINITY: FilterText(
        "has pods near it that the pod's anti-affinity excludes",
        "have pods near them that the pod's anti-affinity excludes",
        "In the node's domain there is a pod that a term of the pod's required podAntiAffinity selects.",
        "Add nodes or domains without these pods, or make the anti-affinity a preferred one",
    ),
    FilterReason.ANTI_AFFINITY_OF_OTHERS: FilterText(
        "has pods near it whose anti-affinity excludes the pod",
        "have pods near them whose anti-affinity excludes the pod",
        "In the node's domain there is a pod, of whatever scheduler, whose required podAntiAffinity selects the pod "
        "that waits.",
        "Add nodes or domains without pods that exclude this one, or change its labels",
    ),
    FilterReason.EXCLUDED: FilterText(
        "refused this pod a moment ago",
        "refused this pod a moment ago",
        "Binding the pod to the node failed recently, so the node is left out for a while.",
        "Wait: nodes on which binding failed are tried again later",
    ),
}


def histogram(reason: Reason) -> str:
    """How many nodes refuse for which reason, most frequent first: ``40 lack nvidia.com/gpu, 4 are cordoned``."""
    ranked = sorted(reason.nodes.items(), key=lambda entry: (-entry[1], entry[0]))
    return ", ".join(_predicate(name, count, reason) for name, count in ranked if count > 0)


def nearest_miss(reason: Reason, axis: ResourceAxis | None = None) -> str:
    """The least that one node lacks: ``2 more GPUs on one node would do``.

    Empty when every node lacks two things at once. For a gang it speaks of one pod: what the others need is not known.
    """
    outcome = "would take the next one" if reason.code == ReasonCode.GANG_DOES_NOT_FIT else "would do"
    misses = [amount_more(name, least, axis) for name, (_, least) in sorted(reason.shortages.items()) if least > 0]
    return f"{' or '.join(misses)} on one node {outcome}" if misses else ""


def node_next_step(reason: Reason) -> str:
    """What to do about the reason that most nodes give; empty when there is no histogram."""
    if not any(reason.nodes.values()):
        return ""
    most = max(sorted(reason.nodes), key=lambda name: reason.nodes[name])
    text = FILTER_TEXTS.get(most)
    return text.next_step if text is not None else ""


def _predicate(name: str, count: int, reason: Reason) -> str:
    if name == FilterReason.RESOURCES and reason.shortages:
        return _lacking(count, reason.shortages)
    if name in (FilterReason.NUMA_NODE, FilterReason.NUMA_NODES) and (needs := _aligned(reason)):
        have = "has" if count == 1 else "have"
        if name == FilterReason.NUMA_NODE:
            return f"{count} {have} no single NUMA node with {needs} free"
        return f"{count} {have} no NUMA nodes that suit {needs} together"
    text = FILTER_TEXTS.get(name)
    if text is None:
        return f"{count} {'refuses' if count == 1 else 'refuse'} with {name}"
    said = f"{count} {text.one if count == 1 else text.many}"
    about = reason.details.get("about")
    return f"{said} ({about[name]})" if isinstance(about, Mapping) and name in about else said


def _aligned(reason: Reason) -> str:
    """What has to come from one NUMA node, or from the same: ``2 GPUs and 8 CPU``."""
    needs = reason.details.get("numa")
    if not isinstance(needs, Mapping):
        return ""
    ordered = sorted(needs.items(), key=lambda need: (need[0] in (CPU, MEMORY), need[0]))
    words = [amount(name, units) for name, units in ordered]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _lacking(count: int, shortages: Mapping[str, tuple[int, int]]) -> str:
    """Nodes without room, by resource. A node that lacks two resources is in two counts, so those may exceed it."""
    ranked = sorted(((nodes, name) for name, (nodes, _) in shortages.items()), key=lambda entry: (-entry[0], entry[1]))
    if sum(nodes for nodes, _ in ranked) == count:
        return ", ".join(f"{nodes} {_lack(nodes)} {noun(name)}" for nodes, name in ranked)
    each = ", ".join(f"{noun(name)} on {nodes}" for nodes, name in ranked)
    return f"{count} {_lack(count)} resources ({each})"


def _lack(count: int) -> str:
    return "lacks" if count == 1 else "lack"
