"""The views of all pod classes of a cycle: each with what neighbours and volumes mean to it."""

from __future__ import annotations

from dataclasses import replace

from kai_py.core.options import Options
from kai_py.core.placement.claims import ClaimView
from kai_py.core.placement.fragments import Fragments
from kai_py.core.placement.neighbour_view import NeighbourView
from kai_py.core.placement.neighbourhood import Neighbourhood
from kai_py.core.placement.sharing import SharingView
from kai_py.core.placement.suitability import Suitabilities
from kai_py.core.placement.views import ClassView, View
from kai_py.core.placement.volumes import VolumeView
from kai_py.core.state.ledger import Ledger
from kai_py.core.tables.classes import PodClass
from kai_py.core.tables.pods import NONE


class Views:
    """One view per pod class, made when it is first asked for.

    Attributes:
        near: by class, what neighbours mean to it; classes whose view was not asked for, and to whom they mean
            nothing, are left out.
    """

    def __init__(self, ledger: Ledger, options: Options) -> None:
        self._ledger = ledger
        self._options = options
        self._suitabilities = Suitabilities(ledger.snapshot, options)
        self._fragments = Fragments(ledger, self._suitabilities)
        self._views: dict[int, View] = {}
        self._inner: dict[PodClass, ClassView] = {}
        self.near: dict[int, Neighbourhood] = {}

    def of(self, class_idx: int) -> View:
        """The view of a class."""
        found: View | None = self._views.get(class_idx)
        if found is None:
            found = self._views[class_idx] = self._make(class_idx)
        return found

    def neighbourhood(self, pod: int) -> Neighbourhood | None:
        """What neighbours mean to a pod; None if nothing."""
        neighbours = self._ledger.neighbours
        if neighbours is None or neighbours.kind(pod) == NONE:
            return None
        self.of(class_idx := self._ledger.snapshot.pods.class_idx.item(pod))
        return self.near.get(class_idx)

    def _make(self, class_idx: int) -> View:
        pod = self._ledger.snapshot.classes.classes[class_idx]
        view, volumes = self._among_neighbours(class_idx, pod, self._alone(class_idx, pod)), self._ledger.volumes
        return view if pod.volumes is None or volumes is None else VolumeView(view, volumes, pod.volumes)

    def _alone(self, class_idx: int, pod: PodClass) -> ClassView:
        """The view of a class, neighbours apart: one for all classes that differ in their neighbours only.

        Replicas of a hundred Services are a hundred classes, most of which ask for the same.
        """
        key = replace(pod, kind=NONE)
        found = self._inner.get(key)
        if found is None:
            kind = ClaimView if pod.claims else ClassView if pod.share is None else SharingView
            found = kind(class_idx, self._suitabilities.of(pod), self._ledger, self._options, self._fragments)
            if kind is ClassView:
                self._inner[key] = found
        return found

    def _among_neighbours(self, class_idx: int, pod: PodClass, view: ClassView) -> View:
        neighbours, nodes = self._ledger.neighbours, self._ledger.snapshot.nodes
        if neighbours is None or pod.kind == NONE:
            return view
        near = Neighbourhood(pod, view.allowed, neighbours, nodes, self._options)
        if not near.matters:
            return view
        self.near[class_idx] = near
        return NeighbourView(view, near)
