"""NUMA nodes of a machine: which of them a kubelet would give to a pod, by its Topology Manager's policy.

Arrays in, arrays out, for many machines at once. Must not know pods' places, nor change anything.
"""
