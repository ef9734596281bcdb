"""ConfigMaps that the scheduler writes for itself and its users."""

from __future__ import annotations

from typing import Any

from kai_py.errors import NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.writer import Writer
from kai_py.operators.kinds import CONFIG_MAPS


async def put_config_map(client: ApiClient, writer: Writer, namespace: str, name: str, data: dict[str, str]) -> None:
    """Create a ConfigMap, or replace it as it is now: a conflict is answered with the next writing.

    Raises:
        ApiError: the server does not answer, or refuses.
        LeaseLostError: we do not lead.
    """
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    try:
        there = await client.get_object(CONFIG_MAPS.path(namespace, name))
    except NotFoundError:
        await writer.create(CONFIG_MAPS, body)
        return
    metadata["resourceVersion"] = there["metadata"]["resourceVersion"]
    await writer.replace(CONFIG_MAPS, body)
