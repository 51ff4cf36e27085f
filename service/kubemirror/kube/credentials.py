"""What a request carries to say who we are, and how it is renewed.

    Anonymous     nothing, or only a client certificate (which TLS shows)
    Token, Basic  as it stands in the kubeconfig
    TokenFile     read again when the file changes
    Plugin        an exec plugin's token or certificate, until it expires or is refused

A credential that the API server refused (401) is renewed once for all requests that were refused with it, not
once for each; and a plugin that has just failed is not run again for a few seconds, however many ask.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from kubemirror.errors import ConfigError
from kubemirror.flight import Flights
from kubemirror.kube.credential_files import CredentialFile
from kubemirror.kube.exec_plugin import API_VERSIONS, LIMIT_SECONDS, ExecConfig, ExecCredential, ExecPlugin
from kubemirror.kube.kubeconfig import Cluster, Target, User
from kubemirror.kube.tls import make_context
from kubemirror.kube.transport import TransportError
from kubemirror.pem import Pair

log = structlog.get_logger()

# Seconds during which a plugin's last run, good or bad, answers everyone who asks for another: a hundred
# reflectors that are refused together must not start a hundred logins one after the other.
RERUN_SECONDS = 5.0
# A token is renewed this long before it expires (or a tenth of its life, if that is less), so that a
# request under way does not meet the moment.
EARLY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Credential:
    """What goes with one request. authorization: the header's value, or ""."""

    authorization: str = field(default="", repr=False)
    certificate: Pair | None = None


class Credentials(Protocol):
    """Who we are to the API server."""

    @property
    def name(self) -> str:
        """What kind of credential, for the log."""

    async def current(self) -> Credential:
        """For the next request. Raises TransportError (kind credentials)."""

    async def renew(self, refused: Credential) -> Credential:
        """After a 401: something newer than what was refused, or the same when there is nothing newer."""

    async def close(self) -> None:
        """End what is under way."""


class Fixed:
    """A credential that does not change."""

    def __init__(self, name: str, authorization: str = "") -> None:
        self.name = name
        self._credential = Credential(authorization)

    async def current(self) -> Credential:
        return self._credential

    async def renew(self, refused: Credential) -> Credential:
        return self._credential

    async def close(self) -> None:
        pass


class TokenFile:
    """A bearer token in a file that somebody rotates."""

    def __init__(self, file: CredentialFile) -> None:
        """Raises ConfigError when the file holds no token now."""
        self._file = file
        self.name = "token file"
        self._complained = False
        token = _bearer(file.read())
        if token is None:
            raise ConfigError(f"the {file.name} does not hold a token (one line of printable text)")
        self._credential = Credential(token)

    def _read(self, *, recheck: bool) -> Credential:
        token = _bearer(self._file.read(recheck=recheck))
        if token is not None:
            self._complained = False
            if token != self._credential.authorization:
                self._credential = Credential(token)
        elif not self._complained:
            self._complained = True
            log.warning("credentials.kept", file=self._file.name, reason="it does not hold a token")
        return self._credential

    async def current(self) -> Credential:
        return self._read(recheck=False)

    async def renew(self, refused: Credential) -> Credential:
        return self._read(recheck=True)

    async def close(self) -> None:
        pass


class Plugin:
    """What an exec plugin gives, kept until it expires or is refused."""

    def __init__(
        self,
        plugin: ExecPlugin,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """clock: seconds, monotonic. wall: seconds since 1970, which expirationTimestamp is told in."""
        self._plugin = plugin
        self.name = f"exec plugin {plugin.name}"
        self._clock = clock
        self._wall = wall
        self._flights = Flights[None](
            "exec plugin",
            ended=lambda: TransportError(f"{self.name} was ended with its connection", kind="credentials"),
        )
        self._held: Credential | None = None
        self._renew_at: float | None = None
        self._expires: float | None = None
        self._failure: TransportError | None = None
        self._ran_at: float | None = None

    async def current(self) -> Credential:
        now = self._wall()
        if self._held is not None and (self._renew_at is None or now < self._renew_at):
            return self._held
        await self._run()
        if self._failure is not None and (self._held is None or self._expires is None or self._wall() >= self._expires):
            raise TransportError(str(self._failure), kind=self._failure.kind)
        if self._held is None:
            raise TransportError(f"{self.name} gave no credential", kind="credentials")
        return self._held

    async def renew(self, refused: Credential) -> Credential:
        if self._held is not None and self._held != refused:
            return self._held
        await self._run()
        if self._failure is not None:
            raise TransportError(str(self._failure), kind=self._failure.kind)
        return self._held or refused

    async def close(self) -> None:
        await self._flights.close()

    async def _run(self) -> None:
        if self._ran_at is not None and self._clock() - self._ran_at < RERUN_SECONDS:
            return
        await self._flights.join("run", self._run_once)

    async def _run_once(self) -> None:
        try:
            answer = await self._plugin.run()
        except TransportError as exc:
            if self._failure is None or str(self._failure) != str(exc):
                log.warning("credentials.plugin_failed", plugin=self._plugin.name, error=str(exc))
            self._failure = exc
        else:
            self._take(answer)
        finally:
            self._ran_at = self._clock()

    def _take(self, answer: ExecCredential) -> None:
        token = ""
        if answer.token:
            token = _bearer(answer.token.encode()) or ""
            if not token:
                self._failure = TransportError(f"{self.name} printed a token that is not printable", kind="credentials")
                return
        if answer.certificate is not None:
            try:
                make_context(ca=None, insecure=True, certificate=answer.certificate)
            except (ValueError, OSError) as exc:
                self._failure = TransportError(f"{self.name} printed what cannot be used: {exc}", kind="credentials")
                return
        self._failure = None
        self._held = Credential(token, answer.certificate)
        self._expires = answer.expires
        if answer.expires is None:
            self._renew_at = None
        else:
            life = max(answer.expires - self._wall(), 0.0)
            self._renew_at = answer.expires - min(EARLY_SECONDS, life / 10)


def _bearer(text: bytes) -> str | None:
    """The Authorization header for a token; None for what cannot be one. Never part of a message."""
    try:
        token = text.decode("ascii").strip()
    except UnicodeDecodeError:
        return None
    return f"Bearer {token}" if token and all("!" <= character <= "~" for character in token) else None


def _exec_config(target: Target, ca: bytes) -> ExecConfig:
    raw: Mapping[str, Any] = target.user.exec or {}
    owner = f"exec of user {target.user.name!r}"
    version, command = str(raw.get("apiVersion") or ""), str(raw.get("command") or "")
    if version not in API_VERSIONS:
        raise ConfigError(f"{owner} has apiVersion {version!r}; supported are {' and '.join(API_VERSIONS)}")
    if not command:
        raise ConfigError(f"{owner} has no command")
    if raw.get("interactiveMode") == "Always":
        raise ConfigError(f"{owner} has interactiveMode Always, but there is nobody to ask; use IfAvailable or Never")
    args, env = raw.get("args") or [], raw.get("env") or []
    if not isinstance(args, list) or not isinstance(env, list):
        raise ConfigError(f"{owner}: args and env must be lists")
    if not all(isinstance(item, dict) and "name" in item and "value" in item for item in env):
        raise ConfigError(f"{owner}: each env must have name and value")
    return ExecConfig(
        command=command,
        args=tuple(map(str, args)),
        env=tuple((str(item["name"]), str(item["value"])) for item in env),
        api_version=version,
        install_hint=str(raw.get("installHint") or ""),
        cluster=_cluster_info(target.cluster, ca) if raw.get("provideClusterInfo") else None,
        directory=target.user.directory,
    )


def _cluster_info(cluster: Cluster, ca: bytes) -> dict[str, Any]:
    info: dict[str, Any] = {
        "server": cluster.server,
        "tls-server-name": cluster.tls_server_name,
        "insecure-skip-tls-verify": cluster.insecure,
        "certificate-authority-data": base64.b64encode(ca).decode(),
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
    }
    return {name: value for name, value in info.items() if value} | {"config": cluster.exec_extension}


def credentials_of(
    target: Target,
    env: Mapping[str, str],
    *,
    ca: bytes = b"",
    exec_seconds: float = LIMIT_SECONDS,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], float] = time.time,
) -> Credentials:
    """The credentials of a target's user; a client certificate is TLS's matter. Raises ConfigError.

    ca: what exec plugins are told as the cluster's CA.
    """
    user: User = target.user
    if user.token_file is not None:
        return TokenFile(CredentialFile(user.token_file, "token file", clock=clock))
    if user.token:
        token = _bearer(user.token.encode())
        if token is None:
            raise ConfigError(f"the token of user {user.name!r} is not a token (one line of printable text)")
        return Fixed("token", token)
    if user.username:
        text = f"{user.username}:{user.password}".encode()
        return Fixed("username and password", "Basic " + base64.b64encode(text).decode())
    if user.exec is not None:
        plugin = ExecPlugin(_exec_config(target, ca), env, limit_seconds=exec_seconds)
        return Plugin(plugin, clock=clock, wall=wall)
    if user.certificate_data or user.certificate_file:
        return Fixed("client certificate")
    return Fixed("none")
