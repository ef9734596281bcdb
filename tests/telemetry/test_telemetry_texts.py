"""Golden sentences: what users read. Change one only if the new one says more."""

import math

import pytest

from kai_py.core.result import Diagnosis, FilterReason, Reason, ReasonCode
from kai_py.telemetry.amounts import amount, amount_more, amount_of, quantity
from kai_py.telemetry.places import FILTER_TEXTS, histogram, nearest_miss
from kai_py.telemetry.sentences import headline, in_line, next_step, sentence, verdict
from kai_py.telemetry.texts import TEXTS
from tests.core.builders import AXIS

GIB = 2**30
CODE = ReasonCode
FULL = {"InsufficientResources": 40, "UntoleratedTaint": 6, "NodeUnschedulable": 4}
SHORT_OF_GPUS = {"nvidia.com/gpu": (40, 2000)}
GATE = {"queue": "research", "resource": "gpu", "requested": 4000, "held": 6000, "ceiling": 8000.0}

LEVEL = {"topology": "dc", "level": "rack"}
GOLDEN = {
    CODE.QUEUE_MISSING: (
        Reason(CODE.QUEUE_MISSING, {"queue": "research"}),
        "Queue research does not exist.",
        "Create the queue, or name one that exists (label kai.scheduler/queue; kubectl get queues lists them).",
    ),
    CODE.QUEUE_NOT_LEAF: (
        Reason(CODE.QUEUE_NOT_LEAF, {"queue": "org"}),
        "Queue org has child queues and takes no pods itself.",
        "Name one of its child queues (label kai.scheduler/queue).",
    ),
    CODE.QUEUE_INVALID: (
        Reason(CODE.QUEUE_INVALID, {"queue": "org", "message": "spec.parentQueue: there is no queue 'x'"}),
        "Queue org cannot be used: spec.parentQueue: there is no queue 'x'.",
        "Mend the queue: its status conditions say what is wrong.",
    ),
    CODE.QUEUE_FORBIDDEN: (
        Reason(CODE.QUEUE_FORBIDDEN, {"queue": "vision", "namespace": "x", "by": "org", "selector": "team in (a, b)"}),
        "Namespace x may not use queue vision: queue org takes namespaces with team in (a, b).",
        "Name another queue (label kai.scheduler/queue), or let whoever owns this one give access.",
    ),
    CODE.QUEUE_NOT_NAMED: (
        Reason(CODE.QUEUE_NOT_NAMED),
        "No queue is named.",
        "Set the label kai.scheduler/queue on the workload.",
    ),
    CODE.PODGROUP_MISSING: (
        Reason(CODE.PODGROUP_MISSING, {"podGroup": "train"}),
        "Podgroup train does not exist.",
        "Create the podgroup, or correct the annotation pod-group-name of the pods.",
    ),
    CODE.PODGROUP_INVALID: (
        Reason(CODE.PODGROUP_INVALID, {"field": "spec.subGroups[0].parent", "message": "there is no subgroup 'a'"}),
        "The podgroup is malformed: spec.subGroups[0].parent: there is no subgroup 'a'.",
        "Correct the podgroup's spec.",
    ),
    CODE.SUBGROUP_MISSING: (
        Reason(CODE.SUBGROUP_MISSING, {"podGroup": "train", "subGroup": "workers"}),
        "Subgroup workers does not exist in podgroup train, or is divided further.",
        "Set the label kai.scheduler/subgroup-name to a subgroup of the podgroup that has no subgroups itself.",
    ),
    CODE.POD_INVALID: (
        Reason(
            CODE.POD_INVALID, {"pod": "team/train-0", "message": "spec.containers[0].resources: 'x' is no quantity"}
        ),
        "Pod team/train-0 is malformed: spec.containers[0].resources: 'x' is no quantity.",
        "Correct the field and create the pod again.",
    ),
    CODE.OWNER_INVALID: (
        Reason(
            CODE.OWNER_INVALID,
            {"owner": "JobSet team/train", "field": "spec.replicatedJobs", "message": "a JobSet needs at least one"},
        ),
        "JobSet team/train cannot be understood: spec.replicatedJobs: a JobSet needs at least one.",
        "Correct the field of the workload.",
    ),
    CODE.OWNER_PENDING: (
        Reason(CODE.OWNER_PENDING, {"owner": "RayJob team/train", "message": "has no RayCluster yet"}),
        "RayJob team/train decides which pods start together, and is waited for: has no RayCluster yet.",
        "Nothing if it is soon over; otherwise see whether the object exists and the scheduler may list its kind.",
    ),
    CODE.TOPOLOGY_MISSING: (
        Reason(
            CODE.TOPOLOGY_MISSING,
            {
                "object": "PodGroup team/train",
                "field": "spec.topologyConstraint.topology",
                "message": "there is no Topology racks",
                "topology": "racks",
            },
        ),
        "Topology racks does not exist: spec.topologyConstraint.topology.",
        (
            "Create the Topology, or name one that exists (annotation kai.scheduler/topology of the workload, or "
            "topologyConstraint.topology of the PodGroup)."
        ),
    ),
    CODE.TOPOLOGY_INVALID: (
        Reason(
            CODE.TOPOLOGY_INVALID,
            {
                "object": "PodGroup team/train",
                "field": "spec.topologyConstraint.requiredTopologyLevel",
                "message": "Topology racks has no level row, but zone, rack",
            },
        ),
        (
            "A topology constraint cannot be kept because of PodGroup team/train: "
            "spec.topologyConstraint.requiredTopologyLevel: Topology racks has no level row, but zone, rack."
        ),
        "Correct the field that the message names.",
    ),
    CODE.DOMAINS_TOO_SMALL: (
        Reason(CODE.DOMAINS_TOO_SMALL, {**LEVEL, "domain": "a/r1", "fits": 6, "pods": 8}),
        "No rack of topology dc takes all pods that must be together: the best is a/r1, which takes 6 of 8 pods.",
        "Wait until there is room for 2 more pods in a/r1, ask for a wider level, or for fewer pods.",
    ),
    CODE.SUBGROUP_TOO_LARGE: (
        Reason(CODE.SUBGROUP_TOO_LARGE, {**LEVEL, "domain": "", "fits": 0, "pods": 4, "subGroup": "workers"}),
        "No rack of topology dc takes subgroup workers and others like it: none takes any of 4 pods.",
        "Ask for a wider level for the subgroup or for the podgroup, for fewer pods, or wait.",
    ),
    CODE.SUBGROUPS_COLLIDE: (
        Reason(CODE.SUBGROUPS_COLLIDE, {**LEVEL, "domain": "a/r1", "fits": 8, "pods": 8}),
        "No rack of topology dc takes all subgroups at once: the roomiest is a/r1.",
        "Ask for a wider level for the podgroup or for some subgroups, for fewer pods, or wait.",
    ),
    CODE.MEMBERS_APART: (
        Reason(CODE.MEMBERS_APART, {**LEVEL, "domain": "", "fits": 0, "pods": 1}),
        "Its running pods are not in one rack of topology dc.",
        "Label the nodes as they are, or end the running pods, so that the podgroup starts anew in one domain.",
    ),
    CODE.CLAIM_MISSING: (
        Reason(CODE.CLAIM_MISSING, {"claim": "team/gpus"}),
        "ResourceClaim team/gpus does not exist.",
        "Create it, or correct spec.resourceClaims of the pod.",
    ),
    CODE.CLAIM_INVALID: (
        Reason(CODE.CLAIM_INVALID, {"claim": "team/gpus", "field": "spec.devices", "message": "no such class"}),
        "ResourceClaim team/gpus cannot be served: spec.devices: no such class.",
        "Correct what the message names; a claim cannot be changed, so delete it and create it again.",
    ),
    CODE.CLAIM_OF_OTHER_QUEUE: (
        Reason(CODE.CLAIM_OF_OTHER_QUEUE, {"claim": "team/gpus", "queue": "research"}),
        "ResourceClaim team/gpus is not labelled with queue research.",
        "Set the label kai.scheduler/queue of the claim to the queue of its pods.",
    ),
    CODE.CLAIM_IN_FULL_USE: (
        Reason(CODE.CLAIM_IN_FULL_USE, {"claim": "team/gpus", "nodes": 2}, {"InsufficientDevices": 2}),
        "ResourceClaim team/gpus serves as many pods as a claim can: 2 lack devices.",
        "Wait until pods that use it finish, or give these pods a claim of their own.",
    ),
    CODE.VOLUME_CLAIM_MISSING: (
        Reason(CODE.VOLUME_CLAIM_MISSING, {"claim": "team/data"}),
        "PersistentVolumeClaim team/data does not exist.",
        "Create it, or correct spec.volumes of the pod.",
    ),
    CODE.VOLUME_CLAIM_INVALID: (
        Reason(
            CODE.VOLUME_CLAIM_INVALID, {"claim": "team/data", "field": "status.phase", "message": "its volume is lost"}
        ),
        "PersistentVolumeClaim team/data cannot be used: status.phase: its volume is lost.",
        "Mend the claim, or name another one in spec.volumes of the pod.",
    ),
    CODE.VOLUME_UNBOUND: (
        Reason(CODE.VOLUME_UNBOUND, {"claim": "team/data", "storageClass": "fast"}),
        "PersistentVolumeClaim team/data has no volume yet: its storage class is fast.",
        "See why the claim is not bound: kubectl describe it.",
    ),
    CODE.SHARE_UNPREPARED: (
        Reason(CODE.SHARE_UNPREPARED, {"pod": "team/half", "annotation": "runai/shared-gpu-configmap"}),
        "Pod team/half is not prepared to share a GPU: it lacks the annotation runai/shared-gpu-configmap.",
        (
            "See that the webhooks run (kai-py webhooks) and that the MutatingWebhookConfiguration is there, then make "
            "the pod anew."
        ),
    ),
    CODE.SHARE_NOT_OFFERED: (
        Reason(CODE.SHARE_NOT_OFFERED, {"message": "there is no DeviceClass shared"}),
        "No parts of GPUs can be claimed: there is no DeviceClass shared.",
        (
            "Compare the setting gpuShareClaims with what the driver offers: kubectl get deviceclasses, and the "
            "capacities in kubectl get resourceslices -o yaml."
        ),
    ),
    CODE.SHARE_RESERVED: (
        Reason(CODE.SHARE_RESERVED, {"node": "gpu-1", "reservation": "kai-resource-reservation/gpu-reservation-x"}),
        (
            "A GPU is being reserved on gpu-1 for pods that share it: kai-resource-reservation/gpu-reservation-x has "
            "not said its device."
        ),
        (
            "Wait; if it takes long, look at the reservation pod. After the setting `gpuReservation.timeout` the pod "
            "goes elsewhere."
        ),
    ),
    CODE.VOLUME_PREPARED: (
        Reason(CODE.VOLUME_PREPARED, {"claim": "team/data"}),
        "PersistentVolumeClaim team/data waits for its volume.",
        "Wait; if it takes long, look at the events of the claim. After 10 minutes the pod goes elsewhere.",
    ),
    CODE.DEVICES_PREPARED: (
        Reason(CODE.DEVICES_PREPARED, {"claim": "team/gpus", "missing": "attached of device d/p/x"}),
        "The devices of team/gpus are being prepared: attached of device d/p/x is not true yet.",
        (
            "Wait; if it takes long, look at status.devices of the claim, and at the driver. After the setting "
            "`dra.bindingTimeout` the devices are given back, and the pod goes elsewhere."
        ),
    ),
    CODE.DEVICES_UNAVAILABLE: (
        Reason(
            CODE.DEVICES_UNAVAILABLE,
            {
                "why": "DevicesInUse",
                "claim": "ResourceClaim team/gpus",
                "request": "gpu",
                "node": "node-1",
                "needed": 4,
                "matched": 8,
                "available": 3,
                "nodes": 2,
            },
            {"DevicesInUse": 2, "CountersUsedUp": 1},
        ),
        (
            "Request gpu of ResourceClaim team/gpus finds no devices: devices are in use on node-1, which comes "
            "nearest (4 needed, 8 match, 3 free), 2 have their devices in use, 1 has used up what its devices are cut "
            "from."
        ),
        "Ask for fewer devices or others, wait until devices are free, or look at the ResourceSlices of the nodes.",
    ),
    CODE.RUNTIME_CLASS_MISSING: (
        Reason(
            CODE.RUNTIME_CLASS_MISSING,
            {"pod": "ns/p", "field": "spec.runtimeClassName", "runtimeClass": "kata"},
        ),
        "RuntimeClass kata does not exist: spec.runtimeClassName; pod ns/p.",
        "Create the RuntimeClass, or create the pods anew with another spec.runtimeClassName.",
    ),
    CODE.UNSUPPORTED: (
        Reason(CODE.UNSUPPORTED, {"object": "Pod team/train-0", "field": "spec.resourceClaims"}),
        "Pod team/train-0 asks for what this version of kai-py cannot honour: spec.resourceClaims.",
        "Remove the field, or let another scheduler place the pod.",
    ),
    CODE.BACKING_OFF: (
        Reason(CODE.BACKING_OFF, {"pod": "team/train-0"}),
        "The last attempt to start it failed, and the next one comes after a pause: pod team/train-0.",
        "Nothing if it happens once; if it repeats, look at the Events of its pods.",
    ),
    CODE.GANG_NOT_READY: (
        Reason(CODE.GANG_NOT_READY, {"subGroup": "workers", "minMember": 8, "pods": 3, "gated": 0}),
        "Subgroup workers waits for more pods to be created: 3 of 8 pods that must start together exist.",
        "Look at the workload that creates the pods, or lower the minimum (minMember).",
    ),
    CODE.GATED: (
        Reason(CODE.GATED, {"subGroup": "", "minMember": 8, "pods": 7, "gated": 1}),
        (
            "Scheduling gates hold back pods of the podgroup: 1 pod has scheduling gates, "
            "7 of 8 that must start together have none."
        ),
        "Wait for the controller that owns the gates, or remove them from the pods.",
    ),
    CODE.OVER_LIMIT: (
        Reason(CODE.OVER_LIMIT, GATE),
        "Queue research would exceed its GPU limit: it may hold 8 GPUs, holds 6 GPUs and is asked for 4 GPUs more.",
        (
            "Ask for at most 2 GPUs, or wait until 2 GPUs in that queue are free again, "
            "or raise spec.resources.gpu.limit of queue research to 10."
        ),
    ),
    CODE.NON_PREEMPTIBLE_OVER_QUOTA: (
        Reason(CODE.NON_PREEMPTIBLE_OVER_QUOTA, GATE),
        (
            "Queue research would exceed its GPU quota with pods that cannot be preempted: the quota is 8 GPUs, "
            "such pods hold 6 GPUs and 4 GPUs more are asked for."
        ),
        (
            "Let it be preempted (label kai.scheduler/preemptibility=preemptible), or ask for at most 2 GPUs, or wait "
            "until 2 GPUs in that queue are free again, or raise spec.resources.gpu.quota of queue research to 10."
        ),
    ),
    CODE.UNSCHEDULABLE: (
        Reason(CODE.UNSCHEDULABLE, {"nodes": 50}, FULL, SHORT_OF_GPUS),
        (
            "0/50 nodes fit: 40 lack nvidia.com/gpu, 6 have untolerated taints, 4 are cordoned. "
            "2 more GPUs on one node would do."
        ),
        "Ask for less per pod, wait until running pods finish, or add nodes.",
    ),
    CODE.GANG_DOES_NOT_FIT: (
        Reason(CODE.GANG_DOES_NOT_FIT, {"nodes": 50, "placed": 5, "pods": 8}, FULL, SHORT_OF_GPUS),
        (
            "5 of 8 pods that must start together find a node: for the next one 0/50 nodes fit (40 lack "
            "nvidia.com/gpu, 6 have untolerated taints, 4 are cordoned). 2 more GPUs on one node would take the next "
            "one."
        ),
        "Ask for less per pod, wait until running pods finish, or add nodes.",
    ),
    CODE.WAITING_FOR_RELEASE: (
        Reason(CODE.WAITING_FOR_RELEASE, {"nominated": 3, "pods": 8}),
        "Its place is reserved, but the pods that are there have not left yet: 3 of 8 waiting pods have a node.",
        "Nothing: it starts by itself. A pod that does not end holds it up (kubectl get pods shows Terminating).",
    ),
    CODE.QUEUE_DEPTH: (
        Reason(CODE.QUEUE_DEPTH, {"depth": 100, "position": 120}),
        "Too many podgroups of its queue come first: a cycle looks at 100.",
        "Wait, give it a higher priority, or raise actions.queueDepth in the settings.",
    ),
    CODE.OUT_OF_TURN: (
        Reason(CODE.OUT_OF_TURN, {"sorts": 200}),
        "Its namespace has too many different podgroups in line, which take turns: a cycle looks at 200.",
        "Wait for its turn, submit fewer different pods at once, or raise actions.sortsPerNamespace in the settings.",
    ),
    CODE.OVER_FAIR_SHARE: (
        Reason(CODE.OVER_FAIR_SHARE, {**GATE, "requested": 4000}),
        (
            "Queue research may not take back more than its GPU fair share: that is 8 GPUs, it holds 6 GPUs and "
            "4 GPUs more are asked for."
        ),
        "Wait until capacity is free; or raise the queue's quota or its over-quota weight.",
    ),
    CODE.NO_VICTIMS: (
        Reason(CODE.NO_VICTIMS, {"queue": "research"}),
        "Nobody has to make room for what waits in queue research.",
        "Wait until pods finish, or give the podgroup a higher priority.",
    ),
    CODE.NOT_ENOUGH_VICTIMS: (
        Reason(CODE.NOT_ENOUGH_VICTIMS, {"fits": 5, "pods": 8}),
        "Those who may be evicted for it do not make enough room: with all of them gone, 5 of 8 pods would fit.",
        "Ask for less per pod, wait until running pods finish, or add nodes.",
    ),
    CODE.NOT_ENOUGH_RECLAIMABLE: (
        Reason(
            CODE.NOT_ENOUGH_RECLAIMABLE,
            {"resource": "gpu", "requested": 80_000, "free": 2000, "reclaimable": 77_000, "queue": "research"},
        ),
        (
            "79 of 80 GPUs are free or reclaimable: free 2 GPUs, reclaimable 77 GPUs; with more, queue research would "
            "fall below what it is entitled to."
        ),
        "Ask for less, wait until running pods finish, or look at the quotas of the queues (kai-py queues).",
    ),
    CODE.VICTIM_WITHIN_SHARE: (
        Reason(CODE.VICTIM_WITHIN_SHARE, {"queue": "research"}),
        "Queue research would fall below what it is entitled to.",
        "Wait until pods finish, or look at the quotas of the queues (kai-py queues).",
    ),
    CODE.RECLAIMER_OVER_SHARE: (
        Reason(CODE.RECLAIMER_OVER_SHARE, {"queue": "research"}),
        "It would leave its own queue better served than queue research.",
        "Wait until capacity is free; or raise the queue's quota or its over-quota weight.",
    ),
    CODE.VICTIMS_WITHOUT_PLACE: (
        Reason(CODE.VICTIMS_WITHOUT_PLACE, {"podGroups": 2}),
        "2 podgroups that would have to move find no other place.",
        "Wait until pods finish, or add nodes.",
    ),
    CODE.PREEMPTION_DELAY: (
        Reason(CODE.PREEMPTION_DELAY, {"seconds": 12.5}),
        "It may not have others evicted yet: 12.5 s of the delay are left.",
        "Wait, or shorten the delay (annotation kai.scheduler/preemption-delay of the workload).",
    ),
    CODE.OUTRANKED: (
        Reason(CODE.OUTRANKED, {"pods": 2}),
        "Its place went to a podgroup that comes first.",
        "Wait until pods finish, or give the podgroup a higher priority.",
    ),
    CODE.INTERNAL_ERROR: (
        Reason(CODE.INTERNAL_ERROR, {"error": "ZeroDivisionError: division by zero", "where": "kai_py.core.x:8"}),
        (
            "The scheduler made a mistake over this podgroup and left it alone for this cycle: ZeroDivisionError: "
            "division by zero; where kai_py.core.x:8."
        ),
        "Report it as a bug, with the error and the podgroup's manifest.",
    ),
    CODE.MIN_RESOURCES_MISSING: (
        Reason(CODE.MIN_RESOURCES_MISSING, {"resource": "nvidia.com/gpu", "requested": 8000, "free": 3000}),
        "3 GPUs can be had in the cluster, and the podgroup does not start below 8 GPUs.",
        "Wait until others finish, add nodes, or ask for less (minResources).",
    ),
    CODE.NODES_REQUESTED: (
        Reason(CODE.NODES_REQUESTED, {"provisioningRequest": "train-1"}),
        "Nodes are asked for: ProvisioningRequest train-1.",
        "Wait; the ProvisioningRequest's conditions tell how far it is.",
    ),
    CODE.NODES_PROVISIONED: (
        Reason(CODE.NODES_PROVISIONED, {"provisioningRequest": "train-1"}),
        "Nodes are there or about to join, and it has found no place yet: ProvisioningRequest train-1.",
        "Wait until the nodes are ready. If it goes on, compare the nodes with what the pods ask for.",
    ),
    CODE.PROVISIONING_FAILED: (
        Reason(CODE.PROVISIONING_FAILED, {"provisioningRequest": "train-1", "message": "Failed: out of capacity"}),
        "Nodes were asked for in vain: ProvisioningRequest train-1; Failed: out of capacity.",
        "See the ProvisioningRequest's conditions; ask for less, or raise what the autoscaler may add.",
    ),
    CODE.NEVER_PREEMPTS: (
        Reason(CODE.NEVER_PREEMPTS),
        "It never has others evicted.",
        "Wait until pods finish, or use a priority class whose preemptionPolicy is PreemptLowerPriority.",
    ),
}


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_code_has_its_golden_sentence_and_next_step(code):
    reason, said, step = GOLDEN[code]
    assert (sentence(reason, AXIS), next_step(reason, AXIS)) == (said, step)


def test_the_tables_are_complete():
    assert set(TEXTS) == set(ReasonCode)
    assert set(FILTER_TEXTS) == set(FilterReason)


@pytest.mark.parametrize("code", list(ReasonCode))
def test_a_sentence_survives_missing_details(code):
    said = sentence(Reason(code))
    assert said.endswith(".")
    assert "  " not in said
    assert " ." not in said
    assert ": " not in verdict(Reason(code))
    assert next_step(Reason(code)).endswith(".")


def test_a_code_without_a_text_is_shown_as_it_is():
    reason = Reason("BrandNew", {"message": "look here"}, {"OtherNew": 2})
    assert sentence(reason) == "It waits with reason BrandNew: 2 refuse with OtherNew; look here."
    assert next_step(reason) == ""


def test_a_message_of_several_lines_becomes_one():
    assert "\n" not in sentence(Reason(CODE.POD_INVALID, {"message": "first\n  second\n"}))


@pytest.mark.parametrize(
    ("reason", "one", "many"), [(reason, text.one, text.many) for reason, text in FILTER_TEXTS.items()]
)
def test_every_reason_of_a_node_reads_in_singular_and_plural(reason, one, many):
    assert histogram(Reason(CODE.UNSCHEDULABLE, nodes={reason: 1})) == f"1 {one}"
    assert histogram(Reason(CODE.UNSCHEDULABLE, nodes={reason: 7})) == f"7 {many}"


def test_the_most_frequent_reason_of_nodes_comes_first():
    counts = {"UntoleratedTaint": 2, "NodeUnschedulable": 30, "NodeNotReady": 2, "NodeNameMismatch": 0}
    said = "30 are cordoned, 2 are not ready, 2 have untolerated taints"
    assert histogram(Reason(CODE.UNSCHEDULABLE, nodes=counts)) == said


def test_nodes_that_lack_two_resources_are_not_counted_twice_in_silence():
    nodes = {"InsufficientResources": 40}
    apart = Reason(CODE.UNSCHEDULABLE, nodes=nodes, shortages={"nvidia.com/gpu": (30, 1000), "cpu": (10, 500)})
    both = Reason(CODE.UNSCHEDULABLE, nodes=nodes, shortages={"nvidia.com/gpu": (30, 1000), "cpu": (20, 500)})
    assert histogram(apart) == "30 lack nvidia.com/gpu, 10 lack CPU"
    assert histogram(both) == "40 lack resources (nvidia.com/gpu on 30, CPU on 20)"


def test_the_histogram_says_what_no_numa_node_has() -> None:
    needs = {"cpu": 8000, "nvidia.com/gpu": 2000}
    nodes = {FilterReason.NUMA_NODE: 4, FilterReason.NUMA_NODES: 1, FilterReason.CORDONED: 2}
    said = "4 have no single NUMA node with 2 GPUs and 8 CPU free, 2 are cordoned, "
    said += "1 has no NUMA nodes that suit 2 GPUs and 8 CPU together"
    assert histogram(Reason(CODE.UNSCHEDULABLE, {"numa": needs}, nodes)) == said


def test_the_nearest_miss_names_each_single_resource_that_would_do():
    shortages = {"memory": (3, 5 * GIB), "cpu": (3, 1500), "pods": (1, 1), "example.com/nic": (1, 2)}
    said = "1.5 more CPU or 2 more example.com/nic or 5 GiB more memory or 1 more pod slot on one node would do"
    assert nearest_miss(Reason(CODE.UNSCHEDULABLE, shortages=shortages), AXIS) == said


def test_there_is_no_nearest_miss_when_every_node_lacks_two_things():
    assert nearest_miss(Reason(CODE.UNSCHEDULABLE, shortages={"cpu": (3, 0), "memory": (3, 0)})) == ""


def test_a_cluster_without_nodes_is_said_to_have_none():
    assert sentence(Reason(CODE.UNSCHEDULABLE, {"nodes": 0})) == "0/0 nodes fit: there are no nodes."


def test_a_queue_above_the_own_one_is_said_to_be_above():
    reason = Reason(CODE.OVER_LIMIT, {**GATE, "queue": "org"})
    assert sentence(reason, queue="research").startswith("Queue org (above queue research) would exceed its GPU limit")


def test_what_alone_exceeds_the_limit_is_not_told_to_wait():
    step = next_step(Reason(CODE.OVER_LIMIT, {**GATE, "requested": 9000, "held": 0}))
    assert step == "Ask for at most 8 GPUs, or raise spec.resources.gpu.limit of queue research to 9."


@pytest.mark.parametrize(
    ("resource", "ceiling", "path"),
    [
        ("cpu", 2000, "spec.resources.cpu.limit of queue research to 3000 (millicores)"),
        ("memory", 1_500_000, "spec.resources.memory.limit of queue research to 3 (MB)"),
        ("example.com/nic", 2, "spec.resources.additional[example.com/nic].limit of queue research to 3"),
    ],
)
def test_the_limit_to_raise_is_in_the_unit_of_the_queue_spec(resource, ceiling, path):
    details = {**GATE, "resource": resource, "ceiling": ceiling, "held": ceiling, "requested": ceiling / 2}
    if resource == "memory":
        details["requested"] = 1_000_001  # rounded up to whole MB
    assert path in next_step(Reason(CODE.OVER_LIMIT, details))


def test_consolidation_counts_only_what_is_free():
    reason = Reason(CODE.NOT_ENOUGH_RECLAIMABLE, {"resource": "memory", "requested": 2 * GIB, "free": GIB // 2})
    assert sentence(reason) == "512 MiB of 2 GiB are free on all nodes together."


@pytest.mark.parametrize(
    ("podgroups", "said"),
    [
        (0, "More podgroups would have to move than may be moved for one."),
        (1, "1 podgroup that would have to move finds no other place."),
    ],
)
def test_podgroups_without_a_place_are_counted_in_words_that_fit(podgroups, said):
    assert sentence(Reason(CODE.VICTIMS_WITHOUT_PLACE, {"podGroups": podgroups})) == said


@pytest.mark.parametrize(
    ("resource", "part", "whole", "said"),
    [
        ("gpu", 0, 1000, "0 of 1 GPU"),
        ("gpu", 79_000, 80_000, "79 of 80 GPUs"),
        ("memory", 3 * GIB, 4 * GIB, "3 of 4 GiB"),
        ("memory", GIB // 2, 4 * GIB, "512 MiB of 4 GiB"),
        ("memory", 0, 4 * GIB, "0 of 4 GiB"),
        ("gpu", math.inf, 4000, "unlimited of 4 GPUs"),
    ],
)
def test_a_part_is_named_with_the_unit_of_the_whole(resource, part, whole, said):
    assert amount_of(resource, part, whole, AXIS) == said


def test_the_headline_goes_on_with_why_nobody_makes_room():
    place, room = Reason(CODE.UNSCHEDULABLE, {"nodes": 0}), Reason(CODE.NEVER_PREEMPTS)
    growth = Reason(CODE.QUEUE_MISSING, {"queue": "x"})
    said = headline(Diagnosis("a/b", "research", (place, growth, room), position=1))
    assert said == ("0/0 nodes fit: there are no nodes. It never has others evicted. It is 1st in queue research.")


def test_the_headline_ends_with_the_place_in_line():
    reason = Reason(CODE.QUEUE_MISSING, {"queue": "x"})
    line = [Diagnosis("a/b", "research", (reason,), position=place) for place in (1, 2, 3, 0)]
    assert in_line(line) == {"research": 3}
    assert headline(line[2], waiting=3) == "Queue x does not exist. It is 3rd of 3 in queue research."
    assert headline(line[0]) == "Queue x does not exist. It is 1st in queue research."
    assert headline(line[3], waiting=3) == "Queue x does not exist."


@pytest.mark.parametrize(
    ("place", "said"), [(1, "1st"), (2, "2nd"), (11, "11th"), (12, "12th"), (23, "23rd"), (112, "112th")]
)
def test_places_are_ordinals(place, said):
    assert f"It is {said} in queue q." in headline(
        Diagnosis("a/b", "q", (Reason(CODE.QUEUE_NOT_NAMED),), position=place)
    )


def test_a_diagnosis_without_reasons_still_has_a_headline():
    assert headline(Diagnosis("a/b", "q", ())) == "It waits for the next cycle."


@pytest.mark.parametrize(
    ("resource", "value", "said"),
    [
        ("gpu", 2000, "2 GPUs"),
        ("gpu", 1000, "1 GPU"),
        ("gpu", 500, "0.5 GPU"),
        ("nvidia.com/gpu", 0, "0 GPUs"),
        ("cpu", 1500, "1.5 CPU"),
        ("cpu", 1, "0.001 CPU"),
        ("memory", 64 * GIB, "64 GiB"),
        ("memory", 100, "100 B"),
        ("memory", 1.5 * 2**40, "1.5 TiB"),
        ("pods", 1, "1 pod slot"),
        ("pods", 2, "2 pod slots"),
        ("example.com/nic", 3, "3 example.com/nic"),
        ("gpu", math.inf, "unlimited"),
    ],
)
def test_amounts_are_written_as_people_write_them(resource, value, said):
    assert amount(resource, value, AXIS) == said
    assert amount(resource, value) == said


def test_what_is_missing_is_rounded_up_and_what_is_left_down():
    assert amount_more("memory", GIB + 2**20) == "1.01 GiB more memory"
    assert amount("memory", 2 * GIB - 1, rounded="down") == "1.99 GiB"
    assert amount_more("cpu", 300) == "0.3 more CPU"


@pytest.mark.parametrize(
    ("resource", "value", "written"),
    [
        ("gpu", 2500, "2500m"),
        ("cpu", 1500, "1500m"),
        ("memory", 64 * GIB, "64Gi"),
        ("pods", 3, "3"),
        ("gpu", math.inf, "-1"),
    ],
)
def test_quantities_are_in_units_of_the_resource(resource, value, written):
    assert quantity(resource, value, AXIS) == written


@pytest.mark.parametrize(
    ("resource", "value", "more", "bare"),
    [
        ("ephemeral-storage", GIB, "1 GiB more ephemeral-storage", "1 GiB ephemeral-storage"),
        ("hugepages-2Mi", 2 * 2**20, "2 MiB more hugepages-2Mi", "2 MiB hugepages-2Mi"),
        ("example.com/license", 2**20, "1048576 more example.com/license", "1048576 example.com/license"),
    ],
)
def test_what_is_counted_in_bytes_is_written_so(resource, value, more, bare):
    assert amount_more(resource, value) == more
    assert amount(resource, value) == bare
    assert amount_of(resource, 0, value) == f"0 of {bare}"


def test_a_storage_limit_is_raised_by_whole_bytes():
    details = {"queue": "q", "resource": "ephemeral-storage", "requested": GIB, "held": 1, "ceiling": GIB}
    assert "to 1073741825" in next_step(Reason(ReasonCode.OVER_LIMIT, details))
