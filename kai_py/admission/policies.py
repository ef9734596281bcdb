"""ValidatingAdmissionPolicies: what the API server can refuse by itself, while nobody answers webhooks.

Rules about one object alone stand in its CRD. Here is what those cannot say: rules about kinds that are not ours, about
deletions, and those that settings may turn into warnings. Written once; the chart installs what is generated from it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from kai_py.api.keys import QUEUE_LABEL

Json = dict[str, Any]

#: Key of the ConfigMap that policies read: names of our schedulers, with commas between them.
SCHEDULER_NAMES: Final = "schedulerNames"

_SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"


class Policy(NamedTuple):
    """A policy, and what decides how strict it is.

    Attributes:
        spec: of the ValidatingAdmissionPolicy.
        rigour: the setting below `admission` that says whether it refuses, warns or is not there; empty = it refuses.
    """

    spec: Json
    rigour: str = ""


def policies() -> dict[str, Policy]:
    """All of them, by name."""
    return {"queues-in-use": _queues_in_use(), "quotas": _quotas(), "pods": _pods()}


def _queues_in_use() -> Policy:
    """A queue with children or pods stays, as far as its status tells."""
    children = "oldObject.?status.?childQueues.orValue([])"
    amounts = {part: f"oldObject.?status[?'{part}'].orValue({{}})" for part in ("allocated", "requested")}
    unused = " && ".join(
        f"{of}.all(name, quantity(string({of}[name])).compareTo(quantity('0')) == 0)" for of in amounts.values()
    )
    return Policy(
        _spec(
            _rule("scheduling.run.ai", "v2", "queues", "DELETE"),
            [
                {
                    "expression": f"{children}.size() == 0",
                    "messageExpression": f"'queue ' + oldObject.metadata.name + ' has child queues: '"
                    f" + {children}.join(', ')",
                    "message": "the queue has child queues",
                    "reason": "Forbidden",
                },
                {
                    "expression": unused,
                    "messageExpression": "'queue ' + oldObject.metadata.name"
                    " + ' is in use: pods hold or wait for its resources'",
                    "message": "the queue is in use: pods hold or wait for its resources",
                    "reason": "Forbidden",
                },
            ],
        )
    )


def _quotas() -> Policy:
    """A limit is not below the quota; who has one already may keep it."""
    validations = []
    for name in ("cpu", "memory", "gpu"):
        sound = _sound(f"object.spec.?resources.?{name}")
        before = _sound(f"oldObject.spec.?resources.?{name}")
        validations.append(
            {
                "expression": f"{sound} || (oldObject != null && !({before}))",
                "message": f"spec.resources.{name}.limit: the limit is below the quota; the limit wins",
            }
        )
    more = "spec.?resources.?additional.orValue([])"
    validations.append(
        {
            "expression": f"object.{more}.all(one, {_sound('optional.of(one)')})"
            f" || (oldObject != null && !oldObject.{more}.all(one, {_sound('optional.of(one)')}))",
            "message": "spec.resources.additional: a limit is below its quota; the limit wins",
        }
    )
    changed = {"name": "spec-changed", "expression": "oldObject == null || object.?spec != oldObject.?spec"}
    has_spec = {"name": "has-a-spec", "expression": "has(object.spec)"}
    rule = _rule("scheduling.run.ai", "v2", "queues", "CREATE", "UPDATE")
    return Policy(_spec(rule, validations, matchConditions=[has_spec, changed]), rigour="quotas")


def _sound(resource: str) -> str:
    """Whether a resource's limit (by default 0) is not below its quota (by default 0); -1 is without bound."""
    quota, limit = f"{resource}.?quota.orValue(0.0)", f"{resource}.?limit.orValue(0.0)"
    return f"({limit} == -1.0 || ({quota} != -1.0 && {quota} <= {limit}))"


def _pods() -> Policy:
    """A pod's label can be the name of a queue. Whether there is one, others tell."""
    label = f"object.metadata.labels['{QUEUE_LABEL}']"
    labelled = f"has(object.metadata.labels) && '{QUEUE_LABEL}' in object.metadata.labels"
    ours = f"object.spec.schedulerName in params.data['{SCHEDULER_NAMES}'].split(',')"
    validation = {
        "expression": f"{label} == '' || {label}.matches('{_SUBDOMAIN}')",
        "messageExpression": f"'metadata.labels[{QUEUE_LABEL}]: there can be no queue of the name \"' + {label} + '\"'",
        "message": f"metadata.labels[{QUEUE_LABEL}]: there can be no queue of that name",
        "reason": "Forbidden",
    }
    conditions = [{"name": "names-a-queue", "expression": labelled}, {"name": "ours", "expression": ours}]
    spec = _spec(
        _rule("", "v1", "pods", "CREATE"),
        [validation],
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        matchConditions=conditions,
    )
    return Policy(spec, rigour="pods")


def _rule(group: str, version: str, plural: str, *operations: str) -> Json:
    return {"apiGroups": [group], "apiVersions": [version], "resources": [plural], "operations": [*operations]}


def _spec(rule: Json, validations: list[Json], **more: Any) -> Json:
    """What cannot be evaluated is let in: scheduling looks again."""
    constraints = {"resourceRules": [rule], "matchPolicy": "Equivalent"}
    return {"failurePolicy": "Ignore", "matchConstraints": constraints, **more, "validations": validations}
