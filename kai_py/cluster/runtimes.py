"""RuntimeClasses: which there are.

Admission has copied what a class costs and where it can run into the pods of it (``overhead``, ``nodeSelector``,
``tolerations``), so nothing of a class is read here but its name. A pod whose class is gone could be bound, but its
kubelet would never start it.
"""

from __future__ import annotations

from kai_py.api.runtime import RuntimeClass


class RuntimeBook:
    """All RuntimeClasses by name.

    Attributes:
        classes: as they are.
        complete: there are no others. Otherwise nobody may have let us read them, as long as there are none at all.
    """

    def __init__(self) -> None:
        self.classes: dict[str, RuntimeClass] = {}
        self.complete = False

    def put(self, runtime_class: RuntimeClass) -> bool:
        """Take in a class; tells whether it is new."""
        name = runtime_class.metadata.name
        new = name not in self.classes
        self.classes[name] = runtime_class
        return new

    def drop(self, name: str) -> bool:
        """Forget a class."""
        return self.classes.pop(name, None) is not None

    def lacks(self, name: str) -> bool:
        """Whether a class that a pod names does not exist; pods that name none have one."""
        return bool(name) and name not in self.classes and (self.complete or bool(self.classes))
