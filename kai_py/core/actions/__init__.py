"""The steps of a cycle: allocate, and later consolidate, reclaim, preempt, stale gang eviction.

An action reads the snapshot and works through a transaction. Actions do not know each other; what they share is
``context``.
"""
