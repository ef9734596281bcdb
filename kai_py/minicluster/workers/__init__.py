"""Programs that bring a cluster to life: fake kubelets, workload controllers, node controllers, device drivers.

A worker is a coroutine function that takes the :class:`~kai_py.minicluster.storage.Storage` and runs until it is
cancelled; it is registered with ``MiniCluster(workers=[...])``. It sees and changes the cluster through the storage's
verbs only, so it is refused whatever a real client would be refused. Must not reach into ``store``, and must not know
the scheduler. An exception that a worker lets out ends with the cluster, and is raised there.

::

    kubelets = Kubelets()
    async with MiniCluster(workers=[kubelets.run, *controllers()]) as cluster:
        pools.register(cluster.storage, pools.nodes("h100", 16))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kai_py.minicluster.storage import Storage

from .claims import Claims
from .clock import Clock, ManualClock, WallClock
from .custom import workload_crds
from .deployments import Deployments, ReplicaSets
from .devices import DeviceDrivers
from .jobs import Jobs
from .jobsets import JobSets
from .kubelets import Kubelets
from .node_lifecycle import NodeLifecycle
from .pod_groups import PodGroupProtection
from .pytorch_jobs import PyTorchJobs

__all__ = [
    "Claims",
    "Clock",
    "Deployments",
    "DeviceDrivers",
    "JobSets",
    "Jobs",
    "Kubelets",
    "ManualClock",
    "NodeLifecycle",
    "PodGroupProtection",
    "PyTorchJobs",
    "ReplicaSets",
    "WallClock",
    "controllers",
    "workload_crds",
]


def controllers(
    *, clock: Clock | None = None, job_backoff: float = 10.0
) -> tuple[Callable[[Storage], Awaitable[None]], ...]:
    """What a ``kube-controller-manager`` would do here, and the operators of JobSets and PyTorchJobs.

    Args:
        clock: whose time they live in; the wall's, if not said.
        job_backoff: seconds before a Job's first failed pod is made again.
    """
    return (
        Jobs(clock=clock, backoff=job_backoff).run,
        JobSets(clock=clock).run,
        PyTorchJobs(clock=clock).run,
        Deployments(clock=clock).run,
        ReplicaSets(clock=clock).run,
        Claims(clock=clock).run,
        PodGroupProtection(clock=clock).run,
        NodeLifecycle(clock=clock).run,
    )
