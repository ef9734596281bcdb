"""A control plane that says who asked for what, and was refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.control_plane import assets, control_plane

_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""
#: A service account's user name.
ACCOUNT = "system:serviceaccount:kai-scheduler:{}"


@dataclass(frozen=True)
class Audited:
    """An API server that keeps a record.

    Attributes:
        kubeconfig: of an administrator.
        log: the record.
    """

    kubeconfig: Path
    log: Path

    def requests(self, account: str) -> Iterator[tuple[str, str, str, str, int]]:
        """Verb, API group, resource with its subresource, path, and status of all requests of a service account."""
        user = ACCOUNT.format(account)
        for line in self.log.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["user"].get("username") == user and "objectRef" in event:
                about = event["objectRef"]
                resource = "/".join(filter(None, (about.get("resource", ""), about.get("subresource", ""))))
                code = event.get("responseStatus", {}).get("code", 0)
                yield event["verb"], about.get("apiGroup", ""), resource, event["requestURI"], code


@contextlib.contextmanager
def auditing(folder: Path) -> Iterator[Audited]:
    """Start a real control plane with authorization and a record of all requests; the test is skipped without one."""
    binaries = assets()
    if binaries is None:
        pytest.skip("KUBEBUILDER_ASSETS does not name a folder with etcd and kube-apiserver")
    policy, log = folder / "policy.yaml", folder / "audit.log"
    policy.write_text(_POLICY, encoding="utf-8")
    flags = [
        f"--audit-policy-file={policy}",
        f"--audit-log-path={log}",
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
        # Services are reached at their endpoints: nothing here routes their own addresses.
        "--enable-aggregator-routing=true",
    ]
    with control_plane(binaries, folder, *flags) as kubeconfig:
        yield Audited(kubeconfig, log)


@pytest.fixture(scope="session")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audited]:
    """One such control plane for all tests that share it."""
    with auditing(tmp_path_factory.mktemp("audited")) as made:
        yield made
