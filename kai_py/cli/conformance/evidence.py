"""The report: one ``output.md`` for each test, and the checklist that refers to them.

Layout and words of https://github.com/cncf/k8s-ai-conformance: ``PRODUCT.yaml`` and ``tests/<name>/output.md``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final

import yaml

Json = dict[str, Any]


class Status(Enum):
    """How a requirement is met, in the words of the checklist."""

    PASSED = "Implemented"
    FAILED = "Not Implemented"
    SKIPPED = "N/A"


@dataclass(frozen=True, slots=True)
class Requirement:
    """A line of the checklist.

    Attributes:
        id: as the programme has it.
        section: of the checklist.
        level: ``MUST`` or ``SHOULD``, in 1.35 and 1.36.
        test: the folder of its evidence.
        description: what a scheduler can show of it.
        remark: what a reviewer should know beside the result.
    """

    id: str
    section: str
    level: str
    test: str
    description: str
    remark: str = ""


@dataclass(slots=True)
class Evidence:
    """What has been done and seen for one requirement, as Markdown.

    Attributes:
        note: why the requirement is not met, or could not be tested.
    """

    requirement: Requirement
    status: Status = Status.PASSED
    note: str = ""
    lines: list[str] = field(default_factory=list)

    def section(self, title: str) -> None:
        """Begin a part of the test."""
        self.lines += [f"## {title}", ""]

    def say(self, text: str) -> None:
        """A sentence."""
        self.lines += [text, ""]

    def show(self, what: str, *objects: Json) -> None:
        """Objects as manifests."""
        text = yaml.safe_dump_all(objects, sort_keys=False).rstrip()
        self.lines += [f"{what}:", "", "```yaml", text, "```", ""]

    def table(self, rows: list[tuple[str, ...]]) -> None:
        """Rows of equally many columns; the first is the header."""
        head, *body = rows
        divider = tuple("---" for _ in head)
        self.lines += [*(f"| {' | '.join(row)} |" for row in (head, divider, *body)), ""]

    def text(self, circumstances: str = "") -> str:
        """The file; ``circumstances`` say where and when it was so."""
        title = f"# {self.requirement.test}\n\n{self.requirement.description}\n"
        title += f"\n{circumstances}\n" if circumstances else ""
        verdict = f"\n**Result: {self.status.value}.** {self.note}".rstrip()
        return "\n".join([title, *self.lines, verdict]) + "\n"


def write(folder: Path, found: list[Evidence], *, kubernetes: str, version: str, circumstances: str = "") -> None:
    """Write the report; files of an earlier one are replaced.

    Args:
        folder: made if it does not exist.
        found: one for each requirement.
        kubernetes: version of the cluster.
        version: of kai-py.
        circumstances: where and when all of it was seen; a paragraph.
    """
    for one in found:
        path = folder / "tests" / one.requirement.test / "output.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(one.text(circumstances), encoding="utf-8")
    text = yaml.safe_dump(_checklist(found, kubernetes, version), sort_keys=False, width=120)
    (folder / "PRODUCT.yaml").write_text(_HEADER + text, encoding="utf-8")


_HEADER: Final = (
    "# The part of the Kubernetes AI Conformance checklist that a scheduler owns, from `kai-py conformance run`.\n"
    "# A submission also needs the requirements of others, and the metadata of the platform.\n"
)


def _checklist(found: list[Evidence], kubernetes: str, version: str) -> Json:
    spec: dict[str, list[Json]] = {}
    for one in found:
        spec.setdefault(one.requirement.section, []).append(
            {
                "id": one.requirement.id,
                "description": one.requirement.description,
                "level": one.requirement.level,
                "status": one.status.value,
                "evidence": [f"tests/{one.requirement.test}/output.md"],
                "notes": " ".join(filter(None, (one.note, one.requirement.remark))),
            }
        )
    metadata = {"kubernetesVersion": kubernetes, "platformName": "kai-py", "platformVersion": version}
    return {"metadata": metadata, "spec": spec}
