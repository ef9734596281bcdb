"""Reviews of who may use a queue: asked once, asked again, closed while nobody answers."""

from __future__ import annotations

import json
from typing import Any

from kai_py.cluster.access import AccessBook
from kai_py.cluster.namespaces import NamespaceBook
from kai_py.cluster.queues import QueueBook
from kai_py.errors import UnavailableError
from kai_py.operators.access import PATH, QueueReviews, review_of
from tests.cluster.objects import queue


class Server:
    """Answers reviews; what it allows is (queue, group)."""

    def __init__(self, *allowed: tuple[str, str]) -> None:
        self.allowed = set(allowed)
        self.down = False
        self.asked: list[str] = []

    async def post(self, path: str, body: dict[str, Any]) -> bytes:
        assert path == PATH
        if self.down:
            raise UnavailableError("no answer")
        spec = body["spec"]
        name = spec["resourceAttributes"]["name"]
        self.asked.append(name)
        return json.dumps({"status": {"allowed": any((name, one) in self.allowed for one in spec["groups"])}}).encode()


def a_book() -> AccessBook:
    queues = QueueBook()
    queues.put(queue("a"))
    queues.put(queue("b"))
    book = AccessBook(queues, NamespaceBook())
    book.review(wanted=True)
    return book


async def test_answers_open_and_close_queues():
    server, book, woken = Server(("a", "system:serviceaccounts:ns")), a_book(), []
    reviews = QueueReviews(server, book, lambda: woken.append(1))
    assert book.refusal("a", "ns")
    assert book.refusal("b", "ns")
    await reviews.ask(list(book.wanted))
    assert (book.refusal("a", "ns"), woken) == (None, [1])
    assert book.refusal("b", "ns")[1]["verb"] == "use"
    server.allowed.clear()
    await reviews.ask([*book.reviews])
    assert book.refusal("a", "ns")[1]["verb"] == "use"


async def test_while_nobody_answers_old_answers_hold_and_nobody_new_comes_in():
    server, book = Server(("a", "system:serviceaccounts:ns"), ("b", "system:serviceaccounts:ns")), a_book()
    reviews = QueueReviews(server, book, lambda: None)
    await reviews.ask([("a", "ns")])
    server.down = True
    await reviews.ask([("a", "ns"), ("b", "ns")])
    assert book.refusal("a", "ns") is None
    assert "message" in book.refusal("b", "ns")[1]


def test_the_subject_is_the_namespace():
    spec = review_of("vision", "lab")["spec"]
    assert spec["resourceAttributes"] == {
        "group": "scheduling.run.ai",
        "resource": "queues",
        "name": "vision",
        "verb": "use",
    }
    assert spec["user"] == "system:serviceaccount:lab:default"
    assert "system:serviceaccounts:lab" in spec["groups"]
