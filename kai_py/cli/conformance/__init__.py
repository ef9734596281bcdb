"""``kai-py conformance``: what a scheduler owes to Kubernetes AI Conformance, shown on a running cluster.

A check acts as a user does and looks at what comes of it; it knows nothing of how the scheduler decides. It leaves
nothing behind but its report.
"""
