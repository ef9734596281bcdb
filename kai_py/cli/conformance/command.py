"""``kai-py conformance``."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from kai_py.api.keys import DEFAULT_QUEUE, NVIDIA_GPU, SCHEDULER_NAME
from kai_py.cli.conformance.checks import CHECKS, Check
from kai_py.cli.conformance.evidence import Evidence, Requirement, Status, write
from kai_py.cli.conformance.stage import Terms, Unmet, Untestable, accelerators, staged
from kai_py.cli.failures import Failure
from kai_py.cli.live import connected
from kai_py.cli.options import Context, Kubeconfig
from kai_py.cli.output import Table, print_tables
from kai_py.errors import ApiError
from kai_py.kube.client import ApiClient

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Show what Kubernetes AI Conformance asks of a scheduler."
)


@app.callback()
def conformance() -> None:
    """Show what Kubernetes AI Conformance asks of a scheduler."""


@app.command("run")
def run(
    report: Annotated[Path, typer.Option(metavar="DIR", file_okay=False, help="Where the evidence is written.")],
    scheduler_name: Annotated[str, typer.Option(metavar="NAME", help="The scheduler to test.")] = SCHEDULER_NAME,
    queue: Annotated[str, typer.Option(metavar="NAME", help="The queue of all test pods.")] = DEFAULT_QUEUE,
    resource: Annotated[str, typer.Option(metavar="NAME", help="Accelerators of a device plugin.")] = NVIDIA_GPU,
    patience: Annotated[float, typer.Option(min=1, help="Seconds for what should happen.")] = 120.0,
    quiet: Annotated[float, typer.Option(min=0, help="Seconds for which what must not happen is watched.")] = 10.0,
    kubeconfig: Kubeconfig = None,
    context: Context = None,
) -> None:
    """Test the current cluster, and write the evidence.

    The tests make namespaces of their own, and Jobs and claims in them; what they made is deleted. They need a cluster
    whose accelerators are free, and its Job controller. What the cluster lacks for a test is told as N/A.

    The report has the layout of a submission to github.com/cncf/k8s-ai-conformance: PRODUCT.yaml with the requirements
    that a scheduler owns, and tests/NAME/output.md with what was done and seen.

    For instance:

    kai-py conformance run --report conformance
    """
    terms = Terms(scheduler_name, queue, resource, patience, quiet)
    found = asyncio.run(_run(kubeconfig, context, terms, report))
    rows = [[one.requirement.id, one.requirement.level, one.status.value, one.note] for one in found]
    print_tables([Table("Conformance", ("REQUIREMENT", "LEVEL", "STATUS", "NOTE"), rows)], headers=True)
    if failed := [one for one in found if one.status is Status.FAILED]:
        evidence = [f"{one.requirement.id}: {one.note}" for one in failed]
        raise Failure(f"{len(failed)} of {len(found)} requirements are not met", evidence, f"Read {report}/tests")


async def _run(kubeconfig: str | None, context: str | None, terms: Terms, report: Path) -> list[Evidence]:
    async with connected(kubeconfig, context) as client:
        kubernetes, ours = str((await client.get_object("/version")).get("gitVersion", "")), version("kai-py")
        offered = await accelerators(client, terms.resource)
        begun = datetime.now(UTC).isoformat(timespec="seconds")
        # One after the other: they count what is free.
        found = [await _one(client, terms, requirement, check) for requirement, check in CHECKS]
    nodes = f"{sum(offered.values())} {terms.resource} on {len(offered)} nodes"
    tested = f"scheduler `{terms.scheduler}`, queue `{terms.queue}`"
    circumstances = f"Kubernetes {kubernetes}, kai-py {ours}, {tested}, {nodes}; begun {begun}."
    write(report, found, kubernetes=kubernetes, version=ours, circumstances=circumstances)
    return found


async def _one(client: ApiClient, terms: Terms, requirement: Requirement, check: Check) -> Evidence:
    evidence = Evidence(requirement)
    try:
        async with staged(client, terms, evidence) as stage:
            await check(stage)
    except Unmet as unmet:
        evidence.status, evidence.note = Status.FAILED, str(unmet)
    except Untestable as lack:
        evidence.status, evidence.note = Status.SKIPPED, str(lack)
    except ApiError as error:
        evidence.status, evidence.note = Status.FAILED, f"the API server: {error}"
    return evidence
