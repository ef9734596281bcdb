"""The mutable memory: what the watches said, what we assumed, and the snapshot that the core gets.

A single writer, no I/O. ``encode`` turns objects into rows; ``take()`` reuses what did not change.
"""
