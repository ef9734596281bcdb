"""DeviceTaintRule (``resource.k8s.io/v1beta2``): an administrator's taint on devices of any driver (KEP-5055)."""

from __future__ import annotations

from kai_py.api.meta import ObjectMeta, Record
from kai_py.api.resource import DeviceTaint


class DeviceTaintSelector(Record, frozen=True):
    """Devices by name. What is absent matches everything."""

    driver: str | None = None
    pool: str | None = None
    device: str | None = None


class DeviceTaintRuleSpec(Record, frozen=True):
    """A taint for all devices that are selected; without a selector those are all devices there are."""

    taint: DeviceTaint
    device_selector: DeviceTaintSelector | None = None


class DeviceTaintRule(Record, frozen=True):
    """A taint for devices, beside those that their drivers publish."""

    metadata: ObjectMeta
    spec: DeviceTaintRuleSpec
