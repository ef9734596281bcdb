"""The certificate that webhooks are served with: made and renewed by ourselves in a Secret, or by somebody else.

A self-signed certificate is its own authority: the API server trusts exactly what the webhook configuration carries.
Keys are made by the ``openssl`` program, because Python's standard library cannot.
"""

from __future__ import annotations

import asyncio
import base64
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from kai_py.api.meta import PartialObject
from kai_py.errors import ApiError, ConflictError, Fault, ForbiddenError, InputError, NotFoundError
from kai_py.kube.client import ApiClient
from kai_py.kube.resource import ResourceKind

_log = structlog.get_logger()

SECRETS: Final = ResourceKind("", "v1", "secrets", PartialObject)
CONFIGURATIONS: Final = ResourceKind(
    "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", PartialObject, namespaced=False
)
MUTATING: Final = ResourceKind(
    "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", PartialObject, namespaced=False
)
CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
#: The certificates to be trusted: the present one, and the one before it until that is no longer served anywhere.
BUNDLE: Final = "ca.crt"

DAYS: Final = 90
#: A certificate with less than this left is replaced: a third of its life.
RENEW_SECONDS: Final = DAYS * 86_400 // 3
#: How often all of it is looked at.
LOOK_SECONDS: Final = 60.0


class Pair(NamedTuple):
    """A certificate with its key, as PEM, and what the API server has to trust."""

    certificate: bytes
    key: bytes
    bundle: bytes


async def _openssl(*arguments: str, given: bytes = b"") -> tuple[int, bytes]:
    try:
        process = await asyncio.create_subprocess_exec(
            "openssl",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        message = "there is no program openssl to make certificates with: give them with --cert-dir (cert-manager)"
        raise InputError([Fault("webhooks", "", message)]) from error
    out, _ = await process.communicate(given)
    return process.returncode or 0, out


async def make(hosts: list[str], *, days: int = DAYS) -> Pair:
    """A new certificate.

    Args:
        hosts: names and addresses under which the server is reached.
        days: its life.

    Raises:
        InputError: openssl is not there, or refuses.
    """
    names = ",".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in hosts)
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        status, _ = await _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", str(days), "-subj", "/CN=kai-py webhooks", "-addext", f"subjectAltName={names}"),
            *("-addext", "extendedKeyUsage=serverAuth", "-keyout", str(at / KEY), "-out", str(at / CERTIFICATE)),
        )
        if status:
            raise InputError([Fault("webhooks", "", f"openssl made no certificate for {names}")])
        certificate = (at / CERTIFICATE).read_bytes()
        return Pair(certificate, (at / KEY).read_bytes(), certificate)


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdecimal()


async def lasts(pair: Pair, hosts: list[str], seconds: int = RENEW_SECONDS) -> bool:
    """Whether a certificate is good for all hosts, and for so long."""
    status, _ = await _openssl("x509", "-noout", "-checkend", str(seconds), given=pair.certificate)
    for host in hosts if not status else ():
        check = "-checkip" if _is_address(host) else "-checkhost"
        failed, said = await _openssl("x509", "-noout", check, host, given=pair.certificate)
        status |= failed or b"NOT match" in said
    return not status


class SecretKeeper:
    """Keeps the certificate in a Secret that all replicas share.

    Args:
        client: the API server.
        secret: (namespace, name).
        hosts: names and addresses under which the server is reached.
    """

    def __init__(self, client: ApiClient, secret: tuple[str, str], hosts: list[str]) -> None:
        self._client = client
        self._secret = secret
        self._hosts = hosts

    async def current(self) -> Pair:
        """The certificate to serve, a new one if the old one is about to end.

        Raises:
            ApiError: the Secret can be neither read nor written.
            InputError: no certificate can be made.
        """
        path, name = SECRETS.path(*self._secret), self._secret[1]
        try:
            there = await self._client.get_object(path)
        except NotFoundError:
            there = {}
        old = _read(there)
        if old is not None and await lasts(old, self._hosts):
            return old
        new = await make(self._hosts)
        # The API server may ask a replica that has not renewed yet: both are trusted.
        new = new._replace(bundle=new.certificate + (old.certificate if old is not None else b""))
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": there.get("type") or "kubernetes.io/tls",  # it cannot be changed
            "metadata": there.get("metadata") or {"name": name, "namespace": self._secret[0]},
            "data": {CERTIFICATE: _text(new.certificate), KEY: _text(new.key), BUNDLE: _text(new.bundle)},
        }
        try:
            if there:
                await self._client.put(path, body)
            else:
                await self._client.post(SECRETS.path(self._secret[0]), body)
        except ConflictError:  # another replica was faster
            found = _read(await self._client.get_object(path))
            if found is None:
                raise
            return found
        _log.info("certificate made", secret="/".join(self._secret), days=DAYS)
        return new


async def trust(
    client: ApiClient, configuration: str, bundle: bytes, kind: ResourceKind[PartialObject] = CONFIGURATIONS
) -> bool:
    """Let the API server trust a bundle in every webhook of a configuration; tells whether that was new.

    Raises:
        ApiError: the configuration is not there, or cannot be written.
    """
    path = kind.path("", configuration)
    found = await client.get_object(path)
    text, changed = _text(bundle), False
    for webhook in found.get("webhooks") or ():
        if webhook["clientConfig"].get("caBundle") != text:
            webhook["clientConfig"]["caBundle"] = text
            changed = True
    if changed:
        await client.put(path, found)
    return changed


class Certificates:
    """The files that the server reads, kept up to date.

    Args:
        client: the API server.
        keeper: the Secret.
        configuration: name of the two webhook configurations; empty = somebody else says whom to trust.
        folder: where the files are written.
    """

    def __init__(self, client: ApiClient, keeper: SecretKeeper, configuration: str, folder: Path) -> None:
        self._client = client
        self._keeper = keeper
        self._configuration = configuration
        self._folder = folder
        self._warned = False

    async def look(self) -> None:
        """Renew what has to be, write the files where they differ, and tell the API server whom to trust.

        Raises:
            ApiError: the API server does not let us.
            InputError: no certificate can be made.
        """
        pair = await self._keeper.current()
        for name, content in ((KEY, pair.key), (CERTIFICATE, pair.certificate)):
            file = self._folder / name
            if not file.exists() or file.read_bytes() != content:
                file.touch(mode=0o600)
                file.write_bytes(content)
        if self._configuration and await trust(self._client, self._configuration, pair.bundle):
            _log.info("webhooks trusted", configuration=self._configuration)
        if self._configuration:
            await self._trust_mutating(pair.bundle)

    async def _trust_mutating(self, bundle: bytes) -> None:
        """The same for the webhook that changes pods, which an installation need not have."""
        try:
            if await trust(self._client, self._configuration, bundle, MUTATING):
                _log.info("webhook that prepares pods is trusted", configuration=self._configuration)
            self._warned = False
        except (NotFoundError, ForbiddenError) as error:
            if not self._warned:
                _log.warning("pods that share GPUs are not prepared for it", error=str(error))
                self._warned = True

    async def run(self) -> None:
        """Look every minute, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except (ApiError, InputError) as error:
                _log.warning("certificate not looked at", error=str(error))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _read(secret: dict[str, Any]) -> Pair | None:
    """What a Secret holds; None if it is not all there."""
    data = secret.get("data") or {}
    try:
        certificate, key, bundle = (base64.b64decode(data[name], validate=True) for name in (CERTIFICATE, KEY, BUNDLE))
    except (KeyError, TypeError, ValueError):
        return None
    return Pair(certificate, key, bundle)
