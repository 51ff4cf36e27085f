"""Credentials from an exec plugin (aws, gke-gcloud-auth-plugin, kubelogin, ...): KEP-541, client.authentication.k8s.io.

A plugin is somebody else's program: it may hang, ask questions, fork, or print without end. So it runs in a
process group of its own with nothing to read from, at most 60 seconds, its output is bounded, and the whole
group is killed when it does not end well. What it prints to stdout is a credential and is never repeated; of
stderr the last line is, shortened and without what looks like a token.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from kubemirror.errors import ConfigError
from kubemirror.kube.loaders import loaders
from kubemirror.kube.transport import TransportError
from kubemirror.pem import Pair

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")

# A login that needs longer than this needs a person, and there is none.
LIMIT_SECONDS = 60.0
# After the plugin itself has ended: how long its output may stay open in the hands of a child it left behind.
GRACE_SECONDS = 1.0
# An ExecCredential with a certificate chain is some 10 kB.
MAX_STDOUT = 1024 * 1024
# Of stderr only the end is ever shown; the rest is read, so that the plugin is not blocked, and dropped.
KEEP_STDERR = 4096

_SECRET = re.compile(
    r"eyJ[\w-]{8,}[\w.-]*"
    r"|(?i:\b(?P<label>authorization|bearer|basic|token|password|passwd|secret|api-?key)\b[\"']?\s*[=: ]\s*)"
    r"(?:(?i:bearer|basic)\s+)?\S+"
)


def _readable(stderr: bytes | bytearray) -> str:
    """The last line that says something, at most 200 characters, without what looks like a credential."""
    text = stderr.decode("utf-8", "replace")
    lines = [
        line
        for line in ("".join(c if c.isprintable() else " " for c in raw).strip() for raw in text.splitlines())
        if line
    ]
    if not lines:
        return ""
    return _SECRET.sub(lambda found: f"{found['label'] or 'token'} [hidden]", lines[-1])[:200]


@dataclass(frozen=True, slots=True)
class ExecConfig:
    """The ``exec`` of a kubeconfig's user.

    cluster: spec.cluster of what the plugin is told, where provideClusterInfo asks for it.
    directory: of the kubeconfig, to which a command with a slash is relative.
    """

    command: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    api_version: str = API_VERSIONS[0]
    install_hint: str = ""
    cluster: dict[str, Any] | None = field(default=None, repr=False)
    directory: Path = Path()


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """What a plugin answered. expires: seconds since 1970; None: until the API server refuses it."""

    token: str = field(default="", repr=False)
    certificate: Pair | None = None
    expires: float | None = None


class _Talk(asyncio.SubprocessProtocol):
    """What a plugin says, within bounds.

    Not asyncio's Process, whose wait() waits for the pipes too: a child that the plugin left behind may hold
    them open for as long as it likes.
    """

    def __init__(self) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.exited = asyncio.Event()
        self.closed = asyncio.Event()
        self._open = {1, 2}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self.stdout += data[: max(0, MAX_STDOUT + 1 - len(self.stdout))]
        else:
            self.stderr += data
            del self.stderr[:-KEEP_STDERR]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open:
            self.closed.set()

    def process_exited(self) -> None:
        self.exited.set()


class ExecPlugin:
    """Runs one plugin. Not single-flight by itself: credentials.py sees to that."""

    def __init__(
        self,
        config: ExecConfig,
        env: Mapping[str, str],
        *,
        limit_seconds: float = LIMIT_SECONDS,
        grace_seconds: float = GRACE_SECONDS,
    ) -> None:
        """Raises ConfigError when the program is not there."""
        self._config = config
        self._limit = limit_seconds
        self._grace = grace_seconds
        info: dict[str, Any] = {
            "apiVersion": config.api_version,
            "kind": "ExecCredential",
            "spec": {"interactive": False},
        }
        if config.cluster is not None:
            info["spec"]["cluster"] = config.cluster
        self._env = {**env, **dict(config.env), "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()}
        command = config.command
        if "/" in command:
            command = str(config.directory / Path(command).expanduser())
        self._program = shutil.which(command, path=self._env.get("PATH", os.defpath)) or ""
        if not self._program:
            hint = " ".join(config.install_hint.split())[:300]
            raise ConfigError(
                f"the kubeconfig's exec plugin {config.command!r} is not an executable on PATH"
                + (f"; its kubeconfig says: {hint}" if hint else "; install it or put it on PATH")
            )

    @property
    def name(self) -> str:
        return Path(self._config.command).name

    async def run(self) -> ExecCredential:
        """Ask the plugin for a credential. TransportError (kind credentials) for whatever goes wrong."""
        try:
            transport, talk = await asyncio.get_running_loop().subprocess_exec(
                _Talk,
                self._program,
                *self._config.args,
                env=self._env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as exc:
            raise self._error(f"cannot be started: {exc.strerror or type(exc).__name__}") from None
        ended_well = False
        try:
            try:
                async with asyncio.timeout(self._limit):
                    await talk.exited.wait()
            except TimeoutError:
                said = _readable(talk.stderr)
                raise self._error(
                    f"did not answer within {self._limit:g} s and was ended (it cannot ask anyone: log in beforehand)"
                    + (f"; it said: {said}" if said else "")
                ) from None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._grace):
                    await talk.closed.wait()
            status = transport.get_returncode()
            ended_well = status == 0
        finally:
            if not ended_well:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(transport.get_pid(), signal.SIGKILL)
                # Reaped before it is forgotten; at once, unless the kernel cannot let go of it.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GRACE_SECONDS):
                        await talk.exited.wait()
            transport.close()
        if not ended_well:
            said = _readable(talk.stderr)
            code = -1 if status is None else status
            ended = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
            raise self._error(ended + (f": {said}" if said else ""))
        if len(talk.stdout) > MAX_STDOUT:
            raise self._error(f"printed more than {MAX_STDOUT} bytes")
        return self._parse(bytes(talk.stdout))

    def _error(self, what: str) -> TransportError:
        return TransportError(f"exec plugin {self.name!r} {what}", kind="credentials")

    def _parse(self, stdout: bytes) -> ExecCredential:
        try:
            answer = msgspec.json.decode(stdout)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._error("did not print an ExecCredential (JSON) on stdout") from None
        if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential":
            raise self._error("did not print an ExecCredential on stdout")
        if answer.get("apiVersion") != self._config.api_version:
            raise self._error(f"answered in another apiVersion than the kubeconfig's {self._config.api_version}")
        status = answer.get("status")
        if not isinstance(status, dict):
            raise self._error("printed an ExecCredential without a status")
        token, chain, key, expiration = (
            status.get(name) or ""
            for name in ("token", "clientCertificateData", "clientKeyData", "expirationTimestamp")
        )
        if not all(isinstance(value, str) for value in (token, chain, key, expiration)):
            raise self._error("printed a status whose fields are not text")
        if not token and not chain:
            raise self._error("printed neither a token nor a client certificate")
        if bool(chain) != bool(key):
            raise self._error("printed a client certificate without its key, or the other way round")
        return ExecCredential(
            token=token.strip(),
            certificate=Pair(chain.encode(), key.encode()) if chain else None,
            expires=self._expiry(expiration) if expiration else None,
        )

    def _expiry(self, text: str) -> float:
        try:
            moment: datetime = loaders().parse_rfc3339(text)
        except (ValueError, AttributeError, TypeError):
            raise self._error("printed an expirationTimestamp that is not RFC 3339") from None
        return moment.timestamp()
