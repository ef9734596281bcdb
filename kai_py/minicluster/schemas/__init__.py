"""What the fields of the built-in kinds are: names, types, list keys.

``builtin.json`` is made by :mod:`extract` from a running kube-apiserver; nothing in it is written by hand. Must not
know what a field *means*: that is ``rules``.
"""
