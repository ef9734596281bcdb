"""Garbage collection in a process that holds a whole cluster."""

from __future__ import annotations

import gc


def set_memory_apart() -> None:
    """Keep the garbage collector from walking over what lives as long as we do.

    Measured with 20,000 running pods: a full collection in the middle of a cycle made it 150 ms instead of 70 ms.
    Without the memory, collections during a cycle cannot be measured, so they are not paused.
    """
    gc.collect()
    gc.freeze()
