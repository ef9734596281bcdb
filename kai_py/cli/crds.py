"""``kai-py crds``."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Final

import typer
import yaml

from kai_py.api.crds import render
from kai_py.api.meta import PartialObject
from kai_py.cli.failures import Failure
from kai_py.cli.live import connected
from kai_py.cli.options import Context, Kubeconfig
from kai_py.kube.client import ApiClient
from kai_py.kube.resource import ResourceKind

app = typer.Typer(add_completion=False)

DEFINITIONS: Final = ResourceKind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", PartialObject, namespaced=False
)
_APPLY: Final = "application/apply-patch+yaml"
#: Who has written the definitions, for others who write them, too.
_MANAGER: Final = "kai-py"
#: So long a server may take to serve what was applied; seconds.
_PATIENCE: Final = 30.0


@app.command("crds")
def crds(
    apply: Annotated[
        bool,
        typer.Option(
            "--apply", help="Apply them to the cluster, on the server's side, and wait until they are served."
        ),
    ] = False,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Print the CustomResourceDefinitions of this version, or bring those of a cluster up to date.

    Objects stay as they are. Who has changed a field of a definition by hand loses that change.

    For instance:

    kai-py crds | kubectl diff -f -

    kai-py crds --apply
    """
    texts = render()
    if not apply:
        print("---\n".join(texts.values()), end="")
        return
    asyncio.run(_apply_all([yaml.safe_load(text) for text in texts.values()], kubeconfig, context))


async def _apply_all(definitions: list[dict[str, Any]], kubeconfig: str | None, context: str | None) -> None:
    async with connected(kubeconfig, context) as client:
        for definition in definitions:
            await _apply(client, definition)
            print(f"{definition['metadata']['name']} applied")


async def _apply(client: ApiClient, definition: dict[str, Any]) -> None:
    name, spec = definition["metadata"]["name"], definition["spec"]
    path = f"{DEFINITIONS.path('', name)}?fieldManager={_MANAGER}&force=true"
    await client.patch(path, definition, content_type=_APPLY)
    deadline = time.monotonic() + _PATIENCE
    while not await client.served(spec["group"], spec["versions"][0]["name"], spec["names"]["plural"]):
        if time.monotonic() > deadline:
            step = f"Ask the server why: kubectl describe crd {name}"
            raise Failure(f"{name} was applied but is not served after {_PATIENCE:g} seconds", next_step=step)
        await asyncio.sleep(0.2)
