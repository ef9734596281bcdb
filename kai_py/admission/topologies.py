"""Topologies: levels that differ. The CRD's rules say it too; this is for clusters whose CRD is KAI's."""

from __future__ import annotations

from kai_py.admission.verdict import LET_IN, Known, Request, Verdict, refused
from kai_py.api.topology import Topology
from kai_py.errors import InputError


def decide(request: Request, _: Known) -> Verdict:
    """Whether a Topology may be made or changed."""
    if request.operation == "DELETE" or request.same_spec:
        return LET_IN
    try:
        Topology.parse(dict(request.new))
    except InputError as error:
        return refused(error.faults)
    return LET_IN
