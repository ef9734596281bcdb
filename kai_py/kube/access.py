"""Where the API server is and who we are: kubeconfig or service account, TLS, tokens that change.

kubernetes_asyncio reads the configuration and runs credential plugins; this module keeps what it found.
"""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed

import structlog
import yaml
from kubernetes_asyncio.client import Configuration
from kubernetes_asyncio.config import (
    ConfigException,
    list_kube_config_contexts,
    load_incluster_config,
    load_kube_config,
)
from kubernetes_asyncio.config.incluster_config import SERVICE_HOST_ENV_NAME, SERVICE_TOKEN_FILENAME

from kai_py.errors import Fault, InputError

_log = structlog.get_logger()

#: Kubelet replaces a projected token when 80 % of its life is over, so a minute is early enough.
REFRESH_SECONDS = 60.0

#: Brings a configuration's token up to date, cheaply when nothing has changed.
Refresh = Callable[[Configuration], Awaitable[None]]
#: Reads everything anew, from the file or by running the credential plugin.
Load = Callable[[], Awaitable[tuple[Configuration, Refresh | None]]]


class Access:
    """A server's address and our current credentials.

    Made by ``find_access``. ``host``, ``ssl_context``, ``server_hostname`` and ``proxy`` stay as they are; the token
    is renewed: when its time has come by ``authorization``, and at once by ``renew``.
    """

    def __init__(
        self,
        load: Load,
        configuration: Configuration,
        refresh: Refresh | None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._load = load
        self._configuration = configuration
        self._refresh = refresh
        self._clock = clock
        self._refresh_at = clock() + REFRESH_SECONDS
        self.host: str = configuration.host or ""
        self.ssl_context = _ssl_context(configuration) if self.host.startswith("https") else None
        self.server_hostname: str | None = configuration.tls_server_name
        self.proxy: str | None = configuration.proxy or proxy_from_environment(self.host)
        self._authorization = _authorization(configuration)

    async def authorization(self) -> str | None:
        """The ``Authorization`` header; None when a client certificate, or nothing, identifies us."""
        if self._refresh is not None and self._clock() >= self._refresh_at:
            self._refresh_at = self._clock() + REFRESH_SECONDS
            try:
                await self._refresh(self._configuration)
            except InputError as error:
                # What we have may still be good; when it is not, the server says so and renew() is called.
                _log.warning("credentials not refreshed", error=str(error))
            self._authorization = _authorization(self._configuration)
        return self._authorization

    async def connection(self) -> dict[str, Any]:
        """What another HTTP client needs to act as us, under the names that kopf's ``ConnectionInfo`` has."""
        authorization = await self.authorization() or ""
        scheme, _, token = authorization.partition(" ")
        fields = {
            "server": self.host,
            "ca_path": self._configuration.ssl_ca_cert,
            "insecure": not self._configuration.verify_ssl,
            "scheme": scheme,
            "token": token,
            "certificate_path": self._configuration.cert_file,
            "private_key_path": self._configuration.key_file,
        }
        return {name: value for name, value in fields.items() if value}

    async def renew(self) -> None:
        """Read the credentials anew, because the server has refused those that we have.

        Raises:
            InputError: they cannot be read any more.
        """
        self._configuration, self._refresh = await self._load()
        self._refresh_at = self._clock() + REFRESH_SECONDS
        self._authorization = _authorization(self._configuration)
        if self.ssl_context is not None and self._configuration.cert_file:
            self.ssl_context.load_cert_chain(self._configuration.cert_file, keyfile=self._configuration.key_file)


async def find_access(
    kubeconfig: str | None = None, context: str | None = None, *, in_cluster: bool | None = None
) -> Access:
    """Find the API server.

    Args:
        kubeconfig: path of a kubeconfig file; None looks at ``$KUBECONFIG``, then (unless we run in a pod) at
            ``~/.kube/config``.
        context: name of a context in it; None takes its current one.
        in_cluster: whether to use the pod's service account; None decides: yes in a pod, unless the caller or the
            environment names a kubeconfig.

    Raises:
        InputError: there is no usable configuration.
    """
    if in_cluster is None:
        named = kubeconfig or context or os.environ.get("KUBECONFIG")
        in_cluster = not named and SERVICE_HOST_ENV_NAME in os.environ and _is_file(SERVICE_TOKEN_FILENAME)
    load = _service_account if in_cluster else _kubeconfig_loader(kubeconfig, context)
    configuration, refresh = await load()
    try:
        return Access(load, configuration, refresh)
    except (OSError, ssl.SSLError) as error:
        raise InputError([Fault("cluster access", "certificates", str(error))]) from error


def proxy_from_environment(url: str) -> str | None:
    """The proxy for a server, from ``$HTTPS_PROXY``, ``$HTTP_PROXY`` and ``$NO_PROXY``, as kubectl understands them.

    That is: ``NO_PROXY`` may name networks (``10.0.0.0/8``) besides hosts, which the standard library does not know,
    and there is never a proxy for ourselves.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies_environment()
    if proxy_bypass_environment(parts.netloc, proxies):
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return None if host == "localhost" else proxies.get(parts.scheme)
    excluded = (_network(text) for text in proxies.get("no", "").split(","))
    if address.is_loopback or any(network is not None and address in network for network in excluded):
        return None
    return proxies.get(parts.scheme)


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text.strip(), strict=False)
    except ValueError:
        return None  # a host or a domain


async def _service_account() -> tuple[Configuration, Refresh]:
    configuration = Configuration()

    async def refresh(current: Configuration) -> None:
        with _reported("service account"):
            # The hook re-reads the projected token once a minute; it is what the library's own client calls.
            hook = current.refresh_api_key_hook
            assert callable(hook)  # load_incluster_config has set it
            hook(current)

    with _reported("service account"):
        load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # theirs is untyped
    return configuration, refresh


def _kubeconfig_loader(kubeconfig: str | None, context: str | None) -> Load:
    path = _kubeconfig_path(kubeconfig)
    where = f"kubeconfig {path}"

    async def load() -> tuple[Configuration, Refresh | None]:
        if not any(map(_is_file, filter(None, path.split(os.pathsep)))):
            raise InputError([Fault(where, "", "there is no such file")])
        configuration = Configuration()
        with _reported(where):
            loader = await load_kube_config(path, context, client_configuration=configuration, persist_config=False)

        async def refresh(current: Configuration) -> None:
            with _reported(where):
                await loader.load_and_set(current)

        user = loader._user  # noqa: SLF001  # the loader has no public way to say how it authenticates
        # A plugin that does not say when its token expires would be run every time; a 401 runs it instead.
        endless = user is not None and "exec" in user and not hasattr(loader, "exec_plugin_expiry")
        return configuration, None if endless else refresh

    return load


def current_namespace(kubeconfig: str | None = None, context: str | None = None) -> str:
    """The namespace that kubectl would take if none is named: that of the context, else ``default``.

    Args:
        kubeconfig: as of ``find_access``.
        context: the same.

    Raises:
        InputError: the kubeconfig cannot be read, or has no such context.
    """
    path = _kubeconfig_path(kubeconfig)
    if not any(map(_is_file, filter(None, path.split(os.pathsep)))):
        return "default"
    with _reported(f"kubeconfig {path}"):
        contexts, active = list_kube_config_contexts(path)
        found = next((one for one in contexts if one["name"] == context), None) if context else active
        return str(((found or {}).get("context") or {}).get("namespace") or "default")


def context_names(kubeconfig: str | None = None) -> list[str]:
    """The contexts of a kubeconfig.

    Raises:
        InputError: it cannot be read.
    """
    path = _kubeconfig_path(kubeconfig)
    with _reported(f"kubeconfig {path}"):
        return [str(one["name"]) for one in list_kube_config_contexts(path)[0]]


def _kubeconfig_path(kubeconfig: str | None) -> str:
    return kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")


def _is_file(path: str) -> bool:
    return Path(path).expanduser().is_file()


@contextmanager
def _reported(where: str) -> Iterator[None]:
    """Make a fault of whatever the library stumbles over: it checks a malformed file only in places."""
    try:
        yield
    except (ConfigException, yaml.YAMLError, OSError, AssertionError, AttributeError, LookupError, TypeError,
            ValueError) as error:  # fmt: skip
        raise InputError([Fault(where, "", str(error) or type(error).__name__)]) from error


def _authorization(configuration: Configuration) -> str | None:
    # A token file may end with a newline, which must not end up in a header.
    token = configuration.api_key.get("BearerToken")
    return str(token).strip() if token else None


def _ssl_context(configuration: Configuration) -> ssl.SSLContext:
    """TLS as the configuration wants it: verified, unless it says otherwise in so many words."""
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
