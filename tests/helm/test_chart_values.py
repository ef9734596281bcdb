"""Values are checked before anything is rendered: a wrong key or a wrong type never reaches a cluster."""

from __future__ import annotations

import json

import pytest
import yaml

from kai_py.settings.load import load_settings
from kai_py.settings.model import Settings

from .charts import CHART, EVERYTHING, VALUE_SETS, template

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())


@pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS)
def test_value_sets_are_accepted(values):
    assert template(values).returncode == 0


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"replicas": 2}, "'replicas' not allowed"),
        ({"image": {"version": "1"}}, "'version' not allowed"),
        ({"settings": {"placment": {}}}, "'placment' not allowed"),
        ({"settings": {"placement": {"gpu": "everywhere"}}}, "/settings/placement/gpu"),
        ({"shadow": {"placment": {}}}, "'placment' not allowed"),
        ({"settings": {"gangs": {"stalenessGracePeriod": 60}}}, "/settings/gangs/stalenessGracePeriod"),
        ({"queues": {"team": {"resources": {"gpu": {"qouta": 8}}}}}, "'qouta' not allowed"),
        ({"queues": {"Team_X": {}}}, "/queues': additional properties 'Team_X' not allowed"),
        ({"topologies": {"a b": {}}}, "/topologies': additional properties 'a b' not allowed"),
        ({"topologies": {"racks": {"levels": [{"label": "rack"}]}}}, "/topologies/racks/levels/0"),
        ({"replicaCount": "2"}, "/replicaCount"),
        ({"log": {"level": "loud"}}, "/log/level"),
        ({"image": {"digest": "latest"}}, "/image/digest"),
        ({"metrics": {"port": 0}}, "/metrics/port"),
        ({"replicaCount": 2, "leaderElection": {"enabled": False}}, "two schedulers would bind the same pods"),
        (
            {"leaderElection": {"leaseDurationSeconds": 2}},
            "leaseDurationSeconds must be more than renewDeadlineSeconds",
        ),
        ({"leaderElection": {"retryPeriodSeconds": 2}}, "renewDeadlineSeconds, and that more than retryPeriodSeconds"),
        ({"leaderElection": {"leaseDurationSeconds": 2.5}}, "/leaderElection/leaseDurationSeconds"),
        ({"serviceAccount": {"create": False}}, "serviceAccount.name is needed"),
    ],
)
def test_wrong_values_are_refused_and_named(values, said):
    done = template(values)
    assert done.returncode != 0
    assert said in done.stderr


def nodes(schema, path=""):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")


def test_no_object_of_known_fields_takes_unknown_ones():
    assert [path for path, node in nodes(SCHEMA) if "properties" in node and node["additionalProperties"]] == []


def test_every_value_has_a_default_and_a_meaning():
    missing = []
    for path, node in nodes(SCHEMA):
        place = VALUES
        steps = path.split(".")[1:]
        if not steps or steps[0] in ("settings", "shadow"):
            continue
        for step in steps:
            place = place[step] if isinstance(place, dict) and step in place else missing.append(path)
        if "description" not in node:
            missing.append(path)
    assert missing == []


def test_the_schema_of_settings_takes_what_the_scheduler_takes():
    document = Settings().model_dump(mode="json", by_alias=True, exclude_none=True)
    assert load_settings(document) == Settings()
    assert template({"settings": document}).returncode == 0
    load_settings(EVERYTHING["settings"])
