from pathlib import Path

import pytest
import yaml

from kai_py.api.crd_reference import render_crd_reference
from kai_py.api.crds import render

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "crds"
CRDS = {name: yaml.safe_load(text) for name, text in render().items()}
#: What apiextensions.k8s.io/v1 refuses in a structural schema, or pydantic says and Kubernetes does not know.
FORBIDDEN = {"$ref", "$defs", "title", "const", "exclusiveMinimum", "exclusiveMaximum", "anyOf", "default"}


def nodes(schema, path=""):
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


def schema_of(crd):
    (version,) = crd["spec"]["versions"]
    return version["schema"]["openAPIV3Schema"]


@pytest.mark.parametrize("name", CRDS)
def test_the_files_are_what_the_models_say(name):
    assert (FOLDER / name).read_text() == render()[name]


@pytest.mark.parametrize("crd", CRDS.values(), ids=CRDS)
def test_every_node_of_a_schema_is_structural(crd):
    for path, node in nodes(schema_of(crd)):
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        assert not FORBIDDEN & node.keys(), path


@pytest.mark.parametrize("crd", CRDS.values(), ids=CRDS)
def test_every_field_is_explained(crd):
    root = schema_of(crd)["properties"]
    for part in root.keys() & {"spec", "status"}:
        for path, node in nodes(root[part], part):
            for name, child in node.get("properties", {}).items():
                assert child.get("description"), f"{path}.{name}"


@pytest.mark.parametrize("crd", CRDS.values(), ids=CRDS)
def test_a_list_that_rules_look_at_has_an_end_or_their_cost_would_have_none(crd):
    for path, node in nodes(schema_of(crd)):
        if node.get("type") == "array" and "x-kubernetes-validations" in node.get("items", {}) | node:
            assert "maxItems" in node, path


def test_names_are_kais():
    names = {name: crd["spec"]["names"] for name, crd in CRDS.items()}
    assert names["scheduling.run.ai_podgroups.yaml"]["shortNames"] == ["pg"]
    assert names["scheduling.run.ai_queues.yaml"]["plural"] == "queues"
    assert all(each["categories"] == ["kai"] for each in names.values())


def test_the_page_is_what_the_schemas_say():
    assert (ROOT / "docs" / "reference" / "crds.md").read_text() == render_crd_reference()
