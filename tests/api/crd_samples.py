"""Objects of our kinds, good and bad, for whoever checks them: the models, the CRDs, the admission."""

QUEUE = {"apiVersion": "scheduling.run.ai/v2", "kind": "Queue"}
PODGROUP = {"apiVersion": "scheduling.run.ai/v2alpha2", "kind": "PodGroup"}
TOPOLOGY = {"apiVersion": "kai.scheduler/v1alpha1", "kind": "Topology"}
HOSTNAME = "kubernetes.io/hostname"


def queue(**spec):
    return {**QUEUE, "metadata": {"name": "research"}, "spec": spec}


def podgroup(**spec):
    return {**PODGROUP, "metadata": {"name": "train", "namespace": "default"}, "spec": spec}


def topology(*levels):
    return {
        **TOPOLOGY,
        "metadata": {"name": "cluster-topology"},
        "spec": {"levels": [{"nodeLabel": level} if isinstance(level, str) else level for level in levels]},
    }


#: What KAI's users may have.
LEGAL = {
    "a queue without a spec": {**QUEUE, "metadata": {"name": "research"}},
    "a queue without resources": queue(parentQueue="default-parent-queue"),
    "a queue as KAI's quick start has it": queue(
        parentQueue="default",
        priority=100,
        displayName="Research",
        preemptMinRuntime="1h30m",
        reclaimMinRuntime="0s",
        resources={
            "cpu": {"quota": -1, "limit": -1, "overQuotaWeight": 1},
            "gpu": {"quota": 0.5, "limit": -1, "overQuotaWeight": 1},
            "memory": {"quota": 1e12, "limit": -1, "overQuotaWeight": 1},
        },
    ),
    "a limit below the quota": queue(resources={"gpu": {"quota": 8, "limit": 4}}),
    "a queue with our additions": queue(
        allowedNamespaces={"matchExpressions": [{"key": "team", "operator": "In", "values": ["a"]}]},
        resources={"additional": [{"name": "example.com/nic", "quota": 4}, {"name": "deviceclass/gpu.nvidia.com"}]},
    ),
    "an empty podgroup": podgroup(),
    "an elastic podgroup": podgroup(minMember=0, queue="research", priorityClassName="train", preemptibility=""),
    "a podgroup that waits, and is never stale": podgroup(
        minMember=4, preemptionDelay="600s", stalenessGracePeriod="-1s", schedulingBackoff=-1, markUnschedulable=False
    ),
    "a tree of subgroups": podgroup(
        minSubGroup=1,
        subGroups=[
            {"name": "replica", "minSubGroup": 2},
            {"name": "leader", "parent": "replica", "minMember": 1},
            {"name": "worker", "parent": "replica", "minMember": 8, "topologyConstraint": {"topology": "t"}},
        ],
    ),
    "a topology with aliases": topology({"nodeLabel": "cloud.example/rack", "alias": "rack"}, HOSTNAME),
}

#: What is wrong with an object, the object, and the field that is to blame.
REFUSED_BY_SCHEMA = {
    "a quota below -1": (queue(resources={"gpu": {"quota": -2}}), "spec.resources.gpu.quota"),
    "a quota between -1 and 0": (queue(resources={"gpu": {"quota": -0.5}}), "spec.resources.gpu.quota"),
    "a limit below -1": (queue(resources={"cpu": {"limit": -1000}}), "spec.resources.cpu.limit"),
    "a negative weight": (
        queue(resources={"memory": {"overQuotaWeight": -1}}),
        "spec.resources.memory.overQuotaWeight",
    ),
    "a quota that is text": (queue(resources={"gpu": {"quota": "4"}}), "spec.resources.gpu.quota"),
    "a queue that is its own parent": (queue(parentQueue="research"), "spec.parentQueue"),
    "a duration without a unit": (queue(reclaimMinRuntime="60"), "spec.reclaimMinRuntime"),
    "a resource twice": (
        queue(resources={"additional": [{"name": "a.b/c"}, {"name": "a.b/c"}]}),
        "spec.resources.additional[1]",
    ),
    "a resource that has a field of its own": (
        queue(resources={"additional": [{"name": "gpu"}]}),
        "spec.resources.additional[0]",
    ),
    "a selector with an unknown operator": (
        queue(allowedNamespaces={"matchExpressions": [{"key": "a", "operator": "Is", "values": ["b"]}]}),
        "spec.allowedNamespaces",
    ),
    "a selector without values": (
        queue(allowedNamespaces={"matchExpressions": [{"key": "a", "operator": "In"}]}),
        "spec.allowedNamespaces",
    ),
    "a negative minimum": (podgroup(minMember=-1), "spec.minMember"),
    "two minimums": (podgroup(minMember=1, minSubGroup=1), "spec"),
    "two minimums in a subgroup": (
        podgroup(subGroups=[{"name": "a", "minMember": 1, "minSubGroup": 1}]),
        "spec.subGroups[0]",
    ),
    "a subgroup twice": (
        podgroup(subGroups=[{"name": "a", "minMember": 1}, {"name": "a", "minMember": 1}]),
        "spec.subGroups[1]",
    ),
    "a subgroup that is its own parent": (
        podgroup(subGroups=[{"name": "a", "parent": "a", "minMember": 1}]),
        "spec.subGroups[0]",
    ),
    "a subgroup whose name is no label": (podgroup(subGroups=[{"name": "A b"}]), "spec.subGroups[0].name"),
    "an unknown preemptibility": (podgroup(preemptibility="sometimes"), "spec.preemptibility"),
    "an unknown backoff": (podgroup(schedulingBackoff=3), "spec.schedulingBackoff"),
    "no levels": (topology(), "spec.levels"),
    "seventeen levels": (topology(*(f"level/{n}" for n in range(17))), "spec.levels"),
    "a level twice": (topology("a/zone", "a/zone"), "spec.levels"),
    "the host above the rack": (topology(HOSTNAME, "a/rack"), "spec.levels"),
    "an alias twice": (
        topology({"nodeLabel": "a/zone", "alias": "z"}, {"nodeLabel": "a/rack", "alias": "z"}),
        "spec.levels",
    ),
    "an alias that is a label": (topology({"nodeLabel": "a/zone", "alias": "a/rack"}, "a/rack"), "spec.levels"),
    "a level that is no label key": (topology("not a label"), "spec.levels[0].nodeLabel"),
    "a topology without a spec": ({**TOPOLOGY, "metadata": {"name": "t"}}, "spec"),
}

#: What the schema cannot say, so that the models have to.
REFUSED_BY_MODELS = {
    "an unknown parent": (
        podgroup(subGroups=[{"name": "a", "parent": "b", "minMember": 1}]),
        "spec.subGroups[0].parent",
    ),
    "a cycle": (
        podgroup(subGroups=[{"name": "a", "parent": "b"}, {"name": "b", "parent": "a"}]),
        "spec.subGroups[0].parent",
    ),
    "a leaf without a minimum": (podgroup(subGroups=[{"name": "a"}]), "spec.subGroups[0].minMember"),
    "a leaf that counts subgroups": (
        podgroup(subGroups=[{"name": "a", "minSubGroup": 1}]),
        "spec.subGroups[0].minSubGroup",
    ),
}
