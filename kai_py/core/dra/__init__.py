"""Dynamic resource allocation: which devices satisfy the claims of a pod.

Devices, pools, CEL selectors, counters, capacities and constraints of ``resource.k8s.io/v1``: devices and their pools
as sealed tables, what is taken of them as a ledger, and the allocator that turns claims into devices of a node or into
a reason. Claims and devices come in as values of its own; of nodes it knows only their table. Must not know API objects
or queues, nor decide which node or pod comes first.
"""
