"""Who we are to one API server and what makes us believe it is the right one, all made from one Target.

A credential that stands in the kubeconfig itself cannot be renewed, but whoever it belongs to may log in again,
and their tool then rewrites the file. So when the API server refuses us, or we it, the kubeconfig is read again
if it has changed. Only the same context of the same server is followed: a mirror never changes clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import structlog
from multidict import CIMultiDict
from yarl import URL

from kubemirror.errors import ConfigError
from kubemirror.kube.credential_files import CredentialFile, Given, Source
from kubemirror.kube.credentials import Credentials, credentials_of
from kubemirror.kube.kubeconfig import Target
from kubemirror.kube.proxy import parse_url
from kubemirror.kube.tls import TLS

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Identity:
    """impersonation: headers by which we act as somebody else."""

    target: Target
    server: URL
    tls: TLS = field(repr=False)
    credentials: Credentials = field(repr=False)
    impersonation: CIMultiDict[str]


def identity_of(
    target: Target,
    env: Mapping[str, str],
    *,
    exec_seconds: float,
    clock: Callable[[], float],
    wall: Callable[[], float],
) -> Identity:
    """Raises ConfigError for anything in the target that cannot work."""
    server = _server(target.cluster.server)
    tls, ca = _tls(target, server, clock)
    credentials = credentials_of(
        target, env, ca=ca.read() if ca is not None else b"", exec_seconds=exec_seconds, clock=clock, wall=wall
    )
    return Identity(target, server, tls, credentials, _impersonation(target))


class Following:
    """The identity in use, and the kubeconfig it may be read again from."""

    def __init__(self, identity: Identity, make: Callable[[Target], Identity], find: Callable[[], Target]) -> None:
        """find: reads the same context again; make: as identity_of. Both raise ConfigError."""
        self.current = identity
        self._make = make
        self._find = find
        self._signature = self._look()

    def _look(self) -> list[tuple[int, int, int]]:
        found = []
        for path in self.current.target.files:
            try:
                stat = path.stat()
            except OSError:
                continue
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        return found

    def follow(self) -> None:
        """Read the kubeconfig again if it has changed; what cannot be used changes nothing, and is logged once."""
        signature = self._look()
        if signature == self._signature or not signature:
            return
        self._signature = signature
        old = self.current.target
        try:
            target = self._find()
            if (target.cluster.server, target.cluster.proxy_url) != (old.cluster.server, old.cluster.proxy_url):
                raise ConfigError("it names another server for this context; start again to follow it")
            if (target.cluster, target.user) != (old.cluster, old.user):
                self.current = self._make(target)
                log.info("credentials.reread", file=old.source)
        except ConfigError as exc:
            log.warning("credentials.kept", file=old.source, reason=str(exc))


def _server(text: str) -> URL:
    url = parse_url(text)
    if url is None or url.scheme not in {"http", "https"}:
        raise ConfigError("server of the kubeconfig's cluster is not a URL; write https://host:port")
    if url.user is not None or url.password is not None:
        raise ConfigError("server of the kubeconfig's cluster holds credentials; put them under its user")
    return url.with_query(None).with_fragment(None)


def _source(data: bytes, path: Path | None, key: str, clock: Callable[[], float]) -> Source | None:
    if data:
        return Given(data, f"{key}-data of the kubeconfig")
    return CredentialFile(path, key, clock=clock) if path is not None else None


def _tls(target: Target, server: URL, clock: Callable[[], float]) -> tuple[TLS, Source | None]:
    cluster, user = target.cluster, target.user
    if server.scheme != "https":
        return TLS(), None
    ca = _source(cluster.ca_data, cluster.ca_file, "certificate-authority", clock)
    tls = TLS(
        ca=ca,
        insecure=cluster.insecure,
        certificate=_source(user.certificate_data, user.certificate_file, "client-certificate", clock),
        key=_source(user.key_data, user.key_file, "client-key", clock),
        server_name=cluster.tls_server_name,
    )
    return tls, ca


def _impersonation(target: Target) -> CIMultiDict[str]:
    """The headers by which a user acts as another (authentication.k8s.io, "User impersonation")."""
    user = target.user
    headers = CIMultiDict[str]()
    if user.impersonate_user:
        headers.add("Impersonate-User", user.impersonate_user)
    if user.impersonate_uid:
        headers.add("Impersonate-Uid", user.impersonate_uid)
    for group in user.impersonate_groups:
        headers.add("Impersonate-Group", group)
    for key, values in user.impersonate_extra:
        for value in values:
            headers.add("Impersonate-Extra-" + quote(key.lower(), safe=""), value)
    return headers
