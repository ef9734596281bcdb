"""The pods that a workload's controller would make, so that one may ask about a manifest before it is applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from kai_py.api import keys
from kai_py.planning.manifests import group_and_kind

Json = dict[str, Any]
Manifest = Mapping[str, Any]


class Link(NamedTuple):
    """An owner between a pod and its workload, as far as rules read it."""

    version: str
    kind: str
    name: str
    annotations: Mapping[str, str] = {}
    spec: Mapping[str, Any] = {}


#: Of one part of a workload, so many pods are made at most.
MOST: Final = 200


class Sample(NamedTuple):
    """A pod as a controller would make it.

    Attributes:
        name: of the pod.
        template: of the pod: ``metadata`` and ``spec``.
        labels: what the controller adds.
        between: owners between the pod and the workload, nearest first.
        beside: other objects that controllers make and that a rule reads.
    """

    name: str
    template: Manifest
    labels: Mapping[str, str] = {}
    between: tuple[Link, ...] = ()
    beside: tuple[Json, ...] = ()


def samples(workload: Manifest) -> list[tuple[Json, list[Json], list[Json]]]:
    """The pods of a workload, each with its owners (nearest first, the workload last) and objects beside them.

    Args:
        workload: a manifest with uid; of an unknown kind it has no pods.
    """
    make = _MAKERS.get(group_and_kind(workload))
    return [_made(sample, workload) for sample in make(workload)] if make is not None else []


def _made(sample: Sample, workload: Manifest) -> tuple[Json, list[Json], list[Json]]:
    meta = workload["metadata"]
    owners: list[Json] = [dict(workload)]
    for link in reversed(sample.between):
        uid = f"{link.name}-{link.kind.lower()}"
        identity = {"name": link.name, "namespace": meta["namespace"], "uid": uid}
        own = {**identity, "annotations": dict(link.annotations), "ownerReferences": [_reference(owners[0])]}
        owners.insert(0, {"apiVersion": link.version, "kind": link.kind, "metadata": own, "spec": dict(link.spec)})
    said = sample.template.get("metadata") or {}
    metadata = {
        "name": sample.name,
        "namespace": meta["namespace"],
        "uid": f"{sample.name}-pod",
        "labels": {**(said.get("labels") or {}), **sample.labels},
        "annotations": dict(said.get("annotations") or {}),
        "ownerReferences": [_reference(owners[0])],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": dict(sample.template.get("spec") or {})}
    return pod, owners, [dict(one) for one in sample.beside]


def _reference(owner: Manifest) -> Json:
    meta = owner["metadata"]
    identity = {"name": meta["name"], "uid": meta["uid"]}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **identity, "controller": True}


def _at(value: object, *steps: str) -> Any:
    for step in steps:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _count(value: object, default: int = 1) -> int:
    number = value if isinstance(value, int) and not isinstance(value, bool) else default
    return max(0, min(number, MOST))


def _name(workload: Manifest) -> str:
    return str(workload["metadata"]["name"])


def _maps(value: object) -> list[Manifest]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


# -- kinds ---------------------------------------------------------------------------------------------


def _replicas(
    count: str, *template: str, between: tuple[tuple[str, str], ...] = (), index_label: str = ""
) -> Callable[[Manifest], Any]:
    """Equal pods from one template, in which owners stand between; some kinds tell them which of them they are."""

    def make(workload: Manifest) -> Iterator[Sample]:
        name = _name(workload)
        chain = tuple(Link(version, kind, name) for version, kind in between)
        for index in range(_count(_at(workload, "spec", count))):
            labels = {keys.POD_TEMPLATE_HASH_LABEL: "0"} if ("apps/v1", "ReplicaSet") in between else {}
            if index_label and _at(workload, "spec", "completionMode") in (None, "Indexed"):
                labels[index_label] = str(index)
            yield Sample(f"{name}-{index}", _at(workload, "spec", *template) or {}, labels, chain)

    return make


def _training(specs: str) -> Callable[[Manifest], Iterator[Sample]]:
    def make(workload: Manifest) -> Iterator[Sample]:
        for role, spec in (_at(workload, "spec", specs) or {}).items():
            for index in range(_count(_at(spec, "replicas"))):
                labels = {
                    keys.KUBEFLOW_JOB_LABEL: _name(workload),
                    keys.KUBEFLOW_ROLE_LABEL: role.lower(),
                    keys.KUBEFLOW_REPLICA_TYPE_LABEL: role.lower(),
                    keys.KUBEFLOW_REPLICA_INDEX_LABEL: str(index),
                }
                yield Sample(f"{_name(workload)}-{role.lower()}-{index}", _at(spec, "template") or {}, labels)

    return make


def _jobset(workload: Manifest) -> Iterator[Sample]:
    for job in _maps(_at(workload, "spec", "replicatedJobs")):
        for replica in range(_count(job.get("replicas"))):
            name = f"{_name(workload)}-{job.get('name')}-{replica}"
            labels = {keys.JOBSET_JOB_LABEL: str(job.get("name")), keys.JOBSET_INDEX_LABEL: str(replica)}
            spec = _at(job, "template", "spec")
            for index in range(_count(_at(spec, "parallelism"))):
                between, own = (Link("batch/v1", "Job", name),), {keys.JOB_INDEX_LABEL: str(index)}
                yield Sample(f"{name}-{index}", _at(spec, "template") or {}, {**labels, **own}, between)


def _ray(*path: str) -> Callable[[Manifest], Iterator[Sample]]:
    def make(workload: Manifest) -> Iterator[Sample]:
        cluster, name = _at(workload, "spec", *path) or {}, _name(workload)
        chain = (Link("ray.io/v1", "RayCluster", name, spec=cluster),) if path else ()
        groups = [("headgroup", 1, cluster.get("headGroupSpec"))]
        groups += [
            (str(one.get("groupName")), _count(one.get("replicas"), 0) * _count(one.get("numOfHosts")), one)
            for one in _maps(cluster.get("workerGroupSpecs"))
        ]
        for group, count, spec in groups:
            for index in range(count):
                template = _at(spec, "template") or {}
                yield Sample(f"{name}-{group}-{index}", template, {keys.RAY_GROUP_LABEL: group}, chain)

    return make


def _leader_worker_set(workload: Manifest) -> Iterator[Sample]:
    template, name = _at(workload, "spec", "leaderWorkerTemplate") or {}, _name(workload)
    worker = template.get("workerTemplate") or {}
    for replica in range(_count(_at(workload, "spec", "replicas"))):
        for index in range(_count(template.get("size"))):
            labels = {keys.LWS_GROUP_INDEX_LABEL: str(replica), keys.LWS_WORKER_INDEX_LABEL: str(index)}
            leader = f"{name}-{replica}"
            if index == 0:
                sets: tuple[Link, ...] = (Link("apps/v1", "StatefulSet", name),)
                yield Sample(leader, template.get("leaderTemplate") or worker, labels, sets)
            else:
                sets = (
                    Link("apps/v1", "StatefulSet", leader),
                    Link("v1", "Pod", leader),
                    Link("apps/v1", "StatefulSet", name),
                )
                yield Sample(f"{leader}-{index}", worker, labels, sets)


def _knative(workload: Manifest) -> Iterator[Sample]:
    name, template = f"{_name(workload)}-00001", _at(workload, "spec", "template") or {}
    annotations = _at(template, "metadata", "annotations") or {}
    chain = (
        Link("apps/v1", "ReplicaSet", name),
        Link("apps/v1", "Deployment", name),
        Link("serving.knative.dev/v1", "Revision", name, annotations),
        Link("serving.knative.dev/v1", "Configuration", _name(workload)),
    )
    least = str(annotations.get(keys.KNATIVE_MIN_SCALE_ANNOTATION, "1"))
    for index in range(_count(int(least) if least.isdecimal() else 1)):
        labels = {keys.KNATIVE_REVISION_LABEL: name, keys.POD_TEMPLATE_HASH_LABEL: "0"}
        yield Sample(f"{name}-{index}", template, labels, chain)


def _grove(workload: Manifest) -> Iterator[Sample]:
    name, namespace = f"{_name(workload)}-0", workload["metadata"]["namespace"]
    cliques = _maps(_at(workload, "spec", "template", "cliques"))
    groups = []
    for clique in cliques:
        count, least = _at(clique, "spec", "replicas"), _at(clique, "spec", "minAvailable")
        pods = [f"{name}-{clique['name']}-{index}" for index in range(_count(count))]
        references = [{"namespace": namespace, "name": pod} for pod in pods]
        groups.append({"name": clique["name"], "minReplicas": least or count or 1, "podReferences": references})
    identity = {"name": name, "namespace": namespace, "uid": f"{name}-podgang"}
    spec = {"podgroups": groups}
    gang = {"apiVersion": "scheduler.grove.io/v1alpha1", "kind": "PodGang", "metadata": identity, "spec": spec}
    for clique, group in zip(cliques, groups, strict=True):
        between = (Link("grove.io/v1alpha1", "PodClique", f"{name}-{clique['name']}"),)
        template = {"metadata": {"labels": clique.get("labels") or {}}, "spec": _at(clique, "spec", "podSpec") or {}}
        for reference in group["podReferences"]:
            yield Sample(reference["name"], template, {keys.GROVE_PODGANG_LABEL: name}, between, (gang,))


def _spark(workload: Manifest) -> Iterator[Sample]:
    name = _name(workload)
    labels = {keys.SPARK_APP_LABEL: name, keys.SPARK_SELECTOR_LABEL: f"spark-{name}"}
    driver = f"{name}-driver"
    yield Sample(driver, {"metadata": _at(workload, "spec", "driver") or {}}, labels)
    for index in range(_count(_at(workload, "spec", "executor", "instances"))):
        template = {"metadata": _at(workload, "spec", "executor") or {}}
        yield Sample(f"{name}-exec-{index + 1}", template, labels, (Link("v1", "Pod", driver),))


def _one(*between: tuple[str, str]) -> Callable[[Manifest], Iterator[Sample]]:
    """One pod, from ``spec.template`` if there is one."""

    def make(workload: Manifest) -> Iterator[Sample]:
        name = _name(workload)
        chain = tuple(Link(version, kind, name) for version, kind in between)
        labels = {keys.POD_TEMPLATE_HASH_LABEL: "0"} if ("apps/v1", "ReplicaSet") in between else {}
        yield Sample(f"{name}-0", _at(workload, "spec", "template") or {}, labels, chain)

    return make


_SET: Final = ("apps/v1", "ReplicaSet")
_DEPLOYMENT: Final = ("apps/v1", "Deployment")

_MAKERS: Final[Mapping[tuple[str, str], Callable[[Manifest], Iterator[Sample]]]] = {
    ("apps", "Deployment"): _replicas("replicas", "template", between=(_SET,)),
    ("argoproj.io", "Rollout"): _replicas("replicas", "template", between=(_SET,)),
    ("apps", "ReplicaSet"): _replicas("replicas", "template"),
    ("apps", "StatefulSet"): _replicas("replicas", "template", index_label=keys.POD_INDEX_LABEL),
    ("apps", "DaemonSet"): _one(),
    ("batch", "Job"): _replicas("parallelism", "template", index_label=keys.JOB_INDEX_LABEL),
    ("batch", "CronJob"): _replicas("", "jobTemplate", "spec", "template", between=(("batch/v1", "Job"),)),
    ("jobset.x-k8s.io", "JobSet"): _jobset,
    ("kubeflow.org", "PyTorchJob"): _training("pytorchReplicaSpecs"),
    ("kubeflow.org", "TFJob"): _training("tfReplicaSpecs"),
    ("kubeflow.org", "XGBoostJob"): _training("xgbReplicaSpecs"),
    ("kubeflow.org", "JAXJob"): _training("jaxReplicaSpecs"),
    ("kubeflow.org", "MPIJob"): _training("mpiReplicaSpecs"),
    ("kubeflow.org", "Notebook"): _one(("apps/v1", "StatefulSet")),
    ("ray.io", "RayCluster"): _ray(),
    ("ray.io", "RayJob"): _ray("rayClusterSpec"),
    ("ray.io", "RayService"): _ray("rayClusterConfig"),
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"): _leader_worker_set,
    ("serving.knative.dev", "Service"): _knative,
    ("serving.kserve.io", "InferenceService"): _one(_SET, _DEPLOYMENT),
    ("machinelearning.seldon.io", "SeldonDeployment"): _one(_SET, _DEPLOYMENT),
    ("sparkoperator.k8s.io", "SparkApplication"): _spark,
    ("argoproj.io", "Workflow"): _one(),
    ("tekton.dev", "PipelineRun"): _one(("tekton.dev/v1", "TaskRun")),
    ("tekton.dev", "TaskRun"): _one(),
    ("kubevirt.io", "VirtualMachineInstance"): _one(),
    ("grove.io", "PodCliqueSet"): _grove,
}
