"""What a number was measured on, and how much memory it took."""

from __future__ import annotations

import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

Json = dict[str, Any]

_MIB = 1 << 20


def machine() -> Json:
    """Machine and versions, for the head of a report."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "kaiPy": version("kai-py"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "command": " ".join(["kai-py", *sys.argv[1:]]),
    }


def memory_mib(process: int | None = None) -> Json | None:
    """Resident memory of a process now and at its peak, in MiB; None where ``/proc`` does not tell.

    Args:
        process: its id; None is this one.
    """
    try:
        text = Path(f"/proc/{process or 'self'}/status").read_text(encoding="ascii")
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    if "VmRSS" not in fields:
        return None  # the process has ended and nobody has asked for its status
    return {"now": _mib(fields["VmRSS"]), "peak": _mib(fields["VmHWM"])}


def cpu_seconds(process: int) -> float | None:
    """What a process has used of CPUs, in user and kernel mode; None where ``/proc`` does not tell."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()  # the program's name may contain anything
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _mib(field: str) -> float:
    """``  1234 kB`` in MiB."""
    return round(int(field.split(maxsplit=1)[0]) * 1024 / _MIB, 1)
