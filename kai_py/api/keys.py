"""Every label, annotation, API group and well-known name, each exactly once.

The spelling is KAI Scheduler's wherever KAI has the concept, so that manifests written for it work unmodified.
"""

from __future__ import annotations

from typing import Final

SCHEDULER_NAME: Final = "kai-scheduler"
FIELD_MANAGER: Final = "kai-py"

# API groups ---------------------------------------------------------------------------------------
RUN_AI_GROUP: Final = "scheduling.run.ai"
QUEUE_API_VERSION: Final = "scheduling.run.ai/v2"
PODGROUP_API_VERSION: Final = "scheduling.run.ai/v2alpha2"
TOPOLOGY_API_VERSION: Final = "kai.scheduler/v1alpha1"

# labels of pods, podgroups and owners -------------------------------------------------------------
QUEUE_LABEL: Final = "kai.scheduler/queue"
SUBGROUP_LABEL: Final = "kai.scheduler/subgroup-name"
PRIORITY_CLASS_LABEL: Final = "priorityClassName"
PREEMPTIBILITY_LABEL: Final = "kai.scheduler/preemptibility"
TASK_PRIORITY_LABEL: Final = "kai.scheduler/task-priority"
NODE_POOL_LABEL: Final = "kai.scheduler/node-pool"
#: Where KAI looks for a queue's name when nothing says ``kai.scheduler/queue``.
PROJECT_LABEL: Final = "project"
GPU_GROUP_LABEL: Final = "runai-gpu-group"
#: On a reservation pod: which installation has made it. Ours.
RESERVED_BY_LABEL: Final = "kai.scheduler/reserved-by"
#: On a ResourceClaimTemplate for parts of GPUs: who has made it. Ours.
SHARE_TEMPLATE_LABEL: Final = "kai.scheduler/gpu-share-of"

# annotations --------------------------------------------------------------------------------------
PODGROUP_ANNOTATION: Final = "pod-group-name"
BATCH_MIN_MEMBER_ANNOTATION: Final = "kai.scheduler/batch-min-member"
PREEMPTION_DELAY_ANNOTATION: Final = "kai.scheduler/preemption-delay"
STALENESS_GRACE_ANNOTATION: Final = "kai.scheduler/staleness-grace-period"
TOP_OWNER_ANNOTATION: Final = "kai.scheduler/top-owner-metadata"
#: On a podgroup that we have written: what was derived for each field of its spec, as hashes.
DERIVED_ANNOTATION: Final = "kai.scheduler/derived-spec"
TOPOLOGY_ANNOTATION: Final = "kai.scheduler/topology"
RANK_PATTERN_ANNOTATION: Final = "kai.scheduler/rank-pattern"
RANK_GROUP_SIZE_ANNOTATION: Final = "kai.scheduler/rank-group-size"
REQUIRED_LEVEL_ANNOTATION: Final = "kai.scheduler/topology-required-placement"
PREFERRED_LEVEL_ANNOTATION: Final = "kai.scheduler/topology-preferred-placement"
LAST_START_ANNOTATION: Final = "kai.scheduler/last-start-timestamp"
LAST_EVICTION_ANNOTATION: Final = "kai.scheduler/last-eviction-timestamp"
LAST_CHECKPOINT_ANNOTATION: Final = "kai.scheduler/last-checkpoint-timestamp"
STALE_SINCE_ANNOTATION: Final = "kai.scheduler/stale-podgroup-timestamp"
GPU_FRACTION_ANNOTATION: Final = "gpu-fraction"
GPU_MEMORY_ANNOTATION: Final = "gpu-memory"
GPU_FRACTION_DEVICES_ANNOTATION: Final = "gpu-fraction-num-devices"
#: Which container gets the share; the first one without it.
GPU_FRACTION_CONTAINER_ANNOTATION: Final = "gpu-fraction-container-name"
#: By which of the ways that settings offer a pod shares GPUs; the setting's own one without it. Ours.
GPU_SHARING_ANNOTATION: Final = "kai.scheduler/gpu-sharing"
#: The entry of ``spec.resourceClaims`` that is a pod's part of GPUs, and how names of its templates begin. Ours.
SHARE_CLAIM: Final = "kai-gpu-share"
#: On templates of ours and their claims: what was put into them, as a hash.
SHARE_CONTENT_ANNOTATION: Final = "kai.scheduler/gpu-share-content"
#: The pod talks to an MPS server on its node.
MPS_ANNOTATION: Final = "mps"
#: What the ConfigMaps that show a pod its devices are called, but for the container's number.
SHARED_GPU_CONFIGMAP_ANNOTATION: Final = "runai/shared-gpu-configmap"
RECEIVED_TYPE_ANNOTATION: Final = "received-resource-type"
#: On a reservation pod: the device that it has, as its container has found it.
RESERVED_DEVICE_ANNOTATION: Final = "run.ai/reserve_for_gpu_index"
#: On a pod with a share: the devices that it was shown. Ours.
SHOWN_DEVICES_ANNOTATION: Final = "kai.scheduler/gpu-devices"
#: Which NUMA nodes a pod takes: as somebody on its node has seen it, and as the scheduler expected it.
NUMA_OBSERVED_ANNOTATION: Final = "kai.scheduler/numa-placement-observed"
NUMA_PREDICTED_ANNOTATION: Final = "kai.scheduler/numa-placement-predicted"
SKIP_PODGROUPER: Final = "kai.scheduler/skip-podgrouper"
#: On a ResourceClaim: who has allocated it, and when. Ours.
ALLOCATED_ANNOTATION: Final = "kai.scheduler/allocated"
EXTENDED_CLAIM_ANNOTATION: Final = "resource.kubernetes.io/extended-resource-claim"
SEGMENT_SIZE_ANNOTATION: Final = "kai.scheduler/segment-size"
SEGMENT_REQUIRED_ANNOTATION: Final = "kai.scheduler/segment-topology-required-placement"
SEGMENT_PREFERRED_ANNOTATION: Final = "kai.scheduler/segment-topology-preferred-placement"
#: Label and annotation: for whom the workload runs; copied to its podgroup.
USER_KEY: Final = "user"

# of workload controllers --------------------------------------------------------------------------
JOBSET_JOB_LABEL: Final = "jobset.sigs.k8s.io/replicatedjob-name"
JOBSET_INDEX_LABEL: Final = "jobset.sigs.k8s.io/job-index"
KUBEFLOW_JOB_LABEL: Final = "training.kubeflow.org/job-name"
KUBEFLOW_ROLE_LABEL: Final = "training.kubeflow.org/job-role"
KUBEFLOW_REPLICA_TYPE_LABEL: Final = "training.kubeflow.org/replica-type"
KUBEFLOW_REPLICA_INDEX_LABEL: Final = "training.kubeflow.org/replica-index"
LWS_GROUP_INDEX_LABEL: Final = "leaderworkerset.sigs.k8s.io/group-index"
LWS_WORKER_INDEX_LABEL: Final = "leaderworkerset.sigs.k8s.io/worker-index"
LWS_SIZE_ANNOTATION: Final = "leaderworkerset.sigs.k8s.io/size"
RAY_GROUP_LABEL: Final = "ray.io/group"
RAY_PRIORITY_CLASS_LABEL: Final = "ray.io/priority-class-name"
KNATIVE_CONFIGURATION_LABEL: Final = "serving.knative.dev/configuration"
KNATIVE_REVISION_LABEL: Final = "serving.knative.dev/revision"
KNATIVE_MIN_SCALE_ANNOTATION: Final = "autoscaling.knative.dev/min-scale"
GROVE_PODGANG_LABEL: Final = "grove.io/podgang"
GROVE_TOPOLOGY_ANNOTATION: Final = "grove.io/topology-name"
COSCHEDULING_LABEL: Final = "scheduling.x-k8s.io/pod-group"
COSCHEDULING_OLD_LABEL: Final = "pod-group.scheduling.sigs.k8s.io"
SPARK_APP_LABEL: Final = "spark-app-name"
SPARK_SELECTOR_LABEL: Final = "spark-app-selector"

# Kubernetes' own ----------------------------------------------------------------------------------
#: Without this finalizer nobody takes a claim's devices back.
CLAIM_PROTECTION: Final = "resource.kubernetes.io/delete-protection"
#: Names the entry of ``spec.resourceClaims`` for which a claim was made from a template.
POD_CLAIM_ANNOTATION: Final = "resource.kubernetes.io/pod-claim-name"
LAST_APPLIED_ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"
HOSTNAME_LABEL: Final = "kubernetes.io/hostname"
#: Which of its Job's, or of its StatefulSet's pods a pod is.
JOB_INDEX_LABEL: Final = "batch.kubernetes.io/job-completion-index"
POD_INDEX_LABEL: Final = "apps.kubernetes.io/pod-index"
#: Which template a pod of a Deployment, or of an Argo Rollout, was made from.
POD_TEMPLATE_HASH_LABEL: Final = "pod-template-hash"
ROLLOUT_HASH_LABEL: Final = "rollouts-pod-template-hash"
UNSCHEDULABLE_TAINT: Final = "node.kubernetes.io/unschedulable"
NVIDIA_GPU: Final = "nvidia.com/gpu"
GPU_MEMORY_LABEL: Final = "nvidia.com/gpu.memory"
AMD_GPU: Final = "amd.com/gpu"
#: Driver and DeviceClass of the GPUs that are claimed instead of requested.
NVIDIA_DEVICES: Final = "gpu.nvidia.com"
MIG_PREFIX: Final = "nvidia.com/mig-"

# queues and priorities ----------------------------------------------------------------------------
DEFAULT_QUEUE: Final = "default-queue"
DEFAULT_PARENT_QUEUE: Final = "default-parent-queue"
DEFAULT_QUEUE_PRIORITY: Final = 100
DEFAULT_PRIORITY: Final = 50
#: Podgroups at or above this priority are not preemptible, unless they say otherwise.
NON_PREEMPTIBLE_PRIORITY: Final = 100
