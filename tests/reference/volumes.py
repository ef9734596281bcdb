"""Slowly: may a pod with volumes go to a node? Written from kube-scheduler's rules, over plain manifests.

VolumeBinding, VolumeZone, VolumeRestrictions and NodeVolumeLimits of Kubernetes 1.36, for one pod and one node.
"""

from __future__ import annotations

from kai_py.api.quantity import to_units

ZONES = {
    "topology.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
}
DRIVER = "csi.example.com"


class Storage:
    """What a test has made, by kind."""

    def __init__(self, objects):
        self.objects = objects

    def all(self, kind):
        return [one for one in self.objects if one["kind"] == kind]

    def named(self, kind, name):
        return next((one for one in self.all(kind) if one["metadata"]["name"] == name), None)

    def claims_of(self, pod):
        names = [
            volume["persistentVolumeClaim"]["claimName"]
            for volume in pod["spec"].get("volumes", ())
            if "persistentVolumeClaim" in volume
        ]
        return [(name, self.named("PersistentVolumeClaim", name)) for name in dict.fromkeys(names)]


def feasible(storage, pod, node):
    """Whether the pod's volumes let it on the node; None = it waits, wherever it goes."""
    bound, loose = [], []
    for _, claim in storage.claims_of(pod):
        if claim is None:
            return None
        if "pv.kubernetes.io/bind-completed" in claim["metadata"]["annotations"]:
            volume = storage.named("PersistentVolume", claim["spec"]["volumeName"])
            if volume is None:
                return None
            bound.append(volume)
        elif waits(storage, claim):
            loose.append(claim)
        else:
            return None
    return (
        all(reached(volume, node) for volume in bound)
        and all(in_zone(volume, node) for volume in bound)
        and found(storage, loose, node)
        and alone(storage, pod)
        and attached(storage, pod, node) <= limit(storage, node)
    )


def waits(storage, claim):
    cls = storage.named("StorageClass", claim["spec"]["storageClassName"])
    return cls is not None and cls["volumeBindingMode"] == "WaitForFirstConsumer" and "volumeName" not in claim["spec"]


def reached(volume, node):
    affinity = volume["spec"].get("nodeAffinity")
    if affinity is None:
        return True
    return any(
        all(node["metadata"]["labels"].get(one["key"]) in one["values"] for one in term["matchExpressions"])
        for term in affinity["required"]["nodeSelectorTerms"]
    )


def in_zone(volume, node):
    labels = node["metadata"]["labels"]
    if not any(key in labels for key in ZONES):
        return True
    for key, today in ZONES.items():
        value = volume["metadata"]["labels"].get(key)
        if value is not None and labels.get(key, labels.get(today)) not in value.split("__"):
            return False
    return True


def size(quantities):
    return to_units(quantities["storage"])


def found(storage, claims, node):
    taken = set()
    for claim in sorted(claims, key=lambda one: size(one["spec"]["resources"]["requests"])):
        best = None
        for volume in sorted(storage.all("PersistentVolume"), key=lambda one: one["metadata"]["name"]):
            spec = volume["spec"]
            if (
                volume["metadata"]["name"] not in taken
                and "claimRef" not in spec
                and volume["status"]["phase"] == "Available"
                and spec["storageClassName"] == claim["spec"]["storageClassName"]
                and set(claim["spec"]["accessModes"]) <= set(spec["accessModes"])
                and size(spec["capacity"]) >= size(claim["spec"]["resources"]["requests"])
                and reached(volume, node)
                and (best is None or size(spec["capacity"]) < size(best["spec"]["capacity"]))
            ):
                best = volume
        if best is not None:
            taken.add(best["metadata"]["name"])
        elif not makes(storage, claim, node):
            return False
    return True


def makes(storage, claim, node):
    cls = storage.named("StorageClass", claim["spec"]["storageClassName"])
    if cls["provisioner"] == "kubernetes.io/no-provisioner":
        return False
    terms = cls.get("allowedTopologies", ())
    return not terms or any(
        all(node["metadata"]["labels"].get(one["key"]) in one["values"] for one in term["matchLabelExpressions"])
        for term in terms
    )


def running(storage, on=None):
    for pod in storage.all("Pod"):
        node = pod["spec"].get("nodeName")
        if node and (on is None or node == on):
            yield pod


def alone(storage, pod):
    mine = {name for name, claim in storage.claims_of(pod) if "ReadWriteOncePod" in claim["spec"]["accessModes"]}
    return all(mine.isdisjoint(name for name, _ in storage.claims_of(other)) for other in running(storage))


def handles(storage, pod):
    for name, claim in storage.claims_of(pod):
        if claim is None:
            continue
        volume = storage.named("PersistentVolume", claim["spec"].get("volumeName", ""))
        if volume is not None and "csi" in volume["spec"]:
            yield volume["spec"]["csi"]["volumeHandle"]
        elif volume is None and waits(storage, claim):
            cls = storage.named("StorageClass", claim["spec"]["storageClassName"])
            if cls["provisioner"] == DRIVER:
                yield f"{DRIVER}-{name}"


def attached(storage, pod, node):
    own = set(handles(storage, pod))
    there = {one for other in running(storage, node["metadata"]["name"]) for one in handles(storage, other)}
    return len(own | there) if own - there else 0


def limit(storage, node):
    found = storage.named("CSINode", node["metadata"]["name"])
    count = found["spec"]["drivers"][0].get("allocatable", {}).get("count") if found is not None else None
    return 10**9 if count is None else count
