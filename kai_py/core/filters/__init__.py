"""Hard constraints, one file each: which pod class may go to which node, and if not, why.

A filter returns a mask over nodes and owns one reason code. The order of :data:`FILTERS` is the order in which
a node's first reason is reported. Must not look at scores or at the ledger, except for ``resources``.
"""
