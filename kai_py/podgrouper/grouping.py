"""The question, and the rules in the order in which they are asked."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from types import MappingProxyType

from kai_py.api.keys import POD_TEMPLATE_HASH_LABEL, PODGROUP_ANNOTATION, ROLLOUT_HASH_LABEL, SUBGROUP_LABEL
from kai_py.api.meta import OwnerReference, PartialObject
from kai_py.api.pod import Pod
from kai_py.podgrouper.defaults import NO_DEFAULTS, PriorityDefaults
from kai_py.podgrouper.errors import GroupingError
from kai_py.podgrouper.foreign import disagreement, foreign, names_gang, passed_over
from kai_py.podgrouper.kinds.base import Rule, pending
from kai_py.podgrouper.kinds.default import default, made_by_pod
from kai_py.podgrouper.kinds.registry import Registry
from kai_py.podgrouper.kinds.single import bare_pod, deployment
from kai_py.podgrouper.lineage import Ancestor, Lineage, trace
from kai_py.podgrouper.membership import Membership
from kai_py.podgrouper.options import DEFAULT_OPTIONS, Options
from kai_py.podgrouper.surroundings import NOTHING, Memo, Surroundings
from kai_py.podgrouper.traits import Context


class Grouper:
    """Tells which podgroup a pod belongs to.

    Args:
        options: what the settings say.
        priority_classes: names of the PriorityClasses that exist; ``None`` believes every name.
        surroundings: other objects that a rule may need.
        defaults: what workloads get by their kind if nobody says otherwise.
        expects: whether an owner, of a pod in a namespace, that is not known will be, so that its pods should wait
            for it. Otherwise the reference alone is taken.
    """

    def __init__(
        self,
        options: Options = DEFAULT_OPTIONS,
        *,
        priority_classes: Container[str] | None = None,
        surroundings: Surroundings = NOTHING,
        defaults: PriorityDefaults = NO_DEFAULTS,
        expects: Callable[[OwnerReference, str], bool] = lambda _owner, _namespace: False,
    ) -> None:
        self.defaults = defaults
        self.options = options
        self.registry = Registry(options)
        self._priority_classes = priority_classes
        self._surroundings = surroundings
        self._expects = expects
        self._memo = Memo()

    def configure(self, options: Options, defaults: PriorityDefaults) -> bool:
        """Work with other settings from now on; tells whether they differ."""
        if (options, defaults) == (self.options, self.defaults):
            return False
        if options != self.options:
            self.options, self.registry = options, Registry(options)
        self.defaults = defaults
        self._memo = Memo()
        return True

    def __call__(self, pod: Pod, owners: Mapping[str, PartialObject]) -> Membership | None:
        """Tell which podgroup a pod belongs to: the one that it names, or else the one that :meth:`derive` finds."""
        # The fast path of pods that say it themselves: no owner is looked at.
        if name := pod.metadata.annotations.get(PODGROUP_ANNOTATION):
            subgroup = pod.metadata.labels.get(SUBGROUP_LABEL) or None
            said = (passed_over(pod),) if names_gang(pod) else ()
            return Membership((pod.metadata.namespace, name), subgroup=subgroup, warnings=said)
        try:
            return self.derive(pod, owners)
        except GroupingError:
            if not pod.spec.node_name:
                raise
            # It runs, and counts for its queue. Its owner may be gone: there is nothing to wait for.
            lineage = trace(pod, owners)
            return default(lineage, lineage.top, self._context())

    def derive(self, pod: Pod, owners: Mapping[str, PartialObject]) -> Membership | None:
        """Tell which podgroup a pod belongs to, from its owners.

        Args:
            pod: the pod.
            owners: its owners by uid, as far as they are known; as :class:`~kai_py.api.workload.Workload` where a
                rule reads the spec. Without them the pod's own reference decides.

        Returns:
            ``None`` when the pod is to be left alone, because it or an owner says so.

        Raises:
            GroupingError: an owner cannot be understood.
            GroupingPending: an owner, or something else that its rule has to read, is not known yet.
        """
        whole = trace(pod, owners)
        if whole.skipped:
            return None
        if (missing := whole.missing) is not None and self._expects(missing, pod.metadata.namespace):
            raise pending(whole, whole.top, "is not known (yet)")
        lineage = whole.unwrapped(self.registry.envelopes)
        context = self._context()
        named = foreign(lineage, context) if names_gang(pod) else None
        if named is not None:
            return self._compared(lineage, named)
        if not lineage.owners:
            return bare_pod(lineage, context)
        rule, owner = self._rule_for(lineage)
        return rule(lineage, owner, context)

    def _compared(self, lineage: Lineage, named: Membership) -> Membership:
        """The membership in a gang that the pod names; with a warning if its workload asks for another one."""
        if not lineage.owners:
            return named
        rule, owner = self._rule_for(lineage)
        try:
            derived = rule(lineage, owner, self._context())
        except GroupingError:
            return named  # the workload need not be understood
        said = disagreement(lineage, named, derived)
        return replace(named, warnings=(*named.warnings, said)) if said else named

    def _context(self) -> Context:
        return Context(
            self._priority_classes,
            surroundings=self._surroundings,
            defaults=self.defaults,
            options=self.options,
            memo=self._memo,
        )

    def _rule_for(self, lineage: Lineage) -> tuple[Rule, Ancestor]:
        for owner in reversed(lineage.owners):
            if (rule := self.registry.rule(owner.kind)) is not None:
                return rule, owner
        nearest = lineage.owners[0]
        hashed = {POD_TEMPLATE_HASH_LABEL, ROLLOUT_HASH_LABEL} & lineage.pod.metadata.labels.keys()
        if nearest.kind == ("apps", "ReplicaSet") and hashed and nearest.known is None:
            # A Deployment or a Rollout marks its pods so: we need not know the ReplicaSet to see what is above it.
            return deployment, lineage.itself
        top = lineage.owners[-1]
        return (made_by_pod if top.kind == ("", "Pod") else default), top


def group_of(
    pod: Pod,
    owners: Mapping[str, PartialObject] = MappingProxyType({}),
    *,
    priority_classes: Container[str] | None = None,
) -> Membership | None:
    """Tell which podgroup a pod belongs to, by the rules alone: see :class:`Grouper`.

    Raises:
        GroupingError: an owner cannot be understood.
    """
    return Grouper(priority_classes=priority_classes)(pod, owners)
