"""Device drivers without devices: what nodes offer to ResourceClaims, as real drivers publish it.

One module per kind of device; ``offers`` says what a node offers, ``classes`` holds the DeviceClasses, ``pools`` makes
ResourceSlices of devices. Pure: a node in, objects out; ``workers.devices`` writes them to the cluster. Names of
drivers, attributes, capacities and counters are those of the drivers named in each module, so that selectors written
for them select here, too. Must not know the scheduler.
"""

from __future__ import annotations

from .classes import device_classes
from .drivers import slices_for
from .offers import Offer, equip

__all__ = ["Offer", "device_classes", "equip", "slices_for"]
