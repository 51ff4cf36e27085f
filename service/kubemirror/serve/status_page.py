"""/-/status: where every store stands, for people and for monitors; and POST /-/refresh."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from importlib.metadata import version

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from kubemirror.serve.certificate import Certificate
from kubemirror.serve.context import Context
from kubemirror.serve.health import readiness
from kubemirror.serve.reading import require_path
from kubemirror.serve.routes import get
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.state.catalog import ALL_NAMESPACES, Entry
from kubemirror.state.events import Phase
from kubemirror.state.store import Reader

_STARTED = time.time()


class JournalStatus(BaseModel):
    """How far back a reader can resume, and who reads."""

    oldest_resource_version: str = Field(serialization_alias="oldestResourceVersion")
    records: int
    bytes: int
    window_seconds: float = Field(
        serialization_alias="windowSeconds", description="Age of the oldest change kept, seconds."
    )
    target_seconds: float = Field(serialization_alias="targetSeconds", description="Window aimed at, seconds.")
    budget_bytes: int = Field(serialization_alias="budgetBytes")
    readers: int
    gaps: int = Field(description="Stretches that were not watched (relists) and cannot be resumed inside.")


class ReflectorStatus(BaseModel):
    """What the reflector counted since the process started."""

    lists: int
    watches: int
    short_watches: int = Field(serialization_alias="shortWatches")
    events: dict[str, int]
    relists: dict[str, int]
    errors: dict[str, int]
    out_of_order: int = Field(serialization_alias="outOfOrder")
    audits: int
    audit_mismatches: int = Field(serialization_alias="auditMismatches")
    upstream_bytes: int = Field(serialization_alias="upstreamBytes")
    backoff_seconds: float = Field(serialization_alias="backoffSeconds")
    last_error: str | None = Field(serialization_alias="lastError")
    last_error_at: str | None = Field(serialization_alias="lastErrorAt")


class StoreStatus(BaseModel):
    """One store: a resource, or one namespace of it where only namespaces may be read."""

    namespace: str | None = Field(description="None: all namespaces.")
    phase: Phase
    since: str = Field(description="When the phase began, RFC 3339.")
    reason: str | None = Field(description="Why, in one line; null when SYNCED.")
    heard_at: str | None = Field(serialization_alias="heardAt", description="When upstream last said anything.")
    upstream_age_seconds: float | None = Field(serialization_alias="upstreamAgeSeconds")
    objects: int
    bytes: int
    resource_version: str = Field(serialization_alias="resourceVersion")
    epoch: int = Field(description="Counts rollbacks of upstream.")
    journal: JournalStatus
    reflector: ReflectorStatus


class ResourceStatus(BaseModel):
    """One mirrored resource."""

    resource: str
    kind: str
    group: str
    version: str
    versions: list[str]
    namespaced: bool
    required: bool = Field(description="Whether readiness waits for it.")
    stores: list[StoreStatus]


class StaleGroup(BaseModel):
    """A group version whose discovery fails upstream."""

    group: str
    version: str
    reason: str


class CertificateStatus(BaseModel):
    """What readers are shown."""

    fingerprint: str = Field(description="SHA-256, as clients print it.")
    not_after: str = Field(serialization_alias="notAfter", description="When it ends, RFC 3339.")
    refused: str | None = Field(description="Why what the files hold now is not what is shown; null while it is.")


class ProcessStatus(BaseModel):
    """The process itself."""

    version: str
    started_at: str = Field(serialization_alias="startedAt")
    loop_lag_seconds: float = Field(
        serialization_alias="loopLagSeconds", description="Worst of the last minute, seconds."
    )
    loop_stalls: int = Field(serialization_alias="loopStalls")
    stopping: bool
    streams: int = Field(description="Open push streams.")
    finished_answers: int = Field(serialization_alias="finishedAnswers")
    finished_bytes: int = Field(serialization_alias="finishedBytes")
    certificate: CertificateStatus | None = Field(description="null in plaintext.")


class MirrorStatus(BaseModel):
    """What is mirrored, how fresh it is, and what it costs."""

    ready: bool
    not_ready: list[str] = Field(serialization_alias="notReady", description="What readiness waits for.")
    process: ProcessStatus
    resources: list[ResourceStatus]
    stale_groups: list[StaleGroup] = Field(serialization_alias="staleGroups")


def status(serving: Serving) -> MirrorStatus:
    """The state of everything, now."""
    context = serving.context
    checks = readiness(context)
    return MirrorStatus(
        ready=all(check.ok for check in checks),
        not_ready=[check.name for check in checks if not check.ok],
        process=ProcessStatus(
            version=version("kubemirror"),
            started_at=_timestamp(_STARTED),
            loop_lag_seconds=round(context.lag.worst, 4),
            loop_stalls=context.lag.stalls,
            stopping=context.lifecycle.stopping,
            streams=serving.traffic.open_streams.total(),
            finished_answers=len(serving.answers),
            finished_bytes=serving.answers.size,
            certificate=_certificate(context.certificate),
        ),
        resources=[_resource(context, entry) for entry in context.catalog],
        stale_groups=[
            StaleGroup(group=state.group, version=state.version, reason=state.reason)
            for state in context.catalog.stale_groups.values()
        ],
    )


def _certificate(certificate: Certificate | None) -> CertificateStatus | None:
    if certificate is None:
        return None
    return CertificateStatus(
        fingerprint=certificate.fingerprint,
        not_after=_timestamp(certificate.not_after.timestamp()),
        refused=certificate.refused,
    )


def _resource(context: Context, entry: Entry) -> ResourceStatus:
    resource = entry.resource
    return ResourceStatus(
        resource=resource.name,
        kind=resource.kind,
        group=resource.group,
        version=resource.version,
        versions=[served.name for served in resource.versions],
        namespaced=resource.namespaced,
        required=entry.required,
        stores=[_store(context, key, reader) for key, reader in sorted(entry.stores.items())],
    )


def _store(context: Context, key: str, reader: Reader) -> StoreStatus:
    now, wall = context.clock(), context.wall()
    journal, counted = reader.journal, reader.statistics
    return StoreStatus(
        namespace=None if key == ALL_NAMESPACES else key,
        phase=reader.phase,
        since=_timestamp(wall - (now - reader.phase_since)),
        reason=reader.reason or None,
        heard_at=_timestamp(wall - (now - reader.heard)) if reader.heard else None,
        upstream_age_seconds=round(now - reader.heard, 3) if reader.heard else None,
        objects=len(reader),
        bytes=reader.size,
        resource_version=str(reader.resource_version),
        epoch=reader.epoch,
        journal=JournalStatus(
            oldest_resource_version=str(journal.oldest),
            records=journal.end - journal.start,
            bytes=journal.size,
            window_seconds=round(now - journal.span[0], 3) if journal.span else 0.0,
            target_seconds=journal.window,
            budget_bytes=journal.budget,
            readers=journal.positions,
            gaps=len(journal.gaps),
        ),
        reflector=ReflectorStatus(
            lists=counted.lists,
            watches=counted.watches,
            short_watches=counted.short_watches,
            events=dict(counted.events),
            relists=dict(counted.relists),
            errors=dict(counted.errors),
            out_of_order=counted.out_of_order,
            audits=counted.audits,
            audit_mismatches=counted.audit_mismatches,
            upstream_bytes=counted.upstream_bytes,
            backoff_seconds=round(counted.backoff_seconds, 3),
            last_error=counted.last_error or None,
            last_error_at=_timestamp(wall - (now - counted.last_error_at)) if counted.last_error else None,
        ),
    )


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def routes(serving: Serving) -> APIRouter:
    """/-/status."""
    router = APIRouter(tags=["status"])

    async def show(asked: AskedHere) -> Response:
        """Each store's phase, since when and why, freshness, counts, bytes, resourceVersion and journal."""
        await require_path(serving.context, asked.caller, asked.path)
        body = status(serving).model_dump_json(by_alias=True, indent=2 if asked.terminal or asked.browser else None)
        return Response(body + "\n", media_type="application/json", headers={"cache-control": "no-store"})

    get(router, "/-/status", show, response_model=None, responses={200: {"model": MirrorStatus}})
    return router
