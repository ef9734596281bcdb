"""``kai-py webhooks``: what it prints, and what it refuses."""

import yaml


def test_the_manifest_names_service_settings_and_schedulers(kai):
    answer = kai(
        *("webhooks", "--manifest", "--service", "sched/hooks", "--settings-configmap", "sched/mine"),
        *("--configuration", "hooks", "--scheduler-name", "a", "--scheduler-name", "b"),
    )
    made, changing = yaml.safe_load_all(answer.stdout)
    assert (made["kind"], made["metadata"]["name"]) == ("ValidatingWebhookConfiguration", "hooks")
    by_name = {one["name"].partition(".")[0]: one for one in made["webhooks"]}
    assert set(by_name) == {"queues", "podgroups", "topologies", "pods", "settings"}
    assert by_name["queues"]["clientConfig"]["service"]["namespace"] == "sched"
    assert by_name["settings"]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "sched"}
    assert by_name["settings"]["matchConditions"][0]["expression"] == 'request.name == "mine"'
    assert by_name["pods"]["matchConditions"][0]["expression"] == 'object.spec.schedulerName in ["a", "b"]'
    assert (changing["kind"], changing["metadata"]["name"]) == ("MutatingWebhookConfiguration", "hooks")
    (sharing,) = changing["webhooks"]
    assert sharing["matchConditions"][0]["expression"] == 'object.spec.schedulerName in ["a", "b"]'
    assert sharing["clientConfig"]["service"] == {
        "namespace": "sched",
        "name": "hooks",
        "port": 443,
        "path": "/shared-gpus",
    }


def test_a_service_without_a_namespace_is_refused(kai):
    answer = kai("webhooks", "--manifest", "--service", "hooks")
    assert answer.exit_code == 2
    assert "NAMESPACE/NAME" in answer.stderr
