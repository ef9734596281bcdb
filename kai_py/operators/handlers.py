"""kopf's handlers: what has a life cycle of its own. Each translates, calls, and returns."""

from __future__ import annotations

from typing import Any, Final

import kopf

from kai_py.errors import InputError
from kai_py.operators.kinds import PODGROUPS, QUEUES, TOPOLOGIES
from kai_py.operators.shell import Shell

#: Pause before credentials are read again that have been refused; seconds.
LOGIN_RETRY: Final = 1.0


def registry() -> kopf.OperatorRegistry:
    """All handlers of the scheduler."""
    handlers = kopf.OperatorRegistry()
    given: dict[str, Any] = {}

    @kopf.on.startup(registry=handlers, errors=kopf.ErrorsMode.PERMANENT)
    async def start(memo: Shell, settings: kopf.OperatorSettings, **_: Any) -> None:
        configure(settings)
        await memo.start()

    @kopf.on.cleanup(registry=handlers)
    async def stop(memo: Shell, **_: Any) -> None:
        await memo.stop()

    @kopf.on.login(registry=handlers)
    async def login(memo: Shell, **_: Any) -> kopf.ConnectionInfo:
        # kopf asks again when the server has refused what it had; the same once more would end it for good.
        try:
            found = await memo.client.credentials(refused=given)
        except InputError as error:
            raise kopf.TemporaryError(str(error), delay=LOGIN_RETRY) from error
        if found == given:
            raise kopf.TemporaryError("credentials were refused, and there are no others yet", delay=LOGIN_RETRY)
        given.clear()
        given.update(found)
        return kopf.ConnectionInfo(**found)

    @kopf.on.probe(id="leader", registry=handlers)
    def leader(memo: Shell, **_: Any) -> bool:
        return memo.leading()

    @kopf.on.probe(id="staleness", registry=handlers)
    def staleness(memo: Shell, **_: Any) -> float:
        return memo.staleness

    @kopf.on.event(QUEUES.group, QUEUES.version, QUEUES.plural, registry=handlers)
    def queue(type: str | None, body: kopf.Body, memo: Shell, **_: Any) -> None:  # noqa: A002  # kopf's name
        if type == "DELETED":
            memo.intake.drop_queue(body.metadata.name or "")
        else:
            memo.intake.put_queue(dict(body))

    @kopf.on.event(PODGROUPS.group, PODGROUPS.version, PODGROUPS.plural, registry=handlers)
    def podgroup(type: str | None, body: kopf.Body, memo: Shell, **_: Any) -> None:  # noqa: A002  # kopf's name
        if type == "DELETED":
            memo.intake.drop_podgroup((body.metadata.namespace or "", body.metadata.name or ""))
        else:
            memo.intake.put_podgroup(dict(body))

    @kopf.on.event(TOPOLOGIES.group, TOPOLOGIES.version, TOPOLOGIES.plural, registry=handlers)
    def topology(type: str | None, body: kopf.Body, memo: Shell, **_: Any) -> None:  # noqa: A002  # kopf's name
        if type == "DELETED":
            memo.intake.drop_topology(body.metadata.name or "")
        else:
            memo.intake.put_topology(dict(body))

    return handlers


def configure(settings: kopf.OperatorSettings) -> None:
    """Kopf as we need it: it watches and calls, and writes nothing on its own account."""
    settings.posting.enabled = False
    settings.watching.server_timeout = 600
    settings.watching.client_timeout = 660
    settings.watching.reconnect_backoff = 1.0
    settings.networking.connect_timeout = 10
    settings.networking.request_timeout = 60
    settings.peering.standalone = True
