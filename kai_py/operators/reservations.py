"""Has whole GPUs held for pods that share them, and shows these pods their devices before they are bound."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
import structlog

from kai_py.admission.shared_gpus import configmaps_of
from kai_py.api.decode import convert
from kai_py.api.keys import RECEIVED_TYPE_ANNOTATION, SHARED_GPU_CONFIGMAP_ANNOTATION, SHOWN_DEVICES_ANNOTATION
from kai_py.api.pod import Pod
from kai_py.cluster.claim_objects import Name
from kai_py.cluster.decisions import pod_of
from kai_py.cluster.encode.shares import device_memory, share_of
from kai_py.cluster.reservations import Reservation, Seat, name_of
from kai_py.cluster.store import Store
from kai_py.core.result import Bind, Reason, ReasonCode
from kai_py.core.tables.pods import PodKey
from kai_py.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    ShareRefusedError,
)
from kai_py.kube.pods import Outcome, Result
from kai_py.kube.writer import Writer
from kai_py.operators.kinds import CONFIG_MAPS, PODS
from kai_py.operators.reservation_pods import config_map, portion_of, reservation_pod, shown
from kai_py.settings.model import Settings

_log = structlog.get_logger()


class ReservationKeeper:
    """Writes for pods that share GPUs, up to their bindings.

    Nothing is taken back when a pod does not start after all: a reservation pod that nobody needs is swept
    (``operators.spare_reservations``), and a ConfigMap goes with its pod.

    Args:
        store: the memory.
        writer: the door to the API server.
        settings: those in force; asked each time.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        settings: Callable[[], Settings] = Settings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._book = store.reservations
        self._store = store
        self._writer = writer
        self._settings = settings
        #: Pods that were looked at: the ConfigMaps that they need, and the part of each device that they get.
        self._looked_at: dict[PodKey, tuple[tuple[str, ...], str]] = {}

    def needs(self, bind: Bind) -> bool:
        """Whether devices have to be held for a pod before it is bound."""
        return bool(bind.gpu_groups) and self._book.enabled

    def names(self, binds: Iterable[Bind]) -> list[Name]:
        """The reservation pods that stand for the devices of these pods, or will."""
        names = []
        for seat in (seat for bind in binds if self.needs(bind) for seat in seats_of(bind)):
            there = self._book.at(seat)
            names.append((self._book.namespace, there.key.name if there is not None else name_of(seat)))
        return names

    # -- before the bindings -----------------------------------------------------------------------

    async def prepare(self, bind: Bind) -> None:
        """Look whether a pod can be shown its devices, and have them held.

        Raises:
            ShareRefusedError: they cannot be had, or not be shown; says why.
            LeaseLostError: we must not write.
        """
        key = pod_of(bind)
        try:
            self._looked_at[key] = await self._look_at(key, bind.node)
            for seat in seats_of(bind):
                await self.reserve(seat)
        except ApiError as error:
            raise ShareRefusedError(f"pod {key}: {error}") from error

    async def _look_at(self, key: PodKey, node: str) -> tuple[tuple[str, ...], str]:
        manifest = await self._writer.manifest_of(*key)
        if manifest is None:
            raise ShareRefusedError(f"pod {key} is gone")
        configmaps = configmaps_of(manifest)
        if not configmaps:
            raise ShareRefusedError(
                f"pod {key} would not see its device: no container takes NVIDIA_VISIBLE_DEVICES from the ConfigMap "
                f"that its annotation {SHARED_GPU_CONFIGMAP_ANNOTATION} names; are there webhooks? Make it anew"
            )
        share = share_of(convert(Pod, {"metadata": manifest["metadata"]}))
        if share is None:
            raise ShareRefusedError(f"pod {key} asks for no part of a GPU any more")
        return configmaps, portion_of(share, device_memory(self._store.nodes.labels_of(node)))

    async def reserve(self, seat: Seat, *, again: bool = False) -> None:
        """Have a device held. Asking twice makes no second pod: its name is that of the device.

        Args:
            seat: the device.
            again: those who share it already are known, and what they were shown.

        Raises:
            ShareRefusedError: that is not possible; says why.
            ApiError: the server refuses for other reasons.
            LeaseLostError: we must not write.
        """
        if (there := self._book.at(seat)) is not None and there.stands:
            return
        settings = self._settings().gpu_reservation
        if not again and any(self._runs(user) for user in self._book.users(seat)):
            raise ShareRefusedError(f"nothing stands for device {seat.group} on {seat.node} any more", blame=True)
        namespace = self._book.namespace
        pod = reservation_pod(seat, self._book.maker, namespace, settings)
        try:
            made = msgspec.json.decode(await self._writer.create(PODS, pod))
        except ConflictError:  # our own: an answer was lost, or another pod of this podgroup was faster
            made = await self._writer.manifest_of(namespace, name_of(seat))
        except NotFoundError as error:
            raise ShareRefusedError(f"no GPU can be reserved: {error}") from error
        except (ForbiddenError, InvalidError) as error:
            raise ShareRefusedError(f"no GPU can be reserved in namespace {namespace}: {error}") from error
        if made is not None and self._book.at(seat) is None:
            # At once, and not when the watch shows it: meanwhile its device would count as free.
            self._store.put_pod(convert(Pod, made), self._clock())
        _log.info("device reserved", node=seat.node, device=seat.group, pod=name_of(seat))

    def _runs(self, key: PodKey) -> bool:
        facts = self._store.pods.facts.get(key)
        return facts is not None and bool(facts.bound)

    def missing(self, bind: Bind, waited: float) -> Reason | None:
        """What a pod waits for until its devices are known; None when they are.

        Args:
            bind: the decision.
            waited: seconds since they were asked for.

        Raises:
            ShareRefusedError: it waits in vain; says why.
        """
        if not self.needs(bind):
            return None
        known: dict[str, Seat] = {}
        for seat in seats_of(bind):
            device = self._device(seat, waited)
            if device is None:
                name = f"{self._book.namespace}/{name_of(seat)}"
                return Reason(ReasonCode.SHARE_RESERVED, {"node": seat.node, "reservation": name})
            if device in known:
                raise ShareRefusedError(f"GPU {device} of {seat.node} was given out twice", blame=True)
            known[device] = seat
        return None

    def _device(self, seat: Seat, waited: float) -> str | None:
        """The device of a seat; None if it is not known yet."""
        there = self._book.at(seat)
        timeout = self._settings().gpu_reservation.timeout.seconds
        if there is None:
            raise ShareRefusedError(f"reservation pod {name_of(seat)} on {seat.node} was deleted")
        if there.failed:
            raise ShareRefusedError(f"reservation pod {there.key.name} on {seat.node}: {there.failed}", blame=True)
        if there.leaving:
            raise ShareRefusedError(f"reservation pod {there.key.name} on {seat.node} is being deleted")
        if not there.device:
            if waited > timeout:
                late = f"has not said its device within {timeout:g} seconds"
                raise ShareRefusedError(f"reservation pod {there.key.name} on {seat.node} {late}", blame=True)
            return None
        if (why := self._unusable(there)) is not None:
            raise ShareRefusedError(why, blame=True)
        return there.device

    def _unusable(self, there: Reservation) -> str | None:
        """Why a device must not be shown to anybody: somebody was told something else."""
        if (other := self._book.elsewhere(there.seat, there.device)) is not None:
            return f"GPU {there.device} of {there.seat.node} stands for {there.seat.group} and for {other.group}"
        devices = self._book.shown.get(there.seat)
        if devices is not None and there.device not in devices:
            return f"device {there.seat.group} of {there.seat.node} has become another GPU, {there.device}"
        return None

    # -- with the bindings -------------------------------------------------------------------------

    async def show(self, bind: Bind) -> Result | dict[str, str | None]:
        """Write down which devices a pod sees.

        Returns:
            Annotations for the pod, or why it cannot be shown.

        Raises:
            ApiError: the server refuses.
            LeaseLostError: we must not write.
        """
        key = pod_of(bind)
        configmaps, portion = self._looked_at.get(key, ((), ""))
        try:
            devices = [self._device(seat, 0.0) for seat in seats_of(bind)]
        except ShareRefusedError as error:
            return Result(Outcome.CONFLICT, str(error))
        if not configmaps or None in devices:
            return Result(Outcome.CONFLICT, f"the devices of pod {key} are not known any more")
        known = [device for device in devices if device is not None]
        settings = self._settings().gpu_reservation
        data = shown(known, portion, cdi=settings.cdi)
        for number, configmap in enumerate(configmaps):
            content = {} if number else data
            if not await self._write(key, configmap, content):
                return Result(Outcome.CONFLICT, f"ConfigMap {configmap} belongs to somebody else")
        for seat in seats_of(bind):
            self._book.tell(seat, frozenset(known))
        return {SHOWN_DEVICES_ANNOTATION: ",".join(known), RECEIVED_TYPE_ANNOTATION: "Fraction"}

    async def _write(self, key: PodKey, name: str, data: Mapping[str, str]) -> bool:
        """Write a ConfigMap of a pod, over what an earlier try has left; False if it is another's."""
        body = config_map(key, name, dict(data))
        try:
            await self._writer.create(CONFIG_MAPS, body)
        except ConflictError:
            tests: dict[str, Any] = {"/metadata/ownerReferences/0/uid": key.uid}
            try:
                await self._writer.patch_where(CONFIG_MAPS, key.namespace, name, tests, {"/data": dict(data)})
            except (InvalidError, ConflictError):
                return False
        return True

    def done(self, key: PodKey) -> None:
        """A pod was bound, or will not be."""
        self._looked_at.pop(key, None)


def seats_of(bind: Bind) -> list[Seat]:
    """The devices of a pod, with their node."""
    return [Seat(bind.node, group) for group in bind.gpu_groups]
