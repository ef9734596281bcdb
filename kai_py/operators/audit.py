"""Audits: our memory of what kopf watches is compared with a list, since a deletion may have been missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from kai_py.errors import ApiError
from kai_py.kube.client import ApiClient
from kai_py.kube.listing import list_all
from kai_py.operators.grouping import LiveGrouping
from kai_py.operators.intake import Intake
from kai_py.operators.kinds import PODGROUPS, QUEUES, TOPOLOGIES

_log = structlog.get_logger()

#: From one audit to the next; seconds.
EVERY: Final = 60.0


class Audit:
    """Compares our memory of Queues, Topologies and PodGroups with what the server has.

    Args:
        client: the API server.
        intake: takes in what is there, and drops what is not.
        grouping: reads the default priorities.
        regroup: called when these have changed.
    """

    def __init__(
        self, client: ApiClient, intake: Intake, grouping: LiveGrouping, *, regroup: Callable[[], None]
    ) -> None:
        self._client = client
        self._intake = intake
        self._grouping = grouping
        self._regroup = regroup

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            try:
                await self.look()
            except ApiError as error:
                _log.warning("audit postponed", error=str(error))

    async def look(self) -> None:
        """List, and put right what differs.

        Raises:
            ApiError: something cannot be listed now; nothing has changed but the default priorities.
        """
        if await self._grouping.read_defaults(self._client):
            self._regroup()
        queues = await list_all(self._client, QUEUES)
        topologies = await list_all(self._client, TOPOLOGIES)
        podgroups = await list_all(self._client, PODGROUPS)
        for body in topologies:
            self._intake.put_topology(body)
        for body in queues:
            self._intake.put_queue(body)
        for body in podgroups:
            self._intake.put_podgroup(body)
        self._intake.retain(
            queues={body["metadata"]["name"] for body in queues},
            podgroups={(body["metadata"]["namespace"], body["metadata"]["name"]) for body in podgroups},
            topologies={body["metadata"]["name"] for body in topologies},
        )
