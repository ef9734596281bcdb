"""Claims that pods use through their PodGroup (``scheduling.k8s.io``), which these are reserved for then.

A pod uses a claim through its PodGroup where an entry of its ``spec.resourceClaims`` is, word for word, one of the
PodGroup's: the same name, and the same claim or template. All other claims of the pod are its own. Nothing says whether
the gate is on: a server without it drops the PodGroup's entries, and then nothing agrees.

Sources: KEP-5729; ``BindTo`` of ``k8s.io/dynamic-resource-allocation/resourceclaim``, 1.36.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from kai_py.api.meta import PartialObject
from kai_py.api.resource import Consumer, ResourceClaim
from kai_py.cluster.claim_objects import Name
from kai_py.cluster.needs import Needs
from kai_py.core.tables.pods import PodKey
from kai_py.errors import Fault

#: API group and kind.
KIND: Final = ("scheduling.k8s.io", "PodGroup")
_RESOURCE: Final = "podgroups"

#: What an entry says: its name, the claim, the template; the latter two are empty where it does not say.
Entry = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _PodGroup:
    """What counts of a PodGroup. Entries that say neither claim nor template are its ``fault``."""

    uid: str
    entries: frozenset[Entry]
    fault: Fault | None = None


class PodGroupClaims:
    """Pods with claims by the PodGroup that they name.

    Attributes:
        find: a PodGroup by namespace and name; None if it is not known (yet).
        served: whether there may be PodGroups.
        waits: whether a pod waits, and nothing is on its way for it. Of whoever does not, claims are held.
    """

    def __init__(self) -> None:
        self.find: Callable[[Name], PartialObject | None] = lambda _name: None
        self.served: Callable[[], bool] = lambda: False
        self.waits: Callable[[PodKey], bool] = lambda _key: False
        self._members: dict[Name, dict[PodKey, Needs]] = {}
        self._read: dict[Name, tuple[PartialObject, _PodGroup]] = {}
        #: Claims, and uids of PodGroups, of which the last pods that held them were evicted.
        self._vacated: set[tuple[Name, str]] = set()

    def __bool__(self) -> bool:
        return bool(self._members)

    # -- pods --------------------------------------------------------------------------------------

    def see(self, key: PodKey, needs: Needs) -> None:
        """Take in what a pod needs."""
        if needs.pod_group is not None:
            self._members.setdefault(needs.pod_group, {})[key] = needs

    def forget(self, key: PodKey, needs: Needs, *, over: bool) -> None:
        """A pod does not matter any more; what evicted pods held last is about to be free, if it is over."""
        if needs.pod_group is None:
            return
        members = self._members.get(needs.pod_group, {})
        members.pop(key, None)
        if over and needs.evicted:
            for claim in needs.claims:
                if (uid := self.uid(needs, claim)) and not any(self._holders(claim, needs.pod_group)):
                    self._vacated.add((claim, uid))
        if not members:
            self._members.pop(needs.pod_group, None)
            self._read.pop(needs.pod_group, None)

    def taken_up(self, claim: Name) -> None:
        """A pod is sent off with a claim."""
        if self._vacated:
            self._vacated = {one for one in self._vacated if one[0] != claim}

    def concerns(self, found: PartialObject) -> bool:
        """Whether an object is a PodGroup that decides about claims of pods."""
        return bool(self._members) and found.kind == KIND[1] and found.metadata.key in self._members

    # -- what a pod uses through its PodGroup --------------------------------------------------------

    def awaited(self, needs: Needs) -> bool:
        """Whether the pod names a PodGroup that is not known (yet): nobody can say whose its claims are."""
        return needs.pod_group is not None and self._known(needs.pod_group) is None and self.served()

    def fault(self, needs: Needs) -> Fault | None:
        """What cannot be understood of the pod's PodGroup."""
        known = self._known(needs.pod_group) if needs.pod_group is not None else None
        return known.fault if known is not None else None

    def uid(self, needs: Needs, claim: Name) -> str:
        """The PodGroup through which a pod uses a claim; empty if the claim is its own."""
        if needs.pod_group is None:
            return ""
        known = self._known(needs.pod_group)
        if known is None or not known.entries:
            return ""
        agreed = any(name == claim and entry in known.entries for entry, name in needs.entries)
        return known.uid if agreed else ""

    def agreed(self, pod_group: Name, entry: Entry) -> str:
        """The uid of a PodGroup if an entry of a pod is one of its, too; else empty."""
        known = self._known(pod_group)
        return known.uid if known is not None and entry in known.entries else ""

    def makes_missing(self, needs: Needs) -> bool:
        """Whether the first claim of a pod that is not known by name is to be made for its PodGroup."""
        known = self._known(needs.pod_group) if needs.pod_group is not None else None
        missing = next((entry for entry, name in needs.entries if name is None and not entry[1]), None)
        return known is not None and missing in known.entries

    def consumer(self, key: PodKey, needs: Needs, claim: Name) -> Consumer:
        """Who a claim is reserved for when a pod uses it."""
        uid = self.uid(needs, claim)
        if not uid or needs.pod_group is None:
            return Consumer("pods", key.name, key.uid)
        return Consumer(_RESOURCE, needs.pod_group[1], uid, KIND[0])

    def _known(self, name: Name) -> _PodGroup | None:
        found = self.find(name)
        if found is None:
            return None
        known = self._read.get(name)
        if known is None or known[0] is not found:
            known = self._read[name] = found, _read(found)
        return known[1]

    # -- for whom claims are reserved ----------------------------------------------------------------

    def kept(self, claim: ResourceClaim, uids: AbstractSet[str]) -> list[Consumer]:
        """For whom a claim stays reserved when some pods, or PodGroups, need it no longer.

        Args:
            claim: the claim.
            uids: of those. A PodGroup with a pod that holds the claim needs it still.
        """
        return [one for one in claim.status.reserved_for if not self._gives_up(claim.metadata.key, one, uids)]

    def _gives_up(self, claim: Name, one: Consumer, uids: AbstractSet[str]) -> bool:
        if not is_pod_group(one):
            return one.uid in uids
        pod_group = claim[0], one.name
        concerned = one.uid in uids or any(key.uid in uids for key in self._users(claim, pod_group))
        return concerned and all(key.uid in uids for key in self._holders(claim, pod_group))

    def idle(self, claim: Name, one: Consumer) -> bool:
        """Whether no pod of a PodGroup for which a claim is reserved holds it."""
        return not any(self._holders(claim, (claim[0], one.name)))

    def waiting(self, claim: Name, one: Consumer) -> list[PodKey]:
        """Pods that could use a claim through a PodGroup, and wait."""
        return [key for key in self._users(claim, (claim[0], one.name)) if self.waits(key)]

    def _users(self, claim: Name, pod_group: Name) -> Iterator[PodKey]:
        """Pods of a PodGroup that use a claim; also those whose own it is, as they may start by its reservation."""
        return (key for key, needs in self._members.get(pod_group, {}).items() if claim in needs.claims)

    def _holders(self, claim: Name, pod_group: Name) -> Iterator[PodKey]:
        """Those of them that have a node, or are on their way to one."""
        return (key for key in self._users(claim, pod_group) if not self.waits(key))

    def vacated(self, claim: Name, uid: str) -> bool:
        """Whether the last pods that held a claim through a PodGroup were evicted: it is about to be free."""
        return (claim, uid) in self._vacated

    def retain(self, reserved: Iterable[tuple[Name, str]]) -> None:
        """Of what was vacated, remember only what is reserved still."""
        if self._vacated:
            self._vacated &= set(reserved)


def is_pod_group(one: Consumer) -> bool:
    """Whether a claim is reserved for a PodGroup, and not for a pod."""
    return one.resource == _RESOURCE and one.api_group == KIND[0]


def _read(found: PartialObject) -> _PodGroup:
    """What counts of a PodGroup, whatever has been written into it."""
    spec: Any = getattr(found, "spec", None)
    listed: Any = spec.get("resourceClaims") if isinstance(spec, dict) else None
    entries: set[Entry] = set()
    fault: Fault | None = None
    for number, one in enumerate(listed if isinstance(listed, list) else ()):
        entry = _entry(one)
        if entry is None:
            field = f"spec.resourceClaims[{number}]"
            text = "names neither a ResourceClaim nor a ResourceClaimTemplate, or both"
            fault = fault or Fault(f"PodGroup {'/'.join(found.metadata.key)}", field, text)
        else:
            entries.add(entry)
    return _PodGroup(found.metadata.uid, frozenset(entries), fault)


def _entry(one: Any) -> Entry | None:
    if not isinstance(one, dict):
        return None
    fields = [one.get(key) for key in ("name", "resourceClaimName", "resourceClaimTemplateName")]
    name, claim, template = [field if isinstance(field, str) else "" for field in fields]
    return (name, claim, template) if name and bool(claim) != bool(template) else None
