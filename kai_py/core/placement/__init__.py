"""From filters and scores to places: a node for a pod, nodes for a gang, whole or not at all.

Must not know queues: whoever asks has already passed the gates.
"""
