"""MPIJob: like other training jobs; its launcher may be made only when the workers run, and is not waited for then."""

from __future__ import annotations

from kai_py.api.keys import KUBEFLOW_JOB_LABEL, KUBEFLOW_ROLE_LABEL
from kai_py.podgrouper.kinds.base import document
from kai_py.podgrouper.kinds.kubeflow import all_replicas, divided, minimum_of
from kai_py.podgrouper.lineage import Ancestor, Lineage
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.traits import Context

_LAUNCHER = "launcher"


def mpi_job(lineage: Lineage, owner: Ancestor, context: Context) -> Membership:
    """The podgroup of the MPIJob.

    With ``launcherCreationPolicy: WaitForWorkersReady`` the launcher is not counted before it exists: the workers
    would wait for it, and it for them.
    """
    source = document(lineage, owner)
    # MPIJobs are defaulted in their controller's memory, not in the API.
    minimum = minimum_of(
        source, lambda: all_replicas(source, "mpiReplicaSpecs", "Launcher", "Worker", single="Launcher")
    )
    delayed = source.at("spec", "launcherCreationPolicy").text() == "WaitForWorkersReady"
    roles, absent = source.at("spec", "mpiReplicaSpecs"), tuple[str, ...]()
    if delayed and not _has_launcher(lineage, owner, context):
        launchers = roles.at("Launcher", "replicas").number(least=1) or 1
        minimum, absent = max(minimum - launchers, 0), ("Launcher",)
    # A launcher that works, too, has index 0.
    begin = 1 if source.at("spec", "runLauncherAsWorker").flag() else 0
    return divided(lineage, owner, context, roles, minimum, absent=absent, begin=begin)


def _has_launcher(lineage: Lineage, owner: Ancestor, context: Context) -> bool:
    labels = {KUBEFLOW_JOB_LABEL: owner.reference.name, KUBEFLOW_ROLE_LABEL: _LAUNCHER}
    itself = lineage.pod.metadata
    if itself.deletion_timestamp is None and all(itself.labels.get(key) == labels[key] for key in labels):
        return True
    launchers = context.surroundings.pods(itself.namespace, labels)
    return any(pod.deletion_timestamp is None for pod in launchers)
