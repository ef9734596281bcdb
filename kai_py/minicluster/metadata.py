"""``metadata``: names, the fields the server owns, and what may be changed."""

from __future__ import annotations

import random
import re
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from .kinds import Kind
from .refusals import Faults

Object = dict[str, Any]

_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_LABEL_1035 = re.compile(r"[a-z](?:[-a-z0-9]*[a-z0-9])?")
_NAME_PART = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")
_SUFFIX_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED: Final = 58
_STANDARD_FINALIZERS: Final = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
_MAX_ANNOTATIONS: Final = 256 * 1024
_IMMUTABLE: Final = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")

_SUBDOMAIN_RULE: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    " end with an alphanumeric character"
)
_LABEL_RULE: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with"
    " an alphanumeric character"
)
_LABEL_1035_RULE: Final = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character"
)
_NAME_PART_RULE: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character"
)


def now() -> str:
    """The time as the server writes it, whole seconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def generated_name(prefix: str) -> str:
    """A name from ``generateName``: the prefix, cut so that five random letters fit."""
    suffix = "".join(random.choices(_SUFFIX_LETTERS, k=5))  # noqa: S311  # a name, not a secret
    return prefix[:_MAX_GENERATED] + suffix


def is_label(text: str) -> bool:
    """Whether a text is a DNS label (RFC 1123)."""
    return len(text) <= 63 and _LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    """Whether a text is a DNS subdomain (RFC 1123)."""
    return len(text) <= 253 and _SUBDOMAIN.fullmatch(text) is not None


def check_name(kind: Kind, name: str, field: str, faults: Faults) -> None:
    """Add what is wrong with an object's name under the rule of its kind."""
    if kind.group == "rbac.authorization.k8s.io":
        if name in (".", "..") or "/" in name or "%" in name:
            faults.invalid(field, name, "may not be '.' or '..' or contain '/' or '%'")
        return
    if kind.key == "services":
        _check_text(name, field, faults, _LABEL_1035, 63, _LABEL_1035_RULE)
    elif kind.key == "namespaces":
        _check_text(name, field, faults, _LABEL, 63, _LABEL_RULE)
    else:
        _check_text(name, field, faults, _SUBDOMAIN, 253, _SUBDOMAIN_RULE)


def check_label_name(text: str, field: str, faults: Faults) -> None:
    """Add what is wrong where a DNS label (RFC 1123) is asked for."""
    _check_text(text, field, faults, _LABEL, 63, _LABEL_RULE)


def check_subdomain(text: str, field: str, faults: Faults) -> None:
    """Add what is wrong where a DNS subdomain (RFC 1123) is asked for."""
    _check_text(text, field, faults, _SUBDOMAIN, 253, _SUBDOMAIN_RULE)


def _check_text(text: str, field: str, faults: Faults, pattern: re.Pattern[str], limit: int, rule: str) -> None:
    if len(text) > limit:
        faults.invalid(field, text, f"must be no more than {limit} characters")
    if not pattern.fullmatch(text):
        faults.invalid(field, text, f"{rule} (regex used for validation is '{pattern.pattern}')")


def check_qualified_name(text: str, field: str, faults: Faults) -> None:
    """Add what is wrong with a ``[domain/]name`` as used by labels, taints, resources."""
    domain, slash, name = text.rpartition("/")
    if slash and not is_subdomain(domain):
        faults.invalid(field, text, f"prefix part {_SUBDOMAIN_RULE}")
    if not name:
        faults.invalid(field, text, "name part must be non-empty")
    elif len(name) > 63:
        faults.invalid(field, text, "name part must be no more than 63 characters")
    elif not _NAME_PART.fullmatch(name):
        faults.invalid(field, text, _NAME_PART_RULE)


def check_labels(labels: dict[str, str], field: str, faults: Faults) -> None:
    """Add what is wrong with the keys and values of labels."""
    for key, value in labels.items():
        check_qualified_name(key, field, faults)
        if value and (len(value) > 63 or not _NAME_PART.fullmatch(value)):
            faults.invalid(
                field,
                value,
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must"
                " start and end with an alphanumeric character, at most 63 of them",
            )


def check_metadata(kind: Kind, meta: Object, faults: Faults) -> None:
    """Add what is wrong with an object's metadata."""
    check_name(kind, meta["name"], "metadata.name", faults)
    if meta.get("labels"):
        check_labels(meta["labels"], "metadata.labels", faults)
    annotations = meta.get("annotations")
    if annotations:
        for key in annotations:
            check_qualified_name(key.lower(), "metadata.annotations", faults)
        if sum(len(key) + len(value) for key, value in annotations.items()) > _MAX_ANNOTATIONS:
            faults.too_long("metadata.annotations", _MAX_ANNOTATIONS)
    for i, finalizer in enumerate(meta.get("finalizers") or ()):
        check_qualified_name(finalizer, f"metadata.finalizers[{i}]", faults)
        if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS and not _takes_any_finalizer(kind):
            text = "name is neither a standard finalizer name nor is it fully qualified"
            faults.invalid(f"metadata.finalizers[{i}]", finalizer, text)
    _check_owners(meta.get("ownerReferences") or (), faults)


def _takes_any_finalizer(kind: Kind) -> bool:
    return kind.custom or kind.group == "apiextensions.k8s.io"


def _check_owners(owners: Any, faults: Faults) -> None:
    controllers = 0
    for owner in owners:
        for field in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(field):
                faults.invalid(f"metadata.ownerReferences.{field}", owner.get(field, ""), "must not be empty")
        controllers += bool(owner.get("controller"))
    if controllers > 1:
        faults.invalid("metadata.ownerReferences", owners, "only one reference can have Controller set to true")


def stamp(kind: Kind, meta: Object) -> None:
    """Set what the server sets on creation, and drop what a client may not choose."""
    for field in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation"):
        meta.pop(field, None)
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = now()
    if kind.counts_generation:
        meta["generation"] = 1


def carry_over(meta: Object, old: Object) -> None:
    """Fill the server's own fields of an update from the stored object, where the client left them out."""
    for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "namespace", "name"):
        if field not in meta and field in old:
            meta[field] = old[field]
    for field in ("generation", "selfLink"):
        meta.pop(field, None)
        if field in old:
            meta[field] = old[field]
    if "managedFields" not in meta and "managedFields" in old:
        meta["managedFields"] = old["managedFields"]
    elif meta.get("managedFields") in ([], [{}]):
        del meta["managedFields"]  # a client's way to say: forget who owns what


def check_metadata_update(meta: Object, old: Object, faults: Faults) -> None:
    """Add what may not change between two versions of an object."""
    for field in _IMMUTABLE:
        if meta.get(field) != old.get(field):
            faults.invalid(f"metadata.{field}", meta.get(field), "field is immutable")
    if "deletionTimestamp" in old:
        added = set(meta.get("finalizers") or ()) - set(old.get("finalizers") or ())
        if added:
            faults.forbidden(
                "metadata.finalizers",
                "no new finalizers can be added if the object is being deleted, found new finalizers "
                + str(sorted(added)),
            )
