"""Programs that bring a cluster to life: fake kubelets, workload controllers, node pools.

A worker is a coroutine function that takes the :class:`~kai_py.minicluster.storage.Storage` and runs until it is
cancelled; it is registered with ``MiniCluster(workers=[...])``. It sees and changes the cluster through the storage's
verbs only, so it is refused whatever a real client would be refused. Must not reach into ``store``, and must not know
the scheduler. An exception that a worker lets out ends with the cluster, and is raised there.
"""
