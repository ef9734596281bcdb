from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from kai_py.api.meta import ObjectMeta, Record
from kai_py.errors import GoneError, MalformedObjectError, UnavailableError
from kai_py.kube.wire import Lines, read_events, read_page


class Thing(Record, frozen=True):
    metadata: ObjectMeta
    size: int = 0


def thing(name: str, version: int = 1, size: object = 0) -> dict[str, object]:
    return {"metadata": {"namespace": "ns", "name": name, "resourceVersion": str(version)}, "size": size}


def line(kind: str, obj: object) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode()


class Reported(list[tuple[str, str]]):
    def __call__(self, kind: str, name: str, _error: MalformedObjectError) -> None:
        self.append((kind, name))


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"."))), st.lists(st.integers(0, 40)))
def test_lines_do_not_depend_on_how_the_stream_was_cut(texts: list[bytes], cuts: list[int]):
    whole = b"".join(text + b"\n" for text in texts)
    lines, found, start = Lines(), [], 0
    for cut in cuts:
        found += lines.feed(whole[start : start + cut])
        start += cut
    assert found + lines.feed(whole[start:]) == texts


def test_a_line_of_many_megabytes_is_a_line():
    lines, piece = Lines(), b"x" * 65536
    for _ in range(160):
        assert lines.feed(piece) == []
    [line] = lines.feed(b"\n")
    assert len(line) == 160 * 65536


def test_events_keep_their_order_and_say_where_to_resume():
    reported = Reported()
    batch = read_events(Thing, [line("ADDED", thing("a", 5)), line("DELETED", thing("a", 6))], reported)
    assert [(kind, obj.metadata.name) for kind, obj in batch.events] == [("ADDED", "a"), ("DELETED", "a")]
    assert batch.resource_version == "6"
    assert batch.error is None
    assert reported == []


def test_a_bookmark_moves_the_version_and_is_no_event():
    bookmark = {"kind": "Thing", "metadata": {"resourceVersion": "9", "creationTimestamp": None}, "size": None}
    batch = read_events(Thing, [line("BOOKMARK", bookmark)], Reported())
    assert (batch.events, batch.resource_version) == ([], "9")


def test_a_malformed_object_is_reported_and_the_others_are_kept():
    reported = Reported()
    lines = [line("ADDED", thing("a", 1)), line("MODIFIED", thing("b", 2, "big")), line("ADDED", thing("c", 3))]
    batch = read_events(Thing, lines, reported)
    assert [obj.metadata.name for _, obj in batch.events] == ["a", "c"]
    assert reported == [("Thing", "ns/b")]


def test_a_malformed_object_at_the_end_moves_the_version_nevertheless():
    batch = read_events(Thing, [line("MODIFIED", thing("b", 7, "big"))], Reported())
    assert batch.resource_version == "7"


def test_an_object_without_a_name_is_reported_without_one():
    reported = Reported()
    read_events(Thing, [line("ADDED", {"metadata": 7})], reported)
    assert reported == [("Thing", "")]


def test_an_error_event_ends_the_batch():
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    lines = [line("ADDED", thing("a")), line("ERROR", gone), line("ADDED", thing("b"))]
    batch = read_events(Thing, lines, Reported())
    assert [obj.metadata.name for _, obj in batch.events] == ["a"]
    assert isinstance(batch.error, GoneError)


def test_a_broken_line_ends_the_batch_before_it():
    batch = read_events(
        Thing, [line("ADDED", thing("a", 3)), b'{"type":"ADD', line("ADDED", thing("b", 4))], Reported()
    )
    assert batch.resource_version == "3"
    assert isinstance(batch.error, UnavailableError)


def test_a_page_tells_what_it_could_not_read():
    reported = Reported()
    body = json.dumps(
        {"metadata": {"resourceVersion": "8", "continue": "go"}, "items": [thing("a"), thing("b", 1, "x")]}
    )
    page = read_page(Thing, body.encode(), reported)
    assert [obj.metadata.name for obj in page.objects] == ["a"]
    assert page.unreadable == {("ns", "b")}
    assert (page.resource_version, page.next_token) == ("8", "go")
    assert reported == [("Thing", "ns/b")]


def test_an_empty_list_may_be_null():
    assert read_page(Thing, b'{"metadata":{"resourceVersion":"1"},"items":null}', Reported()).objects == []
