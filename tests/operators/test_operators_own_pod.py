"""What is said at the own pod, when nobody hears it at first."""

import asyncio

from kai_py.errors import Fault, NotFoundError, UnavailableError
from kai_py.operators import own_pod
from kai_py.operators.own_pod import OwnPod, condition_of

FAULTS = [Fault("ConfigMap a/b", "placment", "is not a setting"), Fault("ConfigMap a/b", "", "not YAML")]


class Server:
    """Fails as told, then takes what it is sent."""

    def __init__(self, *failures):
        self.failures = list(failures)
        self.taken = []

    async def patch(self, path, body, *, content_type):
        assert (path, content_type) == (
            "/api/v1/namespaces/kai-scheduler/pods/kai-py-0/status",
            "application/strategic-merge-patch+json",
        )
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(body["status"]["conditions"][0])


async def said(server, *news):
    pod = OwnPod(server, ("kai-scheduler", "kai-py-0"), lambda: 0.0)
    task = asyncio.create_task(pod.run())
    for faults in news:
        pod.say(faults)
        for _ in range(50):
            await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert not task.done()
    task.cancel()
    return [(one["status"], one["reason"]) for one in server.taken]


async def test_it_is_said_once_and_when_it_changes():
    assert await said(Server(), [], [], FAULTS, list(FAULTS), []) == [
        ("True", "SettingsAccepted"),
        ("False", "InvalidSettings"),
        ("True", "SettingsAccepted"),
    ]


async def test_what_was_not_heard_is_said_again(monkeypatch):
    monkeypatch.setattr(own_pod, "RETRY", 0.0)
    server = Server(UnavailableError("no answer"), UnavailableError("no answer"))
    assert await said(server, FAULTS) == [("False", "InvalidSettings")]


async def test_a_pod_that_is_not_there_is_no_reason_to_stop():
    assert await said(Server(NotFoundError("gone", status=404)), [], FAULTS) == [("False", "InvalidSettings")]


def test_all_faults_are_in_the_message():
    message = condition_of(FAULTS, 0.0).message
    assert message.endswith("in force: placment: is not a setting; not YAML")
    assert len(condition_of(FAULTS * 1000, 0.0).message) == 8192
