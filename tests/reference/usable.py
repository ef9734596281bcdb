"""Which part of a node's idle GPUs is of use, device by device and pod by pod, as the decision says it in words."""

from fractions import Fraction
from itertools import count


def usable(free, devices, pods):
    """Thousandths of GPUs, summed over pods: half of it for the first such pod, half for as many as fit.

    Args:
        free: resource -> amount, GPUs apart.
        devices: thousandths that are left of each device.
        pods: (request without GPUs, devices wanted, thousandths of each; 0 devices = none).
    """
    total = Fraction(0)
    for request, wanted, size in pods:
        if not _fits(free, devices, request, wanted, size):
            continue
        if not wanted:
            total += sum(devices)
            continue
        first = sum(left for left in devices if left >= size)
        total += Fraction(first + _many(free, devices, request, wanted, size) * wanted * size, 2)
    return total


def _fits(free, devices, request, wanted, size):
    return all(free[name] >= amount for name, amount in request.items()) and sum(d >= size for d in devices) >= wanted


def _many(free, devices, request, wanted, size):
    """How many fit by amounts, and by pieces of devices."""
    pieces = sum(left // size for left in devices)
    return next(
        n
        for n in count()
        if n * wanted + wanted > pieces or any((n + 1) * amount > free[name] for name, amount in request.items())
    )
