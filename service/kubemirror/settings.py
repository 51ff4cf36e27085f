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
# As a browser writes it: no path, no capital letters.
_is_origin = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?").fullmatch


def _parted(value: object) -> object:
    """Lists in variables are comma-separated: KUBEMIRROR_MIRROR=pods,services."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _ancestors(given: tuple[str, ...]) -> tuple[str, ...]:
    """A wrong one would be a policy that browsers ignore."""
    for each in given:
        if each not in ("self", "none") and _is_origin(each) is None:
            raise ValueError(f'"{each}" is neither self, none nor an origin like https://portal.example.com')
    return given


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parted)]
# Names without a group are the core group's; any name kubectl takes works here too.
Resources = Names


class Access(StrEnum):
    """Who is answered."""

    LOCAL = "local"  # loopback only: whoever can reach the port may read
    OPEN = "open"  # anyone who can reach the port may read: said explicitly, or not at all


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
    access: Access | None = Field(None, description="Who is answered: local (default; loopback bind only) or open.")
    root_path: str = Field("", description="Base path under which a proxy serves this.")
    trusted_proxies: Names = Field(
        ("127.0.0.1", "::1"),
        description="Address or network of a proxy whose X-Forwarded-* headers are believed (repeatable).",
    )
    allow_host: Names = Field(
        (),
        description="Further Host header that a loopback bind answers to (repeatable): a guard against rebinding.",
    )
    allow_origin: Names = Field(
        (),
        description="Further Origin whose pages may read JSON and push here, with their visitors' rights (repeatable),"
        " as scheme://host[:port].",
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
    def on_loopback(self) -> bool:
        """Whether only this machine can reach ``host``."""
        try:
            return self.host.lower() == "localhost" or ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False
