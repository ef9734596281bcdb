"""Asks for the volumes that pods get with their nodes, before these are bound, and tells when they are there.

What Kubernetes' volume controller and the provisioners read is kube-scheduler's (VolumeBinding, PreBind): a volume that
exists is reserved by its ``claimRef``, one that is to be made is asked for by an annotation of its claim. Nothing is
taken back when a pod does not start after all: the claim keeps its volume, and the next try goes where that is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from kai_py.api.decode import decode
from kai_py.api.storage import PersistentVolume, PersistentVolumeClaim
from kai_py.cluster.volumes.book import VolumeBook
from kai_py.cluster.volumes.matching import BOUND_BY_CONTROLLER, SELECTED_NODE, is_bound
from kai_py.cluster.volumes.uses import Name
from kai_py.core.result import Bind
from kai_py.errors import ApiError, ClaimRefusedError
from kai_py.kube.writer import Writer
from kai_py.operators.kinds import VOLUME_CLAIMS, VOLUMES

#: So long a volume may take to be bound, or made; kube-scheduler's default, seconds.
TIMEOUT: Final = 600.0
#: So long the watch may take to show what we wrote, in seconds.
_SHOWN_WITHIN: Final = 1.0


class VolumeKeeper:
    """Writes what was decided about volumes.

    Args:
        book: what is known of volumes; every answer goes there at once.
        writer: the door to the API server.
    """

    def __init__(self, book: VolumeBook, writer: Writer) -> None:
        self._book = book
        self._writer = writer

    async def ask(self, bind: Bind) -> None:
        """Reserve the volumes of a pod, or ask for them to be made on its node.

        Raises:
            ClaimRefusedError: somebody else has one meanwhile, or it cannot be written; says why.
            LeaseLostError: we must not write.
        """
        for claim, volume in bind.volumes:
            try:
                await (self._reserve(claim, volume) if volume else self._select(claim, bind.node))
            except ApiError as error:
                raise ClaimRefusedError(f"PersistentVolumeClaim {claim}: {error}") from error

    async def _reserve(self, text: str, name: str) -> None:
        claim, volume = self._claim(text), self._book.volume(name)
        if volume is None:
            raise ClaimRefusedError(f"PersistentVolumeClaim {text}: there is no PersistentVolume {name} any more")
        reference = {
            "apiVersion": VOLUME_CLAIMS.api_version,
            "kind": VOLUME_CLAIMS.kind,
            "namespace": claim.metadata.namespace,
            "name": claim.metadata.name,
            "uid": claim.metadata.uid,
        }
        meta = {
            "uid": volume.metadata.uid,
            "resourceVersion": volume.metadata.resource_version,
            "annotations": {BOUND_BY_CONTROLLER: "yes"},
        }
        patch = {"metadata": meta, "spec": {"claimRef": reference}}
        self._book.put(decode(PersistentVolume, await self._writer.merge(VOLUMES, "", name, patch)))

    async def _select(self, text: str, node: str) -> None:
        claim = self._claim(text)
        if claim.metadata.annotations.get(SELECTED_NODE) == node:
            return
        meta = {
            "uid": claim.metadata.uid,
            "resourceVersion": claim.metadata.resource_version,
            "annotations": {SELECTED_NODE: node},
        }
        answer = await self._writer.merge(VOLUME_CLAIMS, *claim.metadata.key, {"metadata": meta})
        self._book.put(decode(PersistentVolumeClaim, answer))

    def _claim(self, text: str) -> PersistentVolumeClaim:
        claim = self._book.claims.get(_name(text))
        if claim is None:
            raise ClaimRefusedError(f"PersistentVolumeClaim {text} is gone")
        return claim

    def missing(self, bind: Bind, waited: float) -> str:
        """A claim that still waits for its volume; empty when all have theirs.

        Args:
            bind: the decision.
            waited: seconds since its volumes were asked for.

        Raises:
            ClaimRefusedError: it waits in vain; says why.
        """
        for text, volume in bind.volumes:
            claim = self._claim(text)
            if is_bound(claim):
                continue
            if waited > TIMEOUT:
                raise ClaimRefusedError(f"PersistentVolumeClaim {text} was not bound within {TIMEOUT:g} seconds")
            selected = claim.metadata.annotations.get(SELECTED_NODE)
            if not volume and selected != bind.node and waited > _SHOWN_WITHIN:
                raise ClaimRefusedError(f"PersistentVolumeClaim {text}: no volume could be made on {bind.node}")
            return text
        return ""


def claims_of(binds: Iterable[Bind]) -> list[Name]:
    """Claims that get volumes with these decisions."""
    return [_name(text) for bind in binds for text, _ in bind.volumes]


def _name(text: str) -> Name:
    namespace, _, name = text.partition("/")
    return namespace, name
