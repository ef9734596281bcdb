"""Who may read the decision log, and what they get."""

import json

import aiohttp
import pytest

from kai_py.errors import UnavailableError
from kai_py.kube.reviews import BELIEVED, Reviews, Verdict
from kai_py.operators.decision_server import is_loopback, serving
from kai_py.telemetry.decision_log import DecisionLog

USER = {"username": "ann", "uid": "1", "groups": ["devs"], "extra": {"k": ["v"]}}


class Server:
    """Answers reviews: ``good`` may, ``poor`` may not, others are not known."""

    def __init__(self):
        self.asked = []
        self.error = None

    async def post(self, path, body):
        self.asked.append((path, body["spec"]))
        if self.error is not None:
            raise self.error
        if body["kind"] == "TokenReview":
            token = body["spec"]["token"]
            known = token in ("good", "poor")
            return json.dumps({"status": {"authenticated": known, "user": USER | {"username": token}}}).encode()
        return json.dumps({"status": {"allowed": body["spec"]["user"] == "good"}}).encode()


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def log():
    log = DecisionLog()
    for number in range(3):
        log._add({"kind": "bind", "pod": f"ns/p-{number}", "podGroup": "ns/g", "queue": "q", "why": "It fits."})
    return log


async def get(port, query="", **headers):
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/decisions{query}", headers=headers) as response,
    ):
        return response.status, await response.json()


async def test_this_machine_reads_without_a_token(server, log):
    async with serving(log, Reviews(server), ("127.0.0.1", 0), lambda: True) as port:
        status, answer = await get(port, "?since=1&queue=q&limit=1")
        assert (status, answer["kind"], answer["leader"], answer["last"]) == (200, "DecisionList", True, 3)
        assert [one["pod"] for one in answer["items"]] == ["ns/p-2"]
        assert (await get(port, "?colour=red"))[0] == 400
        assert (await get(port, "?limit=-1"))[0] == 400
        async with aiohttp.ClientSession() as session:
            posted = await session.post(f"http://127.0.0.1:{port}/decisions")
            assert posted.status == 405
    assert server.asked == []


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (None, 401),
        ("Basic eDp5", 401),
        ("Bearer ", 401),
        ("Bearer bad", 401),
        ("Bearer poor", 403),
        ("Bearer good", 200),
    ],
)
async def test_others_need_a_token_and_the_right(server, log, header, status):
    async with serving(log, Reviews(server), ("0.0.0.0", 0), lambda: True) as port:
        found, answer = await get(port, **({"Authorization": header} if header else {}))
        assert found == status
        assert ("items" in answer) == (status == 200)


async def test_without_the_api_server_nobody_is_let_in(server, log):
    server.error = UnavailableError("gone")
    async with serving(log, Reviews(server), ("0.0.0.0", 0), lambda: True) as port:
        assert (await get(port, Authorization="Bearer good"))[0] == 503


async def test_the_review_is_about_the_path_and_the_whole_user(server):
    assert await Reviews(server).may_get("good", "/decisions") is Verdict.ALLOWED
    (token_path, _), (access_path, access) = server.asked
    assert token_path == "/apis/authentication.k8s.io/v1/tokenreviews"
    assert access_path == "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    assert access == {
        "user": "good",
        "uid": "1",
        "groups": ["devs"],
        "extra": {"k": ["v"]},
        "nonResourceAttributes": {"path": "/decisions", "verb": "get"},
    }


async def test_an_answer_is_believed_for_a_while_and_refusals_too(server):
    moment = [0.0]
    reviews = Reviews(server, lambda: moment[0])
    for _ in range(3):
        assert await reviews.may_get("bad", "/decisions") is Verdict.UNKNOWN
    assert len(server.asked) == 1
    moment[0] = BELIEVED
    await reviews.may_get("bad", "/decisions")
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("host", "alone"),
    [
        *((host, True) for host in ("127.0.0.1", "127.8.0.1", "::1", "localhost")),
        *((host, False) for host in ("0.0.0.0", "::", "10.0.0.1", "kai.example", "")),
    ],
)
def test_only_loopback_is_for_this_machine_alone(host, alone):
    assert is_loopback(host) is alone
