"""The core: a snapshot of the cluster goes in, decisions come out.

PURE. numpy, scipy and the standard library; no clock, log, environment, Kubernetes client or thread. Exactly one
function is called from outside: :func:`kai_py.core.cycle.run_cycle`. What is undecidable is a value (a
``Diagnosis``), never an exception.
"""
