"""Soft preferences, one file each: how good a node is for a pod class, in [0, 1].

:data:`SCORES` names them in order; the options weigh them. Must not exclude a node.
"""
