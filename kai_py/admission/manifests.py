"""The webhook configurations: which requests are asked about.

Every webhook has ``failurePolicy: Ignore`` and two seconds, so that the cluster goes on while we are down; conditions
keep away what is not ours, so that most pods of a cluster never ask.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from kai_py.admission.shared_gpus import ANNOTATIONS as SHARING
from kai_py.api.keys import QUEUE_LABEL, SCHEDULER_NAME

NAME: Final = "kai-py"
SUFFIX: Final = "webhooks.kai-py.dev"
TIMEOUT_SECONDS: Final = 2
SERVICE_PORT: Final = 443

Client = dict[str, Any]


def service_client(namespace: str, name: str, *, port: int = SERVICE_PORT) -> Client:
    """How the API server reaches us inside the cluster."""
    return {"service": {"namespace": namespace, "name": name, "port": port}}


def webhook_configuration(
    client: Client,
    *,
    name: str = NAME,
    settings: tuple[str, str] = ("kai-scheduler", "kai-py-settings"),
    scheduler_names: Sequence[str] = (SCHEDULER_NAME,),
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The object, without ``caBundle``: whoever has the certificate adds it.

    Args:
        client: ``clientConfig`` with a service, or with the ``url`` of a server outside the cluster.
        name: of the object.
        settings: namespace and name of the ConfigMap with the settings.
        scheduler_names: pods with one of these are asked about.
        annotations: of the object, for cert-manager's ``inject-ca-from``.
    """
    ours = {"name": "ours", "expression": f"object.spec.schedulerName in {json.dumps(list(scheduler_names))}"}
    labelled = {
        "name": "names-a-queue",
        "expression": f"has(object.metadata.labels) && '{QUEUE_LABEL}' in object.metadata.labels",
    }
    named = {"name": "settings", "expression": f"request.name == {json.dumps(settings[1])}"}
    in_namespace = {"matchLabels": {"kubernetes.io/metadata.name": settings[0]}}
    changes = ["CREATE", "UPDATE"]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": name} | ({"annotations": annotations} if annotations else {}),
        "webhooks": [
            _webhook(client, "queues", "scheduling.run.ai", "v2", "queues", [*changes, "DELETE"]),
            _webhook(client, "podgroups", "scheduling.run.ai", "v2alpha2", "podgroups", changes),
            _webhook(client, "topologies", "kai.scheduler", "v1alpha1", "topologies", changes),
            _webhook(client, "pods", "", "v1", "pods", ["CREATE"], matchConditions=[ours, labelled]),
            _webhook(
                client,
                "settings",
                "",
                "v1",
                "configmaps",
                changes,
                namespaceSelector=in_namespace,
                matchConditions=[named],
            ),
        ],
    }


def mutating_configuration(
    client: Client,
    *,
    name: str = NAME,
    scheduler_names: Sequence[str] = (SCHEDULER_NAME,),
    annotations: dict[str, str] | None = None,
) -> dict[str, Any]:
    """The MutatingWebhookConfiguration, without ``caBundle``: pods that share GPUs are prepared for it.

    Args:
        client: as for :func:`webhook_configuration`.
        name: of the object.
        scheduler_names: pods with one of these are asked about.
        annotations: of the object.
    """
    ours = {"name": "ours", "expression": f"object.spec.schedulerName in {json.dumps(list(scheduler_names))}"}
    asks = " || ".join(f"'{key}' in object.metadata.annotations" for key in SHARING)
    env = "has(c.env) && c.env.exists(e, e.name == 'NVIDIA_VISIBLE_DEVICES')"
    looks = f"object.spec.containers.exists(c, {env})"
    first = f"has(object.spec.initContainers) && object.spec.initContainers.exists(c, {env})"
    about_gpus = f"(has(object.metadata.annotations) && ({asks})) || {looks} || ({first})"
    conditions = [ours, {"name": "shares-or-looks-at-gpus", "expression": about_gpus}]
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name} | ({"annotations": annotations} if annotations else {}),
        "webhooks": [_webhook(client, "shared-gpus", "", "v1", "pods", ["CREATE"], matchConditions=conditions)],
    }


def _webhook(
    client: Client, own: str, group: str, version: str, plural: str, operations: list[str], **more: Any
) -> dict[str, Any]:
    at = dict(client)
    if "url" in at:
        at["url"] = f"{at['url'].rstrip('/')}/{own}"
    else:
        at["service"] = {**at["service"], "path": f"/{own}"}
    rule = {"apiGroups": [group], "apiVersions": [version], "resources": [plural], "operations": operations}
    return {
        "name": f"{own}.{SUFFIX}",
        "admissionReviewVersions": ["v1"],
        "clientConfig": at,
        "rules": [rule],
        "failurePolicy": "Ignore",
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
        **more,
    }
