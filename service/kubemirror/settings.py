"""Every setting: a flag of ``kubemirror serve`` and a ``KUBEMIRROR_*`` variable, with its unit and reason.

A flag wins over its variable, a variable over the default. All are printed at start; none holds a secret
(files that do are named by path).
"""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

MIB = 1024 * 1024
# As a browser writes it: no path, no capital letters. Of any scheme: an application's own pages have origins too.
_is_origin = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:(?P<port>\d{1,5}))?"
).fullmatch
# Those of the web, and the port that each has anyway.
_PORTS = {"http": "80", "https": "443"}


def _parted(value: object) -> object:
    """Lists in variables are comma-separated: KUBEMIRROR_MIRROR=pods,services."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _ancestors(given: tuple[str, ...]) -> tuple[str, ...]:
    """A wrong one would be a policy that browsers ignore."""
    for each in given:
        found = _is_origin(each)
        if each not in ("self", "none") and (found is None or found["scheme"] not in _PORTS):
            raise ValueError(f'"{each}" is neither self, none nor an origin like https://portal.example.com')
    return given


def _origins(given: tuple[str, ...]) -> tuple[str, ...]:
    """A wrong one would let nobody in, and be looked for in the browser."""
    for each in given:
        found = _is_origin(each)
        if found is None or (found["port"] and found["port"] == _PORTS.get(found["scheme"])):
            raise ValueError(
                f'"{each}" is no origin as browsers write it: scheme://host[:port] like https://portal.example.com,'
                " in small letters, without a path and without the port that the scheme has anyway"
            )
    return given


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parted)]
# Names without a group are the core group's; any name kubectl takes works here too.
Resources = Names


class Access(StrEnum):
    """Who is answered."""

    LOCAL = "local"  # loopback only: whoever can reach the port may read
    DELEGATED = "delegated"  # the API server says who a token is from, and what that user may see
    PROXY = "proxy"  # a front proxy says who asks, and the API server what that user may see
    OPEN = "open"  # anyone who can reach the port may read what is listed: said explicitly, or not at all


class Redact(StrEnum):
    """How much of what is held is masked before it is held."""

    NONE = "none"  # nothing
    PATTERN = "pattern"  # what its name, its form or an assignment tells to be a secret
    ALL = "all"  # and every value of env, args, ConfigMaps and annotations


class Settings(BaseSettings):
    """What ``kubemirror serve`` is told."""

    model_config = SettingsConfigDict(env_prefix="KUBEMIRROR_", extra="forbid", frozen=True)

    # -- which cluster ----------------------------------------------------------------------------
    demo: bool = Field(False, description="Serve an embedded demo cluster instead of a real one.")
    demo_objects: int = Field(0, ge=0, description="Fill the demo cluster up to this many Deployments.")
    kubeconfig: Path | None = Field(
        None, description="kubeconfig file; default: in-cluster if there, else $KUBECONFIG, else ~/.kube/config."
    )
    context: str | None = Field(None, description="Context of the kubeconfig; default: its current-context.")

    # -- what is mirrored -------------------------------------------------------------------------
    mirror: Resources = Field(
        (), description="Also mirror this resource (repeatable): resource[.version][.group] or *.group."
    )
    exclude: Resources = Field((), description="Do not mirror this resource (repeatable); wins over everything.")
    namespace: Resources = Field(
        (), description="Mirror only this namespace (repeatable), for clusters where only a Role is granted."
    )
    max_object_bytes: int = Field(
        16 * MIB,
        ge=64 * 1024,
        description="An object beyond this is held as a stub that says so (etcd's limit is 1.5 MiB; JSON is larger).",
    )
    keep_managed_fields: bool = Field(False, description="Hold metadata.managedFields (a third of the bytes).")
    keep_last_applied: bool = Field(
        False, description="Hold the last-applied-configuration annotation (it has leaked Secrets elsewhere)."
    )
    redact: Redact | None = Field(
        None,
        description="Mask secrets before they are held: none (default in local mode), pattern (default elsewhere: by"
        " name and form) or all (every value of env, args, ConfigMaps and annotations too).",
    )
    redact_name: Names = Field(
        (), description="Further names whose values are masked (repeatable): globs without case, as *_dsn."
    )
    unredacted: bool = Field(
        False,
        description="Mask nothing though others than this machine are answered; said explicitly, and told loudly.",
    )
    journal_seconds: float = Field(
        300.0, gt=0, description="History aimed at, for readers that resume: five minutes, as etcd's compaction keeps."
    )
    journal_bytes: int = Field(
        64 * MIB,
        ge=MIB,
        description="History's byte budget per store (or half the store, if larger); it wins over the seconds.",
    )
    history_bytes: int = Field(
        16 * MIB,
        ge=0,
        description="What changed in meaning, object by object, for pages: about 20,000 changes, so a busy day of 1,000"
        " Deployments; 0 keeps nothing.",
    )
    audit_seconds: float = Field(
        450.0,
        gt=0,
        description="Mean time between audits of a store against upstream (jittered by a third: 5 to 10 minutes).",
    )
    rights_seconds: float = Field(
        60.0,
        gt=0,
        description="Mean time between questions whether a store's watch is still allowed (jittered by a third),"
        " and between attempts at what is not: rights come and go by someone's hand.",
    )
    idle_seconds: float = Field(
        85.0,
        gt=0,
        description="A watch silent for this long is reopened: bookmarks come each 60 s; 90 s is the promise.",
    )
    page_size: int = Field(
        500, ge=1, description="Objects per page of a fallback LIST; client-go's and kube-rs' number."
    )

    # -- how it is served -------------------------------------------------------------------------
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    access: Access | None = Field(
        None,
        description="Who is answered: local (loopback bind only; default outside a cluster), delegated (default in one:"
        " by TokenReview and SubjectAccessReview), proxy (a proxy names the user), open (all may read what is listed).",
    )
    token_audience: Names = Field(
        (),
        description="delegated: an audience that tokens must be meant for (repeatable); default: the API server's own.",
    )
    review_server: Path | None = Field(
        None,
        description="delegated, proxy: kubeconfig of the API server that reviews access, where another one is mirrored"
        " (a mirror that follows a mirror).",
    )
    recheck_seconds: float = Field(
        30.0,
        gt=0,
        description="Mean time between reviews of an open stream's access, jittered by a tenth: with a review's 10 s at"
        " most, access that was withdrawn ends it within 45 s.",
    )
    outage_seconds: float = Field(
        300.0,
        ge=0,
        description="While access cannot be reviewed new requests are refused, and open streams go on for this long at"
        " most since it was last confirmed.",
    )
    client_ca: Path | None = Field(
        None, description="Certificates of whoever signs clients' certificates, the front proxy's in proxy mode."
    )
    proxy_name: Names = Field(
        (),
        description="proxy: common name of the front proxy's client certificate (repeatable); default: any that"
        " --client-ca has signed.",
    )
    proxy_secret_file: Path | None = Field(
        None,
        description="proxy: file with a secret of 32 bytes or more, which the proxy sends as Kubemirror-Proxy-Secret.",
    )
    proxy_extra: Names = Field(
        (),
        description="proxy: key of an X-Remote-Extra-* field that is believed (repeatable), which the proxy must set or"
        " take away; any other is refused, since few proxies can take away all that clients send.",
    )
    open_resource: Resources = Field(
        (), description="open: a resource that everyone may read (repeatable); Secrets never are."
    )
    session_key_file: Path | None = Field(
        None,
        description="delegated: file with a secret of at least 32 bytes that seals browsers' sessions, the same for all"
        " replicas; default: one of this process' own.",
    )
    root_path: str = Field("", description="Base path under which a proxy serves this.")
    trusted_proxies: Names = Field(
        ("127.0.0.1", "::1"),
        description="Address or network of a proxy whose X-Forwarded-* headers are believed (repeatable).",
    )
    allow_host: Names = Field(
        (),
        description="Further Host header that a loopback bind answers to (repeatable): a guard against rebinding."
        " Elsewhere: the only ones, where any is given.",
    )
    allow_origin: Annotated[Names, AfterValidator(_origins)] = Field(
        (),
        description="Further Origin whose pages may open streams and WebSockets, POST, and read answers here with their"
        " visitors' rights (repeatable), as scheme://host[:port].",
    )
    embed_key_file: Path | None = Field(
        None,
        description="Keys of embed tokens, one a line, the same for all replicas: the first signs, all are believed;"
        " read again when it changes.",
    )
    audit_log: str | None = Field(
        None,
        description="Where denials, failed authentications and streams are told, a JSON line each: - (standard error;"
        " default but in local mode), a file (reopened when it is rotated), or none.",
    )
    frame_ancestors: Annotated[Names, AfterValidator(_ancestors)] = Field(
        ("self",),
        description="Whose pages may show those below /embed in a frame (repeatable): self, none, or an origin.",
    )
    tls_cert: Path | None = Field(None, description="Certificate chain to serve with; read again when it changes.")
    tls_key: Path | None = Field(None, description="Its private key.")
    tls_self_signed: bool = Field(
        False,
        description="Serve with a certificate of the mirror's own making, kept in --tls-cert and --tls-key if given.",
    )
    workers: int = Field(
        1, description="Always 1: each worker would hold the whole mirror. More replicas serve more readers."
    )
    consistent: Resources = Field(
        (), description="Answer reads of this resource with RV unset only when as new as upstream (repeatable)."
    )
    freshness_seconds: float = Field(
        3.0, ge=0, description="How long a read waits for a resourceVersion ahead of the mirror; upstream's number."
    )
    max_streams: int = Field(
        12_000,
        ge=1,
        description="Open push streams and watches at most; beyond it 429 (10,000 readers are the aim, with headroom).",
    )
    max_streams_per_client: int = Field(
        1_000,
        ge=1,
        description="Of those, at most this many from one address (an IPv6 /64; behind a trusted proxy, the one that it"
        " names); loopback is not counted.",
    )
    max_streams_per_caller: int = Field(
        2_000,
        ge=1,
        description="Of those, at most this many of one user, from wherever; anonymous callers are no user.",
    )
    max_connections_per_client: int = Field(
        4_000,
        ge=1,
        description="Open connections from one address at most (an IPv6 /64); beyond it 429. Loopback and trusted"
        " proxies are not counted; the total is what the descriptor limit allows.",
    )
    max_requests_per_client: int = Field(
        500,
        ge=1,
        description="Requests of one address, or of one user, that are being answered at the same time, streams apart;"
        " beyond it 429: only those that wait for something newer take longer than a millisecond.",
    )
    max_reviews: int = Field(
        32,
        ge=1,
        description="Access reviews under way at the API server at most, the others wait: its priority and fairness"
        " gives an ordinary client a few dozen seats.",
    )
    review_burst: int = Field(
        1_000,
        ge=201,
        description="New access reviews that one user, or one address of anonymous callers, may cause at once: five"
        " views of who may see some of 200 namespaces; beyond it 429. What is kept for seconds costs none.",
    )
    review_rate: float = Field(
        50.0,
        gt=0,
        description="And so many a second after that: such a view costs 40 while it is asked for again and again.",
    )
    max_token_failures: int = Field(
        20,
        ge=1,
        description="delegated: bearer tokens from one address (an IPv6 /64) that may turn out not to hold, and a"
        " quarter more each second; beyond it 429 for those that were not seen to hold lately.",
    )
    max_subscriptions: int = Field(
        100, ge=1, description="Subscriptions on one WebSocket at most: a page shows a dozen things."
    )
    max_frame_bytes: int = Field(
        64 * 1024,
        ge=1024,
        description="A WebSocket's incoming message beyond this closes it (1009): they are subscriptions and pings.",
    )
    stream_seconds: float = Field(
        3600.0,
        gt=0,
        description="A push stream lasts at most this long (and at least three quarters), so that load spreads again;"
        " its reader resumes.",
    )
    stream_send_seconds: float = Field(
        10.0, gt=0, description="A push stream whose reader takes nothing for this long is cut; it can resume."
    )
    stream_bytes: int = Field(
        MIB,
        ge=64 * 1024,
        description="What a push stream's slow reader may hold in memory beside its place in the history; one event may"
        " be larger.",
    )
    shutdown_seconds: float = Field(
        20.0,
        ge=0,
        description="At most this long from SIGTERM to exit (kubelet kills at 30 s).",
    )
    shutdown_delay_seconds: float = Field(
        5.0, ge=0, description="How long new requests are still answered after readiness failed at SIGTERM."
    )
    log_format: str = Field(
        "auto", pattern="^(auto|text|json)$", description="text for people (default on a terminal), json for machines."
    )
    access_log: bool = Field(False, description="Log a line for each answered request, of a stream at its end.")
    log_level: str = Field("info", pattern="^(debug|info|warning|error)$", description="Least level that is logged.")

    @property
    def redaction(self) -> Redact:
        """How much is masked: what was said, else nothing for whoever holds the kubeconfig anyway."""
        if self.unredacted:
            return Redact.NONE
        return self.redact or (Redact.NONE if self.access in (None, Access.LOCAL) else Redact.PATTERN)

    @property
    def audit_target(self) -> str:
        """Where audit lines go; "" for nowhere."""
        if self.audit_log is not None:
            return "" if self.audit_log == "none" else self.audit_log
        return "" if self.access in (None, Access.LOCAL) else "-"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach ``host``."""
        try:
            return self.host.lower() == "localhost" or ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False
