"""The openb trace: servers and pods of a production GPU cluster, and the arrivals of the FGD paper's experiment.

The trace is ``cluster-trace-gpu-v2023`` of alibaba/clusterdata; the experiment is that of "Beware of Fragmentation:
Scheduling GPU-Sharing Workloads with Fragmentation Gradient Descent" (USENIX ATC 2023).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from kai_py.errors import Fault, InputError

#: Thousandths of one GPU.
WHOLE: Final = 1000

_NODES: Final = "openb_node_list_gpu_node.csv"
_PODS: Final = "openb_pod_list_"


@dataclass(frozen=True)
class Server:
    """A node: millicores, MiB, GPUs and their model."""

    name: str
    cpu_milli: int
    memory_mib: int
    gpus: int
    model: str


@dataclass(frozen=True)
class Demand:
    """What a pod asks for.

    Attributes:
        gpus: how many GPUs it wants a part of.
        gpu_milli: thousandths of each; 1000 = whole ones.
        models: the GPU models that it accepts; () = any.
    """

    cpu_milli: int
    memory_mib: int
    gpus: int
    gpu_milli: int
    models: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Thousandths of GPUs in all."""
        return self.gpus * self.gpu_milli


def trace_names(folder: Path) -> tuple[str, ...]:
    """The traces in a folder, such as ``default``: what stands between ``openb_pod_list_`` and ``.csv``."""
    return tuple(sorted(file.stem.removeprefix(_PODS) for file in folder.glob(f"{_PODS}*.csv")))


def read_servers(folder: Path) -> tuple[Server, ...]:
    """The nodes of the paper.

    Raises:
        InputError: the file is missing or malformed; names file, line and column.
    """
    return tuple(
        Server(row.text("sn"), row.number("cpu_milli"), row.number("memory_mib"), row.number("gpu"), row.text("model"))
        for row in _rows(folder / _NODES, ("sn", "cpu_milli", "memory_mib", "gpu", "model"))
    )


def read_demands(folder: Path, trace: str) -> tuple[Demand, ...]:
    """The pods of a trace, in its order.

    Raises:
        InputError: the file is missing or malformed; names file, line and column.
    """
    columns = ("cpu_milli", "memory_mib", "num_gpu", "gpu_milli", "gpu_spec")
    return tuple(_demand(row) for row in _rows(folder / f"{_PODS}{trace}.csv", columns))


def arrivals(demands: Sequence[Demand], capacity: int, seed: int, *, load: float = 1.3) -> list[Demand]:
    """Who arrives, in order: all pods and random copies of them, as many as the load allows, shuffled.

    Args:
        demands: the pods of a trace.
        capacity: thousandths of GPUs of all nodes.
        seed: of the random numbers. The same seed gives the same arrivals on every machine.
        load: what arrives, as a multiple of the capacity.
    """
    random = Random(seed)  # noqa: S311  # an experiment, not a secret
    found, asked = list(demands), sum(one.total for one in demands)
    if not asked:
        return found
    # ``random()`` alone is promised to give the same numbers in every version of Python.
    while (asked := asked + (copy := found[int(random.random() * len(demands))]).total) <= load * capacity:
        found.append(copy)
    order = sorted((random.random(), place) for place in range(len(found)))
    return [found[place] for _, place in order]


class _Row:
    """A line of a file; knows where it stands."""

    def __init__(self, where: str, values: Mapping[str, str | None]) -> None:
        self._where = where
        self._values = values

    def text(self, column: str) -> str:
        return self._values[column] or ""

    def number(self, column: str) -> int:
        text = self.text(column)
        if not (text.isascii() and text.isdecimal() and len(text) < 16):
            raise self.fault(column, f"should be a whole number, not {text!r}")
        return int(text)

    def fault(self, column: str, message: str) -> InputError:
        return InputError([Fault(self._where, column, message)])


def _demand(row: _Row) -> Demand:
    gpus, milli = row.number("num_gpu"), row.number("gpu_milli")
    if gpus and not 0 < milli <= WHOLE:
        raise row.fault("gpu_milli", f"should be above 0 and at most {WHOLE} where num_gpu is {gpus}, not {milli}")
    models = tuple(model for model in row.text("gpu_spec").split("|") if model)
    return Demand(row.number("cpu_milli"), row.number("memory_mib"), gpus, milli if gpus else 0, models)


def _rows(file: Path, columns: Sequence[str]) -> Iterator[_Row]:
    try:
        with file.open(encoding="utf-8", newline="") as text:
            reader = csv.DictReader(text)
            if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
                raise InputError([Fault(str(file), column, "there is no such column") for column in missing])
            for row in reader:
                yield _Row(f"{file} line {reader.line_num}", row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError([Fault(str(file), "", message)]) from error
