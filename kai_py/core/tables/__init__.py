"""The snapshot: frozen columns about nodes and their topologies, pods, pod classes, podgroups and queues.

Checks shapes once, when a snapshot is sealed; inside the core nobody checks again. Must not hold anything that
changes during a cycle (that is ``state``), and must not know how rows were made (that is ``kai_py.cluster``).
"""
