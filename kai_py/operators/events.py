"""From the words of telemetry to the recorder of Events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kai_py.errors import Fault
from kai_py.kube.recorder import EventRecorder, Reference
from kai_py.telemetry.events import EventText, Regarding


class Events:
    """Tells users.

    Args:
        recorder: sends Events at its own pace.
        leading: whether we may tell users what is wrong with their objects.
    """

    def __init__(self, recorder: EventRecorder, *, leading: Callable[[], bool]) -> None:
        self._recorder = recorder
        self._leading = leading

    def tell(self, text: EventText) -> None:
        """Hand an Event to the recorder."""
        about = text.regarding
        regarding = Reference(about.api_version, about.kind, about.namespace, about.name, about.uid)
        self._recorder.record(regarding, text.reason, text.note, action=text.action, type=text.type)

    def complain(self, body: Mapping[str, Any], faults: Sequence[Fault]) -> None:
        """Tell the author of an object that it cannot be read."""
        if self._leading():
            meta = body["metadata"]
            names = str(meta.get("namespace", "")), str(meta["name"]), str(meta.get("uid", ""))
            about = Regarding(str(body["apiVersion"]), str(body["kind"]), *names)
            note = "; ".join(f"{fault.field}: {fault.message}" for fault in faults)
            self.tell(EventText(about, "Warning", "Malformed", "Reading", note))
