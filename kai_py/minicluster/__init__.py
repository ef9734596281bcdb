"""A cluster in one process: an API server over HTTP, fake kubelets, the controllers a demo needs.

For the demo, the tests and laptops. Never easier than the real thing: where a real kube-apiserver refuses, it refuses.
Must not import the scheduler; the language of device selectors (``core.dra.cel``) is not one.
"""

from __future__ import annotations

from .cluster import MiniCluster, Worker
from .options import DeleteOptions
from .refusals import RefusedError
from .storage import Event, Storage

__all__ = ["DeleteOptions", "Event", "MiniCluster", "RefusedError", "Storage", "Worker"]
