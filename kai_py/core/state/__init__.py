"""What changes during a cycle: the ledger, and the transaction that is the only way to change it.

Every operation knows its own inverse, so undo is written once. Must not decide anything.
"""
