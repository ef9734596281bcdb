"""How the rules are meant to work: the settings of the pod grouper, as they need them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from kai_py.settings.workloads import PodGroups

#: How the pods of a declared kind are divided into podgroups.
Granularity = Literal["workload", "pod"]


@dataclass(frozen=True, slots=True)
class DeclaredRole:
    """A part of a declared kind.

    Attributes:
        name: of the subgroup.
        labels: its pods have them.
        minimum: paths into the owner; the first that exists says how many pods must start together.
        fixed: that number, where no path exists; ``None`` makes it an error.
    """

    name: str
    labels: tuple[tuple[str, str], ...]
    minimum: tuple[str, ...]
    fixed: int | None = None


@dataclass(frozen=True, slots=True)
class DeclaredKind:
    """A kind of workload that an administrator has described in the settings.

    Attributes:
        minimum, fixed: as in a role, for the workload as a whole.
        roles: its parts; with any, their minimums add up to that of the whole.
        priority_class: the default one.
        granularity: one podgroup for the workload, or one for each pod.
        envelope: it only wraps another workload, whose rule is used.
    """

    minimum: tuple[str, ...] = ()
    fixed: int | None = 1
    roles: tuple[DeclaredRole, ...] = ()
    priority_class: str = "train"
    granularity: Granularity = "workload"
    envelope: bool = False

    @property
    def reads_spec(self) -> bool:
        """Whether the owner's fields are read, beside its metadata."""
        return bool(self.minimum or any(role.minimum for role in self.roles))


@dataclass(frozen=True, slots=True)
class Options:
    """All that settings say about grouping.

    Attributes:
        knative_gang: a Knative revision is one podgroup with its minimum scale, rather than one for each pod.
        legacy: podgroups that KAI made in earlier ways keep their names and shapes.
        declared: kinds from the settings, by ``(group, kind)``.
    """

    knative_gang: bool = True
    legacy: bool = True
    declared: Mapping[tuple[str, str], DeclaredKind] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: PodGroups) -> Options:
        """The options that settings ask for."""
        declared = {
            (one.group, one.kind): DeclaredKind(
                minimum=one.min_member_paths,
                fixed=one.min_member,
                roles=tuple(
                    DeclaredRole(role.name, tuple(sorted(role.labels.items())), role.min_member_paths, role.min_member)
                    for role in one.roles
                ),
                priority_class=one.priority_class,
                granularity=one.granularity,
                envelope=one.envelope,
            )
            for one in settings.kinds
        }
        return cls(settings.knative_gang_schedule, settings.search_legacy_pod_groups, declared)


DEFAULT_OPTIONS: Final = Options()
