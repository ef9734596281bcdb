"""What devices say about their nodes: an attribute on which all devices of a node agree is as good as a label of it."""

from __future__ import annotations

from collections.abc import Iterable

from kai_py.core.dra.devices import Attribute, Device, Slice

#: A driver and its pool.
_Pool = tuple[str, str]


def labels_by_node(slices: Iterable[Slice], key: str) -> dict[str, str]:
    """Node -> the value of an attribute.

    A node has one if the devices that are its own and have the attribute all have the same value. Of a pool the
    newest generation counts. Devices that several nodes see say nothing about any of them.

    Args:
        slices: all there are.
        key: the attribute's full name, ``gpu.nvidia.com/nvlinkDomain``: drivers may leave out their own part of it.
    """
    slices = list(slices)
    newest: dict[_Pool, int] = {}
    for one in slices:
        pool = one.driver, one.pool
        newest[pool] = max(newest.get(pool, 0), one.generation)
    found: dict[str, set[str]] = {}
    for one in slices:
        if one.generation < newest[one.driver, one.pool]:
            continue
        for device in one.devices:
            reach = device.reach or one.reach
            value = _value(device, key)
            if reach is not None and reach.node and value:
                found.setdefault(reach.node, set()).add(value)
    return {node: next(iter(values)) for node, values in found.items() if len(values) == 1}


def _value(device: Device, key: str) -> str:
    """The value as text; empty if there is none, or several."""
    domain, _, name = key.partition("/")
    said = device.attributes.get(key)
    if said is None and domain == device.driver:
        said = device.attributes.get(name)
    return _text(said) if said is not None and not said.many and len(said.values) == 1 else ""


def _text(attribute: Attribute) -> str:
    (value,) = attribute.values
    return str(value).lower() if isinstance(value, bool) else str(value)
