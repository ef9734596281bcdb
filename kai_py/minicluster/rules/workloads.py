"""Workloads that make pods: their defaults, and that their selector fits their template."""

from __future__ import annotations

from typing import Any, Final

from kai_py.minicluster.metadata import check_labels
from kai_py.minicluster.refusals import Faults
from kai_py.minicluster.selectors import matches_selector

from .base import Object, Reader, Rules
from .pod_defaults import default_pod_spec
from .pod_spec import check_label_selector, check_pod_spec

_MAX_INT32: Final = 2**31 - 1
_JOB_LABELS: Final = ("batch.kubernetes.io/controller-uid", "controller-uid")
_JOB_NAMES: Final = ("batch.kubernetes.io/job-name", "job-name")


def _check_template(template: Object, field: str, faults: Faults, *, restarts: frozenset[str]) -> None:
    check_labels((template.get("metadata") or {}).get("labels") or {}, f"{field}.metadata.labels", faults)
    spec = template.get("spec") or {}
    check_pod_spec(spec, f"{field}.spec", faults)
    if spec["restartPolicy"] not in restarts:
        faults.not_supported(f"{field}.spec.restartPolicy", spec["restartPolicy"], restarts)


def _template_labels(spec: Object) -> dict[str, str]:
    labels: dict[str, str] = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    return labels


class TemplateRules(Rules):
    """Rules of PodTemplates, which nobody but their users interprets."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        default_pod_spec(obj.setdefault("template", {}).setdefault("spec", {}))

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        _check_template(obj["template"], "template", faults, restarts=frozenset({"Always", "OnFailure", "Never"}))


class ReplicatedRules(Rules):
    """Rules of Deployment, ReplicaSet, StatefulSet and DaemonSet."""

    def __init__(self, defaults: Object) -> None:
        """Prepare.

        Args:
            defaults: what the spec says when it says nothing; nested objects are filled in, too.
        """
        self._defaults = defaults

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        spec = obj.setdefault("spec", {})
        _fill(spec, self._defaults)
        default_pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        spec = obj["spec"]
        if spec.get("replicas", 0) < 0:
            faults.invalid("spec.replicas", spec["replicas"], "must be greater than or equal to 0")
        selector = spec.get("selector") or {}
        check_label_selector(selector, "spec.selector", faults)
        if not selector:
            faults.invalid("spec.selector", selector, "empty selector is invalid for deployment")
        elif not faults and not matches_selector(selector, _template_labels(spec)):
            faults.invalid(
                "spec.template.metadata.labels", _template_labels(spec), "`selector` does not match template `labels`"
            )
        _check_template(spec["template"], "spec.template", faults, restarts=frozenset({"Always"}))

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        if new["spec"].get("selector") != old["spec"].get("selector"):
            faults.invalid("spec.selector", new["spec"].get("selector"), "field is immutable")


def _fill(spec: Object, defaults: Object) -> None:
    for key, value in defaults.items():
        if isinstance(value, dict):
            _fill(spec.setdefault(key, {}), value)
        else:
            spec.setdefault(key, value)


class DeploymentRules(ReplicatedRules):
    """Rules of Deployments: the rolling update's bounds only where it is one."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        super().default(obj)
        strategy = obj["spec"].setdefault("strategy", {})
        if strategy.setdefault("type", "RollingUpdate") == "RollingUpdate":
            _fill(strategy.setdefault("rollingUpdate", {}), {"maxUnavailable": "25%", "maxSurge": "25%"})


class ControllerRules(Rules):
    """Rules of ReplicationControllers, whose selector is a plain map."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        spec = obj.setdefault("spec", {})
        spec.setdefault("replicas", 1)
        labels = _template_labels(spec)
        if labels:
            spec.setdefault("selector", dict(labels))
        default_pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        spec = obj["spec"]
        if not spec.get("selector"):
            faults.required("spec.selector")
        elif not matches_selector({"matchLabels": spec["selector"]}, _template_labels(spec)):
            faults.invalid(
                "spec.template.metadata.labels", _template_labels(spec), "`selector` does not match template `labels`"
            )
        _check_template(spec["template"], "spec.template", faults, restarts=frozenset({"Always"}))


def default_job_spec(spec: Object) -> None:
    """Fill in a job spec in place."""
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", _MAX_INT32 if "backoffLimitPerIndex" in spec else 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)
    default_pod_spec(spec.setdefault("template", {}).setdefault("spec", {}))


def _check_job_spec(spec: Object, field: str, faults: Faults) -> None:
    for key in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        if spec.get(key, 0) < 0:
            faults.invalid(f"{field}.{key}", spec[key], "must be greater than or equal to 0")
    if spec["completionMode"] == "Indexed" and "completions" not in spec:
        faults.required(f"{field}.completions", "when completion mode is Indexed")
    _check_template(spec["template"], f"{field}.template", faults, restarts=frozenset({"OnFailure", "Never"}))


class JobRules(Rules):
    """Rules of Jobs. The selector is made from the job's uid."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        default_job_spec(obj.setdefault("spec", {}))

    def prepare_create(self, obj: Object, _reader: Reader) -> None:
        """See :class:`Rules`."""
        obj["status"] = {}
        spec, meta = obj["spec"], obj["metadata"]
        if spec["manualSelector"]:
            return
        template = spec["template"].setdefault("metadata", {})
        labels: dict[str, Any] = dict(template.get("labels") or {})
        labels |= dict.fromkeys(_JOB_LABELS, meta["uid"]) | dict.fromkeys(_JOB_NAMES, meta["name"])
        template["labels"] = labels
        spec["selector"] = {"matchLabels": {_JOB_LABELS[0]: meta["uid"]}}

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        _check_job_spec(obj["spec"], "spec", faults)
        if not matches_selector(obj["spec"].get("selector"), _template_labels(obj["spec"])):
            faults.invalid("spec.template.metadata.labels", "", "`selector` does not match template `labels`")

    def validate_update(self, new: Object, old: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        before = dict(old["spec"])
        after = dict(new["spec"])
        elastic = after.get("completionMode") == "Indexed" and after.get("completions") == after.get("parallelism")
        for key in ("selector", "completionMode", *(() if elastic else ("completions",))):
            if after.get(key) != before.get(key):
                faults.invalid(f"spec.{key}", after.get(key), "field is immutable")
        never_started = before.get("suspend") and not (old.get("status") or {}).get("startTime")
        if after["template"] != before["template"] and not never_started:
            faults.invalid("spec.template", "{...}", "field is immutable")


class CronJobRules(Rules):
    """Rules of CronJobs."""

    def default(self, obj: Object) -> None:
        """See :class:`Rules`."""
        spec = obj.setdefault("spec", {})
        _fill(
            spec,
            {
                "concurrencyPolicy": "Allow",
                "suspend": False,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1,
            },
        )
        default_job_spec(spec.setdefault("jobTemplate", {}).setdefault("spec", {}))

    def validate(self, obj: Object, faults: Faults) -> None:
        """See :class:`Rules`."""
        spec = obj["spec"]
        if not spec.get("schedule"):
            faults.required("spec.schedule")
        elif not spec["schedule"].startswith("@") and len(spec["schedule"].split()) != 5:
            faults.invalid("spec.schedule", spec["schedule"], "expected exactly 5 fields")
        _check_job_spec(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", faults)


DEPLOYMENTS: Final = DeploymentRules({"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
REPLICA_SETS: Final = ReplicatedRules({"replicas": 1})
STATEFUL_SETS: Final = ReplicatedRules(
    {
        "replicas": 1,
        "podManagementPolicy": "OrderedReady",
        "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    }
)
DAEMON_SETS: Final = ReplicatedRules(
    {
        "revisionHistoryLimit": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
    }
)
