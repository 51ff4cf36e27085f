"""What one request reads: which stores, which namespaces of them, and as of when.

A resource is one store, or one per namespace where only namespaces may be read; a caller may see all of it
or some namespaces. Our own views merge what they may show; this is the one place that knows how.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf

from kubemirror.access.authorizer import (
    REVIEWS_A_REQUEST,
    Allow,
    AllowNamespaces,
    Budget,
    Caller,
    Candidates,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.errors import ForbiddenError, GoneError, NotSyncedError, SelectorError
from kubemirror.serve.attributes import attributes_of
from kubemirror.serve.context import Context
from kubemirror.serve.problems import not_found
from kubemirror.serve.status import StatusError, refused
from kubemirror.state.catalog import ALL_NAMESPACES, Catalog, Entry, Resource
from kubemirror.state.events import Phase
from kubemirror.state.objects import Object
from kubemirror.state.selectors import parse_field_selector
from kubemirror.state.store import DIGEST_MODULUS, Reader

# Worst last: what a view over several stores says of itself.
_PHASES = (Phase.SYNCED, Phase.STALE, Phase.GONE, Phase.FORBIDDEN, Phase.INIT)


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far what is shown can be trusted.

    stale_seconds: since when upstream is lost, as seconds ago; None while it is heard.
    heard_seconds: how long ago upstream last said anything; None if it never did.
    """

    phase: Phase
    reason: str
    stale_seconds: float | None
    heard_seconds: float | None


@dataclass(frozen=True, slots=True)
class Moment:
    """What a reading shows at one moment, in storage order, and what names that moment afterwards."""

    objects: Sequence[Object]
    cursor: str
    digest: int
    stamp: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """Stores and namespaces that a caller may see of one resource.

    namespace: the one asked for, None for all. allowed: the namespaces the caller is confined to, None
    for no confinement. until: the event loop's second until which the access decision holds.
    decision: what it rests on. excluded: the namespaces that are not asked for.
    """

    entry: Entry
    stores: tuple[tuple[str, Reader], ...]
    namespace: str | None
    allowed: frozenset[str] | None
    until: float = inf
    decision: Decision = field(default_factory=Allow)
    excluded: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.entry.resource.name

    @property
    def confined(self) -> bool:
        """Whether the caller may not see all namespaces, so that something may be left out."""
        return isinstance(self.decision, AllowNamespaces)

    @property
    def definitions(self) -> bytes:
        """The columnDefinitions of the cells that are held, as JSON; one resource's stores have the same."""
        return self.stores[0][1].columns if self.stores else b""

    def require_served(self) -> None:
        """Raise what the request must be answered with where nothing of it can be served.

        A namespace that is refused to the mirror does not hide the others: see ``missing``.
        """
        refusal: ForbiddenError | GoneError | None = None
        for _, reader in self.stores:
            try:
                reader.require_served()
            except NotSyncedError:
                raise
            except (ForbiddenError, GoneError) as error:
                refusal = error
            else:
                return
        if refusal is not None:
            raise refusal
        raise NotSyncedError("no store of it is complete yet")

    @property
    def missing(self) -> list[tuple[str, str]]:
        """(namespace, why) of the stores that are left out because upstream refuses them."""
        return [(key, reader.reason) for key, reader in self.stores if reader.phase in (Phase.FORBIDDEN, Phase.GONE)]

    def shows(self, namespace: str) -> bool:
        """Whether an object of ``namespace`` is part of this reading."""
        if self.namespace is not None and namespace != self.namespace:
            return False
        return namespace not in self.excluded and (self.allowed is None or namespace in self.allowed)

    def parts(self) -> list[tuple[Reader, str | None]]:
        """(reader, namespace or None for all) in storage order."""
        served = [(key, reader) for key, reader in self.stores if reader.phase not in (Phase.FORBIDDEN, Phase.GONE)]
        if self.namespace is not None:
            return [(reader, self.namespace) for _, reader in served if self.shows(self.namespace)]
        if self.allowed is None and not self.excluded:
            return [(reader, None) for _, reader in served]
        return [
            (reader, namespace)
            for key, reader in served
            for namespace in (reader.namespaces if key == ALL_NAMESPACES else (key,))
            if self.shows(namespace)
        ]

    def objects(self) -> Iterator[Object]:
        """What is held now, in storage order; the snapshots are taken before this returns."""
        snapshots = [reader.snapshot(namespace) for reader, namespace in self.parts()]
        return (held for snapshot in snapshots for held in snapshot.objects)

    def moment(self) -> Moment:
        """What is held now, for those who look at it longer than now."""
        snapshots = [reader.snapshot(namespace).objects for reader, namespace in self.parts()]
        objects = snapshots[0] if len(snapshots) == 1 else [held for each in snapshots for held in each]
        return Moment(objects, self.cursor, self.digest, self.stamp)

    def objects_of(self, store: Reader) -> Iterator[Object]:
        """The part of ``objects`` that ``store`` holds."""
        snapshots = [reader.snapshot(namespace) for reader, namespace in self.parts() if reader is store]
        return (held for snapshot in snapshots for held in snapshot.objects)

    def get(self, name: str, namespace: str = "") -> Object | None:
        for reader, _ in self.parts():
            held = reader.get(name, namespace)
            if held is not None:
                return held
        return None

    @property
    def stamp(self) -> tuple[object, ...]:
        """Equal stamps of the same question mean equal content; what finished responses are kept under."""
        return tuple(
            (id(reader), reader.phase, reader.epoch, reader.version(self.namespace)) for _, reader in self.stores
        )

    @property
    def digest(self) -> int:
        """Of the (uid, RV) of all objects shown; equal on all replicas for equal content."""
        return sum(reader.digest(namespace) for reader, namespace in self.parts()) % DIGEST_MODULUS

    @property
    def cursor(self) -> str:
        """The resourceVersion(s) of what is shown: ``123``, or ``pods/ns1=5;pods/ns2=7`` over several stores."""
        if len(self.stores) == 1 and self.stores[0][0] == ALL_NAMESPACES:
            return str(self.stores[0][1].resource_version)
        return ";".join(f"{self.name}/{key}={reader.resource_version}" for key, reader in self.stores)

    @property
    def state(self) -> str:
        """Of the worst store: SYNCED, STALE, ..."""
        return max((reader.phase for _, reader in self.stores), key=_PHASES.index, default=Phase.SYNCED).value

    def freshness(self, now: float) -> Freshness:
        """Of the worst store; ``now`` is the stores' clock."""
        return freshness([reader for _, reader in self.stores], now)


def freshness(readers: list[Reader], now: float) -> Freshness:
    """Of the worst of several stores."""
    worst = max(readers, key=lambda reader: (_PHASES.index(reader.phase), -reader.heard))
    heard = min((reader.heard for reader in readers), default=0.0)
    return Freshness(
        phase=worst.phase,
        reason=worst.reason,
        stale_seconds=None if worst.phase is Phase.SYNCED else max(0.0, now - worst.phase_since),
        heard_seconds=max(0.0, now - heard) if heard else None,
    )


async def read(
    context: Context,
    caller: Caller,
    entry: Entry,
    *,
    verb: str,
    namespace: str | None = None,
    name: str = "",
    label_selector: str = "",
    field_selector: str = "",
    held: Decision | None = None,
    budget: Budget | None = None,
    worded: ResourceAttributes | None = None,
) -> Reading:
    """Ask the Authorizer, and tell what of ``entry`` may be read. Raises StatusError 403 or 404.

    held: what an open stream of it goes by. budget: of a request that reads many resources. worded: what was asked
    for in the words of a caller who is not to learn from a refusal what that is (sought.py).
    """
    resource = entry.resource
    astray = namespace is not None and not resource.namespaced
    if astray and worded is None and await may_discover(context, caller):
        raise not_namespaced(resource)
    attributes = attributes_of(
        verb,
        resource.group,
        resource.version,
        resource.plural,
        namespace=namespace or "",
        name=name,
        label_selector=label_selector,
        field_selector=field_selector,
        known=resource,
    )
    everywhere = resource.namespaced and namespace is None and verb != "get" and worded is None
    partial = candidates(context.catalog, entry, field_selector, budget=budget) if everywhere else None
    decision = await context.authorizer.authorize(caller, attributes, partial=partial, held=held)
    allowed: frozenset[str] | None = None
    match decision:
        case Deny():
            told = attributes if worded is None else replace(worded, namespace=namespace or worded.namespace)
            raise refused(caller, told, decision.reason)
        case AllowNamespaces(namespaces):
            allowed = namespaces
        case Allow():
            pass
    if astray:
        raise not_namespaced(resource)
    if entry.whole is not None:
        stores: tuple[tuple[str, Reader], ...] = ((ALL_NAMESPACES, entry.whole),)
    elif namespace is None:
        keys = sorted(entry.stores, key=lambda key: key + "/")
        stores = tuple((key, entry.stores[key]) for key in keys if allowed is None or key in allowed)
    else:
        reader = entry.reader(namespace)
        if reader is None:
            mirrored = ", ".join(sorted(entry.stores))
            raise not_found(f'the mirror does not hold namespace "{namespace}" of {resource.name}; it holds {mirrored}')
        stores = ((namespace, reader),)
    return Reading(entry, stores, namespace, allowed, decision.until, decision)


def candidates(catalog: Catalog, entry: Entry, field_selector: str = "", *, budget: Budget | None = None) -> Candidates:
    """The namespaces that are asked about for a list of ``entry`` over all of them.

    One that the selector names is the caller's own word, and asked about whatever is in it. Else these are all that
    the mirror knows of, by any resource; where that is more than may be asked about, those that hold something of this
    one. What else is selected, or excluded, makes no difference (authorizer.Candidates says why).
    """

    budget = budget or Budget()

    def namespaces() -> Collection[str]:
        named = _named(entry.resource, field_selector)
        if named is not None:
            return {named}
        if entry.whole is None:
            return set(entry.stores)
        if budget.known is None:
            budget.known = {name for each in catalog for name in _known(each)}
        return budget.known if len(budget.known) <= REVIEWS_A_REQUEST else entry.whole.namespaces

    return Candidates(namespaces, budget)


def _named(resource: Resource, field_selector: str) -> str | None:
    if not field_selector:
        return None
    try:
        return parse_field_selector(field_selector, resource, resource.version).namespace
    except SelectorError:
        return None  # refused in upstream's words once it is known who asks


def _known(entry: Entry) -> Iterator[str]:
    if entry.resource.name == "namespaces" and entry.whole is not None:
        yield from (held.name for held in entry.whole.snapshot().objects)
    elif entry.resource.namespaced:
        for reader in entry.stores.values():
            yield from reader.namespaces


def not_namespaced(resource: Resource) -> StatusError:
    """404 for a namespace of what has none."""
    return not_found(f"{resource.name} is not namespaced: leave the namespace away", resource.name)


async def may_open(context: Context, caller: Caller, path: str) -> bool:
    """Whether the Authorizer lets the caller read a path that is no resource; no denial, since nobody asked for it."""
    return isinstance(await context.authorizer.authorize(caller, PathAttributes("get", path, wanted=False)), Allow)


async def may_discover(context: Context, caller: Caller) -> bool:
    """Whether discovery tells the caller which resources there are: the API server lets whoever is known read it."""
    return await may_open(context, caller, "/apis")


async def require_path(context: Context, caller: Caller, path: str, *, verb: str = "get") -> None:
    """Ask the Authorizer about a path that is no resource. Raises StatusError 403."""
    attributes = PathAttributes(verb, path)
    decision = await context.authorizer.authorize(caller, attributes)
    if not isinstance(decision, Allow):
        raise refused(caller, attributes, decision.reason if isinstance(decision, Deny) else "")
