"""The life of a pod, as a watch shows it: which books learn that it comes, gets a node, leaves or is gone."""

from __future__ import annotations

from kai_py.api.pod import Pod
from kai_py.cluster.books import Books
from kai_py.cluster.decisions import Decisions
from kai_py.cluster.phases import Event
from kai_py.cluster.pods import FINISHED
from kai_py.core.tables.pods import PodKey


class PodLifecycle:
    """Tells the books about pods.

    Args:
        books: which learn of them.
        decisions: confirmed by what a watch shows.
    """

    def __init__(self, books: Books, decisions: Decisions) -> None:
        self._books = books
        self._decisions = decisions
        self._now = 0.0

    def put(self, key: PodKey, pod: Pod, now: float) -> bool:
        """Take in a pod, whose key it is; tells whether the change can matter to a cycle."""
        books, self._now = self._books, now
        leaving = pod.metadata.deletion_timestamp is not None
        if pod.status.phase in FINISHED or (leaving and not pod.spec.node_name):
            if not self._note_success(key, pod):
                books.finished.replaced(key)
            return self.drop(key, over=True)
        books.finished.replaced(key)
        if pod.spec.node_name:
            self._decisions.confirm(key, wants_node=True)
            books.failures.forget(key)
            books.held.drop(key)
        if leaving:
            self._decisions.confirm(key, wants_node=False)
        ours = self._is_ours(pod)
        if not (ours or pod.spec.node_name or pod.status.nominated_node_name):
            return self.drop(key, over=False)
        if ours and not pod.spec.node_name:
            books.held.see(key, pod.status.nominated_node_name)
        return self._remember(key, pod, now, ours=ours)

    def _is_ours(self, pod: Pod) -> bool:
        scope = self._books.scope
        ours = pod.spec.scheduler_name in scope.scheduler_names and scope.covers(pod.metadata.labels)
        return ours and not self._books.reservations.covers(pod)  # nobody schedules them, and nobody ends them

    def _remember(self, key: PodKey, pod: Pod, now: float, *, ours: bool) -> bool:
        """Write down a pod that waits or has a place."""
        books = self._books
        books.names.put(key)
        books.volumes.see(key, pod)
        needs_changed = books.claims.see(key, pod)
        if ours:
            books.rollouts.see(key, pod)
        else:
            books.rollouts.drop(key)
            books.held.drop(key)
        fellows = books.around.put_pod(key, pod.metadata) if ours else ""
        changed = books.layout.put(key, pod, now, ours=ours) or needs_changed
        return changed | self._regroup_below(fellows)

    def _note_success(self, key: PodKey, pod: Pod) -> bool:
        """A gang of which somebody has succeeded is on its way to its end; tells whether this pod is such a one."""
        if pod.status.phase != "Succeeded" or pod.spec.scheduler_name not in self._books.scope.scheduler_names:
            return False
        if (place := self._books.reader.place(pod, None)) is None:
            return False
        self._books.history.succeeded(place.group)
        self._books.finished.put(key, pod, place)
        return True

    def drop(self, key: PodKey, *, over: bool) -> bool:
        """Forget what is known of a pod, because it is ``over`` or because it does not matter any more."""
        books = self._books
        books.held.drop(key)
        books.volumes.forget(key)
        books.rollouts.drop(key)
        books.claims.release(key)
        books.claims.forget(key, over=over)
        books.assumptions.note(key, Event.VANISH)
        books.failures.forget(key)
        books.names.drop(key)
        if key.uid in books.owners.objects:  # it has owned pods
            books.owners.drop(key.uid)
        fellows = books.around.drop_pod(key)
        changed = books.layout.drop(key)
        return changed | self._regroup_below(fellows)

    def _regroup_below(self, owner: str) -> bool:
        """Group the fellows of a pod anew where it is news to them; ``owner`` is empty where it is not."""
        layout, owners = self._books.layout, self._books.owners
        return bool(owner) and layout.regroup(owners.below(owner), self._now)  # a deletion brings no time of its own
