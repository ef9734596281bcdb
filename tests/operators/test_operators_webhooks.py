"""The webhooks' handlers: what is asked before a refusal, and that our own faults refuse nobody."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any

import pytest

from kai_py.admission import pods, queues
from kai_py.admission.verdict import Known, Request, Verdict
from kai_py.api.queue import Queue
from kai_py.errors import ConflictError, NotFoundError, UnavailableError
from kai_py.operators.certificates import CERTIFICATE, Certificates, SecretKeeper, lasts, make, trust
from kai_py.operators.gatekeeper import Gatekeeper

QUEUES, NAMESPACE = "/apis/scheduling.run.ai/v2/queues", "/api/v1/namespaces/ns"
SECRET = "/api/v1/namespaces/kai/secrets/hooks"


class Server:
    """Objects by path; counts what is read."""

    def __init__(self, **objects: Any) -> None:
        self.objects: dict[str, Any] = dict(objects)
        self.down = False
        self.read: list[str] = []

    async def get_object(self, path: str) -> Any:
        self.read.append(path)
        if self.down:
            raise UnavailableError("no answer")
        if path not in self.objects:
            raise NotFoundError(path)
        return json.loads(json.dumps(self.objects[path]))

    async def get(self, path: str, **_: Any) -> bytes:
        self.read.append(path)
        if self.down:
            raise UnavailableError("no answer")
        items = [one for at, one in self.objects.items() if at.startswith(f"{path}/")]
        return json.dumps({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}).encode()

    async def put(self, path: str, body: Any) -> bytes:
        self.objects[path] = body
        return b"{}"

    async def post(self, path: str, body: Any) -> bytes:
        at = f"{path}/{body['metadata']['name']}"
        if at in self.objects:
            raise ConflictError("there already")
        return await self.put(at, body)


def a_queue(name: str, parent: str = "", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "scheduling.run.ai/v2",
        "kind": "Queue",
        "metadata": {"name": name},
        "spec": {**({"parentQueue": parent} if parent else {}), **spec},
    }


def put(server: Server, queue: dict[str, Any]) -> None:
    server.objects[f"{QUEUES}/{queue['metadata']['name']}"] = queue


def label(server: Server, **labels: str) -> None:
    server.objects[NAMESPACE] = {"metadata": {"name": "ns", "labels": labels}}


def a_pod(queue: str = "team") -> Request:
    meta = {"name": "p", "labels": {"kai.scheduler/queue": queue}}
    return Request("CREATE", {"metadata": meta, "spec": {"schedulerName": "kai-scheduler"}}, {}, "ns")


async def test_a_queue_and_a_namespace_that_were_just_made_are_asked_for_before_a_refusal():
    server = Server()
    gatekeeper = Gatekeeper(server, ("kai", "settings"))
    put(server, a_queue("team", allowedNamespaces={"matchLabels": {"team": "a"}}))
    label(server, team="b")
    assert not (await gatekeeper.answer(pods.decide, a_pod())).allowed
    label(server, team="a")
    assert (await gatekeeper.answer(pods.decide, a_pod())).allowed
    server.read.clear()
    assert (await gatekeeper.answer(pods.decide, a_pod())).allowed
    assert server.read == []  # whoever is let in costs no request


async def test_a_queue_that_somebody_has_just_put_below_another_is_part_of_the_tree():
    server = Server()
    gatekeeper = Gatekeeper(server, ("kai", "settings"))
    put(server, a_queue("org"))
    await gatekeeper.fill()
    put(server, a_queue("team", "org"))
    change = Request("UPDATE", a_queue("org", "team"), a_queue("org"))
    assert "cycle" in (await gatekeeper.answer(queues.decide, change)).refusal


async def test_without_an_answer_what_is_known_decides():
    server = Server()
    gatekeeper = Gatekeeper(server, ("kai", "settings"))
    put(server, a_queue("team"))
    await gatekeeper.fill()
    server.down = True
    assert (await gatekeeper.answer(pods.decide, a_pod())).allowed
    assert not (await gatekeeper.answer(pods.decide, a_pod("nowhere"))).allowed


async def test_our_own_mistake_refuses_nobody():
    def wrong(_: Request, __: Known) -> Verdict:
        raise ZeroDivisionError

    verdict = await Gatekeeper(Server(), ("kai", "settings")).answer(wrong, a_pod())
    assert verdict.allowed
    assert verdict.warnings


async def test_bad_settings_leave_the_last_good_ones_in_force():
    gatekeeper = Gatekeeper(Server(), ("kai", "settings"))
    gatekeeper.put_settings({"settings.yaml": "admission: {pods: warn}"})
    gatekeeper.put_settings({"settings.yaml": "admission: {pods: perhaps}"})
    assert gatekeeper.known.settings.admission.pods == "warn"


# -- certificates --------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _openssl() -> None:
    try:
        subprocess.run(["openssl", "version"], check=True, capture_output=True)
    except OSError:
        pytest.skip("there is no openssl")


async def test_a_certificate_is_for_its_hosts_and_its_time():
    pair = await make(["hooks.kai.svc", "127.0.0.1"], days=10)
    assert await lasts(pair, ["hooks.kai.svc", "127.0.0.1"], seconds=86_400)
    assert not await lasts(pair, ["other.kai.svc"], seconds=86_400)
    assert not await lasts(pair, ["hooks.kai.svc"], seconds=11 * 86_400)


async def test_the_secret_is_made_once_and_renewed_before_its_certificate_ends():
    server = Server()
    keeper = SecretKeeper(server, ("kai", "hooks"), ["hooks.kai.svc"])
    first = await keeper.current()
    assert await keeper.current() == first
    old = await make(["hooks.kai.svc"], days=1)
    server.objects[SECRET]["data"] = {
        name: base64.b64encode(content).decode()
        for name, content in zip(["tls.crt", "tls.key", "ca.crt"], old, strict=True)
    }
    renewed = await keeper.current()
    assert renewed.certificate not in (first.certificate, old.certificate)
    assert renewed.bundle == renewed.certificate + old.certificate
    assert base64.b64decode(server.objects[SECRET]["data"][CERTIFICATE]) == renewed.certificate


async def test_a_damaged_secret_is_replaced():
    server = Server()
    server.objects[SECRET] = {"metadata": {"name": "hooks"}, "data": {"tls.crt": "?", "tls.key": ""}}
    pair = await SecretKeeper(server, ("kai", "hooks"), ["hooks.kai.svc"]).current()
    assert await lasts(pair, ["hooks.kai.svc"])


async def test_every_webhook_is_told_whom_to_trust_and_only_when_that_is_new():
    at = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/kai-py"
    server = Server()
    server.objects[at] = {"webhooks": [{"clientConfig": {}}, {"clientConfig": {"caBundle": "b2xk"}}]}
    assert await trust(server, "kai-py", b"new")
    assert {one["clientConfig"]["caBundle"] for one in server.objects[at]["webhooks"]} == {"bmV3"}
    assert not await trust(server, "kai-py", b"new")


async def test_the_webhook_that_changes_pods_is_trusted_too_where_there_is_one(tmp_path):
    group = "/apis/admissionregistration.k8s.io/v1"
    server = Server()
    server.objects[f"{group}/validatingwebhookconfigurations/kai-py"] = {"webhooks": [{"clientConfig": {}}]}
    keeper = SecretKeeper(server, ("kai", "hooks"), ["hooks.kai.svc"])
    certificates = Certificates(server, keeper, "kai-py", tmp_path)
    await certificates.look()  # an installation of before has none
    changing = f"{group}/mutatingwebhookconfigurations/kai-py"
    server.objects[changing] = {"webhooks": [{"clientConfig": {}}]}
    await certificates.look()
    (one,) = server.objects[changing]["webhooks"]
    assert one["clientConfig"]["caBundle"] == server.objects[SECRET]["data"]["ca.crt"]


async def test_our_own_mistake_leaves_a_pod_unprepared_and_lets_it_in():
    gatekeeper = Gatekeeper(Server(), ("kai", "settings"))
    gatekeeper.put_settings({"settings.yaml": "gpuSharing: reservation"})
    pod = {
        "metadata": {"annotations": {"gpu-fraction": "0.5"}},
        "spec": {"schedulerName": "kai-scheduler", "containers": [{"name": "main"}]},
    }
    assert gatekeeper.prepared(Request("CREATE", pod), "1") is not None
    broken = {**pod, "spec": {**pod["spec"], "containers": [{"name": "main", "env": ["?"]}]}}
    assert gatekeeper.prepared(Request("CREATE", broken), "1") is None


async def test_a_queue_that_has_not_changed_is_not_understood_again(monkeypatch: pytest.MonkeyPatch):
    gatekeeper, parsed = Gatekeeper(Server(), ("kai", "settings")), []
    parse = Queue.parse
    monkeypatch.setattr(Queue, "parse", lambda body: parsed.append(body["metadata"]["name"]) or parse(body))
    queue = a_queue("team")
    queue["metadata"] |= {"uid": "1", "resourceVersion": "7"}
    for _ in range(3):
        gatekeeper.put_queue(queue)
    assert parsed == ["team"]
    gatekeeper.put_queue({**queue, "metadata": {**queue["metadata"], "resourceVersion": "8"}})
    gatekeeper.drop_queue("team")
    assert gatekeeper.known.queue("team") is None
    gatekeeper.put_queue(queue)
    assert gatekeeper.known.queue("team") is not None
    assert len(parsed) == 3
