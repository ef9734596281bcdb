"""Dynamic resource allocation: which devices a claim gets.

Devices and their pools as sealed tables, what is taken of them as a ledger, and the allocator that turns claims into
devices of one node or into a reason. Knows claims and devices as values of its own, selectors only through the
:class:`~kai_py.core.dra.selectors.Selector` protocol (``cel`` is one implementation), and of nodes only their table.
Must not decide which node or pod comes first (that is ``placement``), nor know how objects look on the wire (that is
``kai_py.cluster.devices``).
"""
