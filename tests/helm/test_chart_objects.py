"""What the chart makes of its values."""

from __future__ import annotations

import pytest
import typer
from typer.main import get_command

from kai_py.api.queue import Queue
from kai_py.api.topology import Topology
from kai_py.cli.run import app
from kai_py.planning.drift import DEFAULT_QUEUES
from kai_py.settings.load import load_settings

from .charts import (
    CHART,
    EVERYTHING,
    NAMESPACE,
    VALUE_SETS,
    is_hook,
    of_kind,
    one_of,
    pods,
    render,
    run_helm,
    scheduler_container,
)

TEMPLATES = [path for path in (CHART / "templates").rglob("*") if path.is_file()]
#: Kinds whose objects live in no namespace.
CLUSTER_WIDE = {
    "MutatingWebhookConfiguration",
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "PriorityClass",
    "Queue",
    "Topology",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ValidatingWebhookConfiguration",
}


@pytest.fixture(params=VALUE_SETS)
def objects(request):
    return render(VALUE_SETS[request.param])


def run_options(container):
    """The options of `kai-py run` as the program understands the container's arguments."""
    program, *arguments = container["args"]
    assert program == "run"
    command = get_command(app)
    return typer.Context(command), command.make_context("run", arguments).params


def test_the_chart_is_sound():
    done = run_helm("lint", str(CHART), "--strict", values=EVERYTHING)
    assert done.returncode == 0, done.stdout


def test_nothing_asks_the_cluster_while_it_is_rendered():
    assert [
        path.name for path in TEMPLATES if "lookup" in path.read_text() or ".Capabilities" in path.read_text()
    ] == []


def test_every_object_is_named_once_labelled_and_in_its_place(objects):
    names = [(one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))
    for one in objects:
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "kai-py"
        assert one["metadata"]["labels"]["app.kubernetes.io/instance"] == "kai-py"
        assert (one["kind"] in CLUSTER_WIDE) == ("namespace" not in one["metadata"]), one["kind"]


def test_every_pod_meets_the_restricted_standard(objects):
    assert pods(objects)
    for spec in pods(objects):
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        volumes = [one for one in spec["volumes"] if one["name"] != "certificate"]
        assert all(set(volume) <= {"name", "emptyDir"} for volume in volumes)
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert all("hostPort" not in port for port in container.get("ports", ()))


def test_tokens_are_only_where_the_api_server_is_asked():
    for spec in pods(render()):
        assert spec["automountServiceAccountToken"] == ("serviceAccountName" in spec)
    assert [one["automountServiceAccountToken"] for one in of_kind(render(), "ServiceAccount")] == [False, False, False]


def test_the_program_understands_the_containers_arguments():
    _, options = run_options(scheduler_container(render()))
    assert options["settings_configmap"] == f"{NAMESPACE}/kai-py-settings"
    assert (options["lease"], options["leader_elect"]) == (f"{NAMESPACE}/kai-py", True)
    times = "lease_duration", "lease_renew_deadline", "lease_retry_period"
    assert [options[name] for name in times] == [3, 2.0, 0.5]
    slow = {"leaseDurationSeconds": 15, "renewDeadlineSeconds": 10, "retryPeriodSeconds": 2.5}
    _, slower = run_options(scheduler_container(render({"leaderElection": slow})))
    assert [slower[name] for name in times] == [15, 10.0, 2.5]
    assert (options["metrics_port"], options["probes_port"]) == (8080, 8081)
    assert options["decisions_address"] == "127.0.0.1:8082"
    _, exposed = run_options(scheduler_container(render({"decisions": {"expose": True, "port": 9}})))
    assert exposed["decisions_address"] == "0.0.0.0:9"
    assert (options["log_format"], options["log_level"]) == ("json", "info")
    _, alone = run_options(scheduler_container(render(VALUE_SETS["alone"])))
    assert alone["leader_elect"] is False
    _, more = run_options(scheduler_container(render({"extraArgs": ["--scheduler-name=mine"]})))
    assert more["scheduler_name"] == "mine"


def test_probes_ask_the_port_that_the_program_serves():
    container = scheduler_container(render({"probes": {"port": 9000, "startupSeconds": 60}}))
    _, options = run_options(container)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert options["probes_port"] == ports["probes"] == 9000
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "probes"}
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 60


@pytest.mark.parametrize(
    ("image", "written"),
    [
        ({}, "ghcr.io/kai-py/kai-py:0.1.0"),
        ({"tag": "7"}, "ghcr.io/kai-py/kai-py:7"),
        ({"registry": "", "repository": "mine", "tag": "7"}, "mine:7"),
        ({"digest": "sha256:" + "a" * 64, "tag": "7"}, "ghcr.io/kai-py/kai-py@sha256:" + "a" * 64),
    ],
)
def test_the_image(image, written):
    assert scheduler_container(render({"image": image}))["image"] == written


def test_settings_reach_the_scheduler_as_they_were_given():
    (configmap,) = of_kind(render(EVERYTHING), "ConfigMap", "kai-py-settings")
    assert load_settings(configmap["data"]["settings.yaml"]) == load_settings(EVERYTHING["settings"])
    assert load_settings(configmap["data"]["shadow.yaml"]) == load_settings(EVERYTHING["shadow"])
    (empty,) = of_kind(render(), "ConfigMap", "kai-py-settings")
    assert set(empty["data"]) == {"settings.yaml"}
    assert load_settings(empty["data"]["settings.yaml"]) == load_settings("")


def test_only_what_cannot_change_while_it_runs_starts_the_scheduler_again():
    def checksum(settings):
        template = one_of(render({"settings": settings}), "Deployment")["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/identity"]

    assert checksum({}) == checksum({"placement": {"gpu": "spread"}})
    assert len({checksum({}), checksum({"schedulerNames": ["a"]}), checksum({"nodePool": {"value": "a"}})}) == 3


def test_queues_and_topologies_are_what_the_models_understand():
    objects = render(EVERYTHING)
    queues = {one["metadata"]["name"]: Queue.parse(one) for one in of_kind(objects, "Queue")}
    assert set(queues) == {"default-parent-queue", "default-queue", "team"}
    assert queues["team"].spec.resources.gpu.quota == 8
    (topology,) = of_kind(objects, "Topology")
    assert Topology.parse(topology).spec.levels[0].alias == "rack"
    kept = [*of_kind(objects, "Queue"), topology, *of_kind(objects, "PriorityClass")]
    assert {one["metadata"]["annotations"]["helm.sh/resource-policy"] for one in kept} == {"keep"}
    assert {one["metadata"]["labels"]["kai.scheduler/node-pool"] for one in of_kind(objects, "Queue")} == {"left"}


def test_drift_knows_the_queues_that_the_chart_makes_by_itself():
    assert {one["metadata"]["name"]: one["spec"] for one in of_kind(render(), "Queue")} == DEFAULT_QUEUES
    changed = {"queues": {"default-queue": {"parentQueue": "default-parent-queue", "priority": 7}}}
    (queue,) = of_kind(render(changed), "Queue", "default-queue")
    assert queue["spec"]["priority"] == 7


def test_a_disruption_budget_needs_somebody_who_takes_over():
    assert one_of(render(), "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    assert of_kind(render({"replicaCount": 1}), "PodDisruptionBudget") == []
    assert one_of(render(VALUE_SETS["alone"]), "Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_selectors_match_the_schedulers_pods_and_no_others():
    objects = render(EVERYTHING)
    labels = one_of(objects, "Deployment")["spec"]["template"]["metadata"]["labels"]
    job = one_of(objects, "Job", "kai-py-crds")["spec"]["template"]["metadata"]["labels"]
    (constraint,) = one_of(objects, "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    selectors = [
        one_of(objects, "Deployment")["spec"]["selector"]["matchLabels"],
        one_of(objects, "Service")["spec"]["selector"],
        one_of(objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        constraint["labelSelector"]["matchLabels"],
    ]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= job.items()


def test_names_follow_the_release():
    objects = render({"fullnameOverride": "left"})
    assert one_of(objects, "Deployment", "left")
    _, options = run_options(one_of(objects, "Deployment", "left")["spec"]["template"]["spec"]["containers"][0])
    assert options["lease"] == f"{NAMESPACE}/left"


def test_only_the_job_before_upgrades_and_the_tests_are_hooks():
    hooks = {(one["kind"], one["metadata"]["annotations"]["helm.sh/hook"]) for one in filter(is_hook, render())}
    upgrade = {(kind, "pre-upgrade") for kind in ("Job", "ServiceAccount", "ClusterRole", "ClusterRoleBinding")}
    assert hooks == upgrade | {("Pod", "test")}
    for one in of_kind(render(), "Job"):
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert container["args"] == ["crds", "--apply"]
