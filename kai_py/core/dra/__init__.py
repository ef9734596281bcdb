"""Dynamic resource allocation: which devices satisfy the claims of a pod.

Devices, pools, CEL selectors, counters, capacities and constraints of ``resource.k8s.io/v1``, as kube-scheduler 1.36
understands them. Must not know API objects, nodes' ledgers or queues: devices come in as values, and a choice of
devices goes out.
"""
