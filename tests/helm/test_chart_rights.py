"""Rights on paper: whatever the code reads has a rule, and nothing is granted in general terms."""

from __future__ import annotations

import pytest

from kai_py.kube.election import LEASES
from kai_py.operators import kinds, last_settings, shadow, usage
from kai_py.podgrouper.kinds.registry import KINDS

from .charts import EVERYTHING, NAMESPACE, VALUE_SETS, of_kind, one_of, render

#: Plurals that are not the kind and an s.
PLURALS = {"PodClique": "podcliques"}
#: Groups in which we may write.
WRITES = {
    "pods": {"delete"},
    "pods/binding": {"create"},
    "pods/eviction": {"create"},
    "pods/status": {"patch"},
    "pods/finalizers": {"update"},
    "persistentvolumes": {"patch"},
    "persistentvolumeclaims": {"patch"},
    "resourceclaims.resource.k8s.io": {"create", "patch", "delete"},
    "resourceclaims/status.resource.k8s.io": {"update", "patch"},
    "resourceclaims/binding.resource.k8s.io": {"update", "patch"},
    "podgroups.scheduling.run.ai": {"create", "patch"},
    "podgroups/status.scheduling.run.ai": {"patch"},
    "queues/status.scheduling.run.ai": {"patch"},
    "podgroups/status.scheduling.k8s.io": {"patch"},
    "podgroups/status.scheduling.x-k8s.io": {"patch"},
    "events.events.k8s.io": {"create", "patch"},
}


REVIEWS = (("token", "authentication"), ("subjectaccess", "authorization"))


def granted(role):
    """Verbs by resource and group."""
    verbs = {}
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                verbs.setdefault((group, resource), set()).update(rule["verbs"])
    return verbs


def watched():
    """All kinds that reflectors, kopf and audits read in the whole cluster."""
    for value in vars(kinds).values():
        for kind in value if isinstance(value, tuple) else (value,):
            if isinstance(kind, kinds.ResourceKind) and kind is not kinds.CONFIG_MAPS:
                yield kind


def test_every_kind_that_is_watched_may_be_read():
    rules = granted(one_of(render(), "ClusterRole"))
    found = {(kind.group, kind.plural) for kind in watched()}
    assert len(found) > 20
    assert [kind for kind in sorted(found) if not {"list", "watch"} <= rules.get(kind, set())] == []


def test_every_kind_of_owner_that_has_a_rule_may_be_read():
    rules = granted(one_of(render(), "ClusterRole"))
    plurals = {(group, PLURALS.get(kind, f"{kind.lower()}s")) for group, kind in KINDS}
    assert [kind for kind in sorted(plurals) if rules.get(kind) is None or not {"list", "watch"} <= rules[kind]] == []


def test_more_owners_may_be_named():
    assert granted(one_of(render(EVERYTHING), "ClusterRole"))["example.com", "trainingruns"] == {"list", "watch"}


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS)
def test_nothing_is_granted_in_general_terms(values):
    for role in [*of_kind(render(values), "ClusterRole"), *of_kind(render(values), "Role")]:
        for rule in role["rules"]:
            if role["metadata"]["name"] == "kai-py-decisions":
                assert rule == {"nonResourceURLs": ["/decisions"], "verbs": ["get"]}
                continue
            words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            if role["metadata"]["name"] == "kai-py-webhooks" and rule.get("resourceNames") == ["kai-py-webhooks"]:
                words -= {"secrets"}  # their own certificate, and no other
            assert not {"*", "secrets", "impersonate", "bind", "escalate", "pods/exec", "nodes/proxy"} & words
            assert "nonResourceURLs" not in rule


def writes(role):
    reads = {"get", "list", "watch"}
    rules = {f"{resource}.{group}".rstrip("."): verbs - reads for (group, resource), verbs in granted(role).items()}
    return {resource: verbs for resource, verbs in rules.items() if verbs}


def test_these_are_all_writes_in_the_whole_cluster():
    assert writes(one_of(render(), "ClusterRole")) == WRITES


def test_pods_may_only_be_changed_where_gpus_are_shared():
    shared = {**WRITES, "pods": {"delete", "patch"}}
    assert writes(one_of(render({"settings": {"gpuSharing": "trusted"}}), "ClusterRole")) == shared
    assert writes(one_of(render({"rbac": {"sharedGpus": True}}), "ClusterRole")) == shared


def test_templates_of_claims_are_only_made_where_gpus_are_shared_by_claims():
    making = {**WRITES, "resourceclaimtemplates.resource.k8s.io": {"create", "delete"}}
    claims = {"deviceClassName": "shared"}
    for values in (
        {"settings": {"gpuSharing": "claims", "gpuShareClaims": claims}},
        {"settings": {"gpuSharingChoices": ["claims"], "gpuShareClaims": claims}},
        {"rbac": {"gpuShareClaims": True}},
    ):
        roles = render(values)
        assert writes(one_of(roles, "ClusterRole")) == making
        assert granted(one_of(roles, "ClusterRole", "kai-py-webhooks"))["resource.k8s.io", "deviceclasses"] == {"list"}
    both = {"settings": {"gpuSharing": "claims", "gpuSharingChoices": ["reservation"], "gpuShareClaims": claims}}
    shared = {"pods": {"delete", "patch"}, "configmaps": {"create", "patch"}}
    assert writes(one_of(render(both), "ClusterRole")) == {**making, **shared}


def test_who_may_use_queues_is_only_asked_where_settings_say_so():
    asking = {**WRITES, "subjectaccessreviews.authorization.k8s.io": {"create"}}
    settings = {"queues": {"authorization": "subjectAccessReview"}}
    assert writes(one_of(render({"settings": settings}), "ClusterRole")) == asking
    assert writes(one_of(render({"rbac": {"accessReviews": True}}), "ClusterRole")) == asking


def test_nodes_are_only_asked_for_where_settings_say_so():
    asking = {**WRITES, "provisioningrequests.autoscaling.x-k8s.io": {"create", "delete"}}
    asking["podtemplates"] = {"create", "delete"}
    settings = {"autoscaling": {"provisioningClass": "example.com"}}
    assert writes(one_of(render({"settings": settings}), "ClusterRole")) == asking
    assert writes(one_of(render({"rbac": {"provisioningRequests": True}}), "ClusterRole")) == asking


def test_tokens_are_only_looked_at_where_decisions_are_shown_to_others():
    reviews = {f"{kind}reviews.{group}.k8s.io": {"create"} for kind, group in REVIEWS}
    assert writes(one_of(render({"decisions": {"expose": True}}), "ClusterRole")) == WRITES | reviews
    assert of_kind(render(), "ClusterRole", "kai-py-decisions") == []


def test_templates_of_claims_are_only_read_where_other_settings_are_tried_out():
    right = ("resource.k8s.io", "resourceclaimtemplates")
    assert right not in granted(one_of(render(), "ClusterRole"))
    assert granted(one_of(render({"shadow": {"placement": {"gpu": "spread"}}}), "ClusterRole"))[right] == {"list"}


def test_configmaps_and_leases_are_those_of_the_scheduler_alone():
    assert not any(resource in ("configmaps", "leases") for _, resource in granted(one_of(render(), "ClusterRole")))
    role = one_of(render(), "Role")
    assert role["metadata"]["namespace"] == NAMESPACE
    assert [one["metadata"]["name"] for one in of_kind(render(), "Role")] == ["kai-py", "kai-py-webhooks"]
    named = {(*rule["resources"], *rule.get("resourceNames", ())): set(rule["verbs"]) for rule in role["rules"]}
    assert named == {
        ("configmaps", "kai-py-settings"): {"get", "list", "watch"},
        ("configmaps", usage.NAME, shadow.NAME, last_settings.NAME): {"get", "update"},
        ("configmaps",): {"create"},
        (LEASES.plural, "kai-py"): {"get", "update"},
        (LEASES.plural,): {"create"},
    }


def test_the_configmap_with_default_priorities_may_be_read_where_it_is():
    role = one_of(render(EVERYTHING), "Role", "kai-py-default-priorities")
    binding = one_of(render(EVERYTHING), "RoleBinding", "kai-py-default-priorities")
    assert role["metadata"]["namespace"] == binding["metadata"]["namespace"] == "defaults"
    assert role["rules"][0]["resourceNames"] == ["priorities"]
    assert binding["subjects"][0]["namespace"] == NAMESPACE


def test_bindings_name_the_account_that_pods_run_as():
    objects = render(EVERYTHING)
    account = one_of(objects, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"]
    for kind in ("ClusterRoleBinding", "RoleBinding"):
        (subject,) = one_of(objects, kind)["subjects"]
        assert subject == {"kind": "ServiceAccount", "name": account, "namespace": NAMESPACE}
        assert one_of(objects, kind)["roleRef"]["name"] == "kai-py"


@pytest.mark.parametrize(
    ("role", "label", "verb", "resource"),
    [
        ("viewer", "view", "list", ("scheduling.run.ai", "queues")),
        ("viewer", "view", "get", ("kai.scheduler", "topologies")),
        ("editor", "edit", "create", ("scheduling.run.ai", "podgroups")),
        ("admin", "admin", "update", ("scheduling.run.ai", "queues")),
    ],
)
def test_users_roles_are_added_to_the_clusters(role, label, verb, resource):
    found = one_of(render(), "ClusterRole", f"kai-py-{role}")
    assert found["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{label}"] == "true"
    assert verb in granted(found)[resource]


def test_who_may_edit_in_a_namespace_may_not_change_queues():
    verbs = granted(one_of(render(), "ClusterRole", "kai-py-editor"))
    assert ("scheduling.run.ai", "queues") not in verbs
