"""Workload kinds that are custom resources: their CRDs, and following them only while somebody serves them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final

import yaml

from kai_py.minicluster.kinds import CRDS, EVENTS
from kai_py.minicluster.refusals import RefusedError
from kai_py.minicluster.storage import Storage

from .mirror import Mirror, View

Object = dict[str, Any]

JOBSETS: Final = "jobsets.jobset.x-k8s.io"
PYTORCH_JOBS: Final = "pytorchjobs.kubeflow.org"
_MANAGED_BY: Final = "managedBy"


def workload_crds() -> list[Object]:
    """The CRDs of the custom workloads that have a controller here.

    They hold the fields that the controllers and the scheduler read, and no more: others are dropped, as with any CRD.
    """
    folder = files("kai_py.minicluster.workers") / "crds"
    found = sorted((file for file in folder.iterdir() if file.name.endswith(".yaml")), key=lambda file: file.name)
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in found]


def is_served(storage: Storage, kind: str) -> bool:
    """Whether there is a CRD of the kind: its name is how storages name the kind."""
    return storage.find(CRDS.key, kind) is not None


async def follow(storage: Storage, mirror: Mirror[View], kind: str) -> None:
    """Run a mirror of a custom kind whenever the kind is served, until cancelled."""
    while True:
        if not is_served(storage, kind):
            async for event in storage.watch(CRDS.key, fields=f"metadata.name={kind}"):
                if event.type != "DELETED":
                    break
        try:
            await mirror.run(storage)
        except RefusedError:
            if is_served(storage, kind):
                raise


def managed_by_another(owner: Object, controller: str) -> bool:
    """Whether a workload names another controller than this one."""
    return (owner["spec"].get(_MANAGED_BY) or controller) != controller


@contextmanager
def telling(storage: Storage, owner: Object, reason: str) -> Iterator[None]:
    """Tell in an Event about a workload what the cluster refused to its controller, which will try again."""
    try:
        yield
    except RefusedError as error:
        meta = owner["metadata"]
        name = f"{meta['name']}.{meta['uid'].partition('-')[0]}.{reason.lower()}"
        event = {
            "metadata": {"name": name, "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                **{key: meta[key] for key in ("name", "namespace", "uid")},
            },
            "type": "Warning",
            "reason": reason,
            "message": str(error),
            "source": {"component": owner["kind"].lower()},
        }
        before = storage.find(EVENTS.key, name, meta["namespace"])
        if before is None:
            storage.create(EVENTS.key, event)
        elif before["message"] != event["message"]:
            storage.patch(EVENTS.key, name, {"message": event["message"]}, meta["namespace"])
        raise
