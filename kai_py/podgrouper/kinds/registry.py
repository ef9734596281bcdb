"""Which kind of owner has which rule, and what of its objects the rule reads."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from kai_py.podgrouper.foreign import FOREIGN
from kai_py.podgrouper.kinds.base import Rule
from kai_py.podgrouper.kinds.declared import declared
from kai_py.podgrouper.kinds.default import default, interactive, serving
from kai_py.podgrouper.kinds.grove import grove
from kai_py.podgrouper.kinds.job import cron_job, job
from kai_py.podgrouper.kinds.jobset import jobset
from kai_py.podgrouper.kinds.knative import knative
from kai_py.podgrouper.kinds.kubeflow import jax_job, tf_job, xgboost_job
from kai_py.podgrouper.kinds.leaderworkerset import leader_worker_set
from kai_py.podgrouper.kinds.mpi import mpi_job
from kai_py.podgrouper.kinds.products import aml_job, runai_job
from kai_py.podgrouper.kinds.pytorch import pytorch_job
from kai_py.podgrouper.kinds.ray import RAY_JOB_STATUS, RAY_SERVICE_STATUS, ray_cluster, ray_job, ray_service
from kai_py.podgrouper.kinds.single import deployment
from kai_py.podgrouper.options import Options

#: API group and kind.
KindName = tuple[str, str]


class Kind(NamedTuple):
    """How a kind is grouped.

    Attributes:
        rule: decides; ``None`` for a kind that only wraps another workload: the owner below it decides.
        reads: whether more than the metadata of its objects is read.
    """

    rule: Rule | None
    reads: bool = False


_ENVELOPE: Final = Kind(None)
_DEFAULT: Final = Kind(default)
_KUBEFLOW: Final = "kubeflow.org"

#: All kinds with a rule, in any version. Of several owners the topmost one with a rule decides.
KINDS: Final[Mapping[KindName, Kind]] = MappingProxyType(
    {
        ("batch", "Job"): Kind(job),
        ("batch", "CronJob"): Kind(cron_job),
        ("apps", "Deployment"): Kind(deployment),
        ("argoproj.io", "Rollout"): Kind(deployment),
        ("jobset.x-k8s.io", "JobSet"): Kind(jobset, reads=True),
        (_KUBEFLOW, "PyTorchJob"): Kind(pytorch_job, reads=True),
        (_KUBEFLOW, "TFJob"): Kind(tf_job, reads=True),
        (_KUBEFLOW, "XGBoostJob"): Kind(xgboost_job, reads=True),
        (_KUBEFLOW, "JAXJob"): Kind(jax_job, reads=True),
        (_KUBEFLOW, "MPIJob"): Kind(mpi_job, reads=True),
        (_KUBEFLOW, "Notebook"): Kind(interactive),
        (_KUBEFLOW, "ScheduledWorkflow"): _DEFAULT,
        ("ray.io", "RayCluster"): Kind(ray_cluster, reads=True),
        ("ray.io", "RayJob"): Kind(ray_job, reads=True),
        ("ray.io", "RayService"): Kind(ray_service, reads=True),
        ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"): Kind(leader_worker_set, reads=True),
        ("serving.knative.dev", "Service"): Kind(knative),
        ("serving.knative.dev", "Configuration"): Kind(knative),
        ("serving.knative.dev", "Revision"): Kind(knative),
        ("grove.io", "PodGangSet"): Kind(grove),
        ("grove.io", "PodCliqueSet"): Kind(grove),
        ("scheduler.grove.io", "PodGang"): Kind(None, reads=True),
        **dict.fromkeys(FOREIGN, Kind(None, reads=True)),
        ("sparkoperator.k8s.io", "SparkApplication"): _DEFAULT,
        ("tekton.dev", "PipelineRun"): _DEFAULT,
        ("tekton.dev", "TaskRun"): _DEFAULT,
        ("machinelearning.seldon.io", "SeldonDeployment"): _DEFAULT,
        ("kubevirt.io", "VirtualMachineInstance"): _DEFAULT,
        ("workspace.devfile.io", "DevWorkspace"): _DEFAULT,
        ("run.ai", "RunaiJob"): Kind(runai_job, reads=True),
        ("amlarc.azureml.com", "AmlJob"): Kind(aml_job, reads=True),
        ("egx.nvidia.io", "SPOTRequest"): Kind(serving),
        # What only wraps another workload.
        ("argoproj.io", "Workflow"): _ENVELOPE,
        ("argoproj.io", "CronWorkflow"): _ENVELOPE,
        ("trainer.kubeflow.org", "TrainJob"): _ENVELOPE,
        ("nvidia.com", "DynamoGraphDeployment"): _ENVELOPE,
        ("nvidia.com", "DynamoComponentDeployment"): _ENVELOPE,
        ("serving.kserve.io", "InferenceService"): _ENVELOPE,
        **{
            ("run.ai", f"{work}Workload"): _ENVELOPE
            for work in ("Training", "Interactive", "Distributed", "Inference", "DistributedInference")
        },
    }
)


#: Objects that a rule looks up by name although they own no pods, or that are not in every pod's lineage.
COMPANIONS: Final[Mapping[KindName, KindName]] = MappingProxyType(
    {
        ("ray.io", "RayJob"): ("ray.io", "RayCluster"),
        ("ray.io", "RayService"): ("ray.io", "RayCluster"),
        ("serving.knative.dev", "Service"): ("serving.knative.dev", "Revision"),
        ("grove.io", "PodGangSet"): ("scheduler.grove.io", "PodGang"),
        ("grove.io", "PodCliqueSet"): ("scheduler.grove.io", "PodGang"),
    }
)
#: What the table's rules read of a status: names of children that a controller has made.
_STATUS: Final[Mapping[KindName, tuple[tuple[str, ...], ...]]] = {
    ("ray.io", "RayJob"): RAY_JOB_STATUS,
    ("ray.io", "RayService"): RAY_SERVICE_STATUS,
}


def decisive_status(name: KindName, status: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a status that rules read, so that the rest may change unnoticed. Of declared kinds, all of it."""
    if name not in KINDS:
        return dict(status)
    kept: dict[str, Any] = {}
    for first, *others in _STATUS.get(name, ()):
        value = status.get(first)
        for step in others:
            value = {step: value.get(step)} if isinstance(value, Mapping) else value
        if value is not None:
            kept[first] = value
    return kept


_WRAPPING: Final = frozenset(name for name, kind in KINDS.items() if kind.rule is None)


class Registry:
    """The rules in force: those of the settings before those of the table.

    Args:
        options: what the settings say.
    """

    def __init__(self, options: Options) -> None:
        own = {
            name: _ENVELOPE if kind.envelope else Kind(declared(kind), reads=kind.reads_spec)
            for name, kind in options.declared.items()
        }
        self.kinds: Mapping[KindName, Kind] = {**KINDS, **own} if own else KINDS
        #: Kinds that only wrap others.
        self.envelopes = _WRAPPING - own.keys() | {name for name, kind in own.items() if kind.rule is None}

    def rule(self, name: KindName) -> Rule | None:
        """The rule of a kind; ``None`` if it has none."""
        kind = self.kinds.get(name)
        return kind.rule if kind is not None else None

    def reads(self, name: KindName) -> bool:
        """Whether more than the metadata of a kind's objects is read."""
        kind = self.kinds.get(name)
        return kind is not None and kind.reads
