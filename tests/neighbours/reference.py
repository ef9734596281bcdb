"""Where kube-scheduler 1.36 would let a pod start, rule by rule over plain manifests, one pod and node at a time.

Written from the rules of NodePorts, InterPodAffinity and PodTopologySpread; nothing of kai-py is used.
"""

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def selects(selector, labels):
    """Apimachinery's label selectors; an absent one selects nothing."""
    if selector is None:
        return False
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for one in selector.get("matchExpressions", []):
        value, values = labels.get(one["key"]), one.get("values", [])
        fine = {
            "In": value in values,
            "NotIn": value not in values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not fine[one["operator"]]:
            return False
    return True


def means(term, owner, other, namespaces):
    """Whether a term of ``owner`` is about ``other``."""
    space = other["metadata"]["namespace"]
    if not term.get("namespaces") and "namespaceSelector" not in term:
        covered = space == owner["metadata"]["namespace"]
    else:
        labels = {"kubernetes.io/metadata.name": space, **namespaces.get(space, {})}
        covered = space in term.get("namespaces", []) or selects(term.get("namespaceSelector"), labels)
    return covered and selects(term.get("labelSelector"), other["metadata"]["labels"])


def terms(pod, which):
    return pod["spec"].get("affinity", {}).get(which, {}).get(REQUIRED, [])


def ports(pod):
    spec = pod["spec"]
    sidecars = [one for one in spec.get("initContainers", []) if one.get("restartPolicy") == "Always"]
    for container in [*spec["containers"], *sidecars]:
        for port in container.get("ports", []):
            if port.get("hostPort"):
                yield port.get("hostIP") or "0.0.0.0", port.get("protocol", "TCP"), port["hostPort"]


def free_ports(pod, node, there):
    for address, protocol, number in ports(pod):
        for other in there:
            for taken, its_protocol, its_number in ports(other):
                overlap = address == taken or "0.0.0.0" in (address, taken)
                if (protocol, number) == (its_protocol, its_number) and overlap:
                    return False
    return True


def affinity(pod, node, pods, nodes, namespaces):
    own = terms(pod, "podAffinity")
    if not own:
        return True
    if any(term["topologyKey"] not in node["labels"] for term in own):
        return False
    domains = set()
    for other in pods:
        if all(means(term, pod, other, namespaces) for term in own):
            labels = nodes[other["spec"]["nodeName"]]["labels"]
            domains |= {(term["topologyKey"], labels.get(term["topologyKey"])) for term in own}
    domains = {domain for domain in domains if domain[1] is not None}
    if all((term["topologyKey"], node["labels"][term["topologyKey"]]) in domains for term in own):
        return True
    return not domains and all(means(term, pod, pod, namespaces) for term in own)


def anti_affinity(pod, node, pods, nodes, namespaces):
    for other in pods:
        labels = nodes[other["spec"]["nodeName"]]["labels"]
        for owner, one in ((pod, other), (other, pod)):
            for term in terms(owner, "podAntiAffinity"):
                value = node["labels"].get(term["topologyKey"])
                together = value is not None and value == labels.get(term["topologyKey"])
                if together and means(term, owner, one, namespaces):
                    return False
    return True


def tolerates(pod, node):
    return all(
        any(one.get("key") == taint["key"] for one in pod["spec"].get("tolerations", [])) for taint in node["taints"]
    )


def selected(pod, node):
    return all(node["labels"].get(key) == value for key, value in pod["spec"].get("nodeSelector", {}).items())


def spread(pod, node, pods, nodes):
    constraints = [
        one for one in pod["spec"].get("topologySpreadConstraints", []) if one["whenUnsatisfiable"] == "DoNotSchedule"
    ]
    for one in constraints:
        if one["topologyKey"] not in node["labels"]:
            return False
        labels = pod["metadata"]["labels"]
        selector = one.get("labelSelector")
        if selector is not None:
            more = [
                {"key": key, "operator": "In", "values": [labels[key]]}
                for key in one.get("matchLabelKeys", [])
                if key in labels
            ]
            selector = {**selector, "matchExpressions": [*selector.get("matchExpressions", []), *more]}
        nobody = selector is None or not (selector.get("matchLabels") or selector.get("matchExpressions"))
        counts = {}
        for name, other in nodes.items():
            eligible = all(each["topologyKey"] in other["labels"] for each in constraints)
            if one.get("nodeAffinityPolicy", "Honor") == "Honor":
                eligible = eligible and selected(pod, other)
            if one.get("nodeTaintsPolicy", "Ignore") == "Honor":
                eligible = eligible and tolerates(pod, other)
            if not eligible:
                continue
            here = [each for each in pods if each["spec"]["nodeName"] == name and not is_leaving(each)]
            mine = [each for each in here if each["metadata"]["namespace"] == pod["metadata"]["namespace"]]
            value = other["labels"][one["topologyKey"]]
            found = 0 if nobody else sum(selects(selector, each["metadata"]["labels"]) for each in mine)
            counts[value] = counts.get(value, 0) + found
        least = min(counts.values()) if len(counts) >= one.get("minDomains", 1) else 0
        itself = 1 if selects(selector, labels) else 0
        if counts.get(node["labels"][one["topologyKey"]], 0) + itself - least > one["maxSkew"]:
            return False
    return True


def is_leaving(pod):
    return "deletionTimestamp" in pod["metadata"]


def feasible(pod, pods, nodes, namespaces):
    """Names of the nodes where a pod may start; room apart.

    Args:
        pod: the manifest of one that waits.
        pods: manifests of all that have a node.
        nodes: name -> ``labels`` and ``taints``.
        namespaces: name -> labels.
    """
    found = set()
    for name, node in nodes.items():
        there = [other for other in pods if other["spec"]["nodeName"] == name]
        if (
            selected(pod, node)
            and tolerates(pod, node)
            and free_ports(pod, node, there)
            and affinity(pod, node, pods, nodes, namespaces)
            and anti_affinity(pod, node, pods, nodes, namespaces)
            and spread(pod, node, pods, nodes)
        ):
            found.add(name)
    return found
