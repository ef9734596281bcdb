import io
import json

import pytest

from kai_py.planning.documents import read_documents
from kai_py.planning.manifests import Unreadable

TWO = "a: 1\n---\nb: 2\n"


def read(text):
    return [(one.source, one.manifest) for one in read_documents(["-"], io.StringIO(text))]


def manifests(text):
    return [manifest for _, manifest in read(text)]


@pytest.mark.parametrize(
    "text",
    [
        TWO,
        f"---\n{TWO}",
        f"# comment\n---\n{TWO}",
        f"%YAML 1.1\n---\n{TWO}",
        f"{TWO}---\n",
        f"{TWO}...\n",
        "--- {a: 1}\n--- {b: 2}",
        '[{"a": 1}, {"b": 2}]',
        "- a: 1\n- b: 2\n",
        "{a: 1}\n---\n{b: 2}\n",
        TWO.replace("\n", "\r\n"),
    ],
)
def test_documents_are_told_apart(text):
    assert manifests(text) == [{"a": 1}, {"b": 2}]


def test_documents_are_numbered_as_they_stand_in_the_file():
    assert [source for source, _ in read("a: 1\n---\n# nothing\n---\nb: 2\n")] == [
        "standard input document 1",
        "standard input document 3",
    ]


def test_an_empty_file_has_no_documents():
    assert read("") == read("# nothing\n") == []


def test_a_marker_inside_a_text_is_part_of_it():
    assert manifests("a: |\n  x\n  ---\n  y\n") == [{"a": "x\n---\ny\n"}]


def test_a_timestamp_is_text_as_the_api_server_sees_it():
    assert manifests("t: 2026-01-01T00:00:00Z\nd: 2026-01-01\n") == [{"t": "2026-01-01T00:00:00Z", "d": "2026-01-01"}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\na: 2\n", "line 2: is not YAML: key 'a' is given twice"),
        ("x: 1\n---\na: [1\n", "line 4: is not YAML"),
        ("a: !!python/object:os.system x\n", "line 1: is not YAML"),
        ('{"a": 1,, "b": 2}', "line 1: is not YAML"),
    ],
)
def test_what_is_not_yaml_is_named_with_its_line(text, says):
    (unreadable,) = [one for one in manifests(text) if isinstance(one, Unreadable)]
    assert says in unreadable.message


def test_what_is_merged_may_be_overridden():
    text = """
base: &base {cpu: 1, gpu: {quota: 1}}
first: &first
  <<: *base
  gpu: {quota: 2}
deeper:
  second: &second {<<: *first, cpu: 3}
third: {<<: [*second, *base]}
"""
    ((_, found),) = read(text)
    assert found["first"] == {"cpu": 1, "gpu": {"quota": 2}}
    assert found["third"] == found["deeper"]["second"] == {"cpu": 3, "gpu": {"quota": 2}}


def test_a_key_that_is_given_twice_is_found_beside_what_is_merged():
    ((_, found),) = read("a: &a {x: 1}\nb:\n  <<: *a\n  y: 1\n  y: 2\n")
    assert found == Unreadable("line 5: is not YAML: key 'y' is given twice")


def test_a_mistake_in_one_document_does_not_hide_the_others():
    first, second, third = manifests("a: 1\n---\nb: [\n---\nc: 3\n")
    assert (first, third) == ({"a": 1}, {"c": 3})
    assert isinstance(second, Unreadable)


def test_a_folder_is_read_with_the_folders_in_it_in_order_of_name(tmp_path):
    (tmp_path / "deeper").mkdir()
    (tmp_path / "b.yml").write_text("n: b")
    (tmp_path / "a.json").write_text(json.dumps({"n": "a"}))
    (tmp_path / "deeper" / "c.yaml").write_text("n: c")
    (tmp_path / "notes.txt").write_text("n: no")
    (tmp_path / ".hidden.yaml").write_text("n: no")
    found = read_documents([str(tmp_path)], io.StringIO())
    assert [(one.manifest["n"], one.source) for one in found] == [
        ("a", str(tmp_path / "a.json")),
        ("b", str(tmp_path / "b.yml")),
        ("c", str(tmp_path / "deeper" / "c.yaml")),
    ]


def test_what_cannot_be_opened_is_reported_in_its_place(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "latin.yaml").write_bytes("ü: 1".encode("latin-1"))
    paths = [str(tmp_path / name) for name in ("missing.yaml", "empty", "latin.yaml")]
    found = list(read_documents(paths, io.StringIO()))
    assert [one.source for one in found] == paths
    assert [type(one.manifest) for one in found] == [Unreadable] * 3
