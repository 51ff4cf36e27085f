"""What a reader of /watch asks for, in a query or in a message, and the subscription that it is given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from kubemirror.access.authorizer import Caller, Decision, ResourceAttributes
from kubemirror.serve.asked import Asked
from kubemirror.serve.forms import As
from kubemirror.serve.life import Life
from kubemirror.serve.namespaces import read_namespaces, separate
from kubemirror.serve.problems import unknown_parameter
from kubemirror.serve.reading import Reading
from kubemirror.serve.rendering import said_of
from kubemirror.serve.routes import parameters, repeatable
from kubemirror.serve.serving import Serving
from kubemirror.serve.sought import Sought, find, wording
from kubemirror.serve.source import Holds, Source, sources_of
from kubemirror.serve.status import bad_request, forbidden
from kubemirror.serve.subscription import Subscription, Wanted
from kubemirror.serve.view_query import ViewQuery
from kubemirror.serve.watch_shape import shape_of
from kubemirror.state.meaning import Meaning
from kubemirror.state.selectors import Selection, parse_field_selector, parse_label_selector


class Framing(StrEnum):
    """How events are told apart on the wire; the parameter ``output``."""

    NDJSON = "ndjson"
    SSE = "sse"
    TABLE = "table"  # rows as kubectl get -w prints them


class OnExpired(StrEnum):
    """What follows a cursor that cannot be resumed; the parameter ``onExpired``."""

    ERROR = "error"
    SNAPSHOT = "snapshot"


def _written(value: object) -> object:
    """A cursor of one resource looks like a number, and null like none: in a message it may be written so."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class WatchQuery(ViewQuery):
    """Parameters of /watch."""

    resource: Annotated[
        list[str],
        BeforeValidator(separate),
        Field(min_length=1, description="What to watch, by any names kubectl takes: comma-separated or repeated."),
    ]
    name: Annotated[str, Field(description="Only the object of this name.")] = ""
    resource_version: Annotated[
        str,
        BeforeValidator(_written),
        Field(
            alias="resourceVersion",
            description="Resume after this cursor: 123, or deployments.apps=123;pods=456. Empty: a snapshot.",
        ),
    ] = ""
    as_: Annotated[As, Field(alias="as", description="What an event carries.")] = As.OBJECT
    changes: Annotated[
        list[Meaning],
        BeforeValidator(separate),
        Field(description="Only changes that mean one of these, and what comes and goes; comma-separated."),
    ] = Field(default_factory=list)
    snapshot: Annotated[
        bool | None,
        Field(description="Begin with what is there now, as ADDED; default: without a cursor. With one: not older."),
    ] = None
    batch: Annotated[bool, Field(description="All that there is to tell in one message.")] = False
    latest: Annotated[bool, Field(description="Of what was missed, each object's last state only.")] = False
    on_expired: Annotated[
        OnExpired,
        Field(alias="onExpired", description="What follows a cursor that is too old: ERROR 410, or a new snapshot."),
    ] = OnExpired.ERROR
    holds: Annotated[
        list[str],
        BeforeValidator(separate),
        Field(
            description="What the reader has, so that a snapshot tells what vanished:"
            " [resource/][namespace/]name[@uid], comma-separated."
        ),
    ] = Field(default_factory=list)
    output: Annotated[
        Framing | None,
        Field(description="Framing; default by Accept, else ndjson. table: rows as kubectl prints them."),
    ] = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.holds and self.snapshot is False:
            raise ValueError("holds tells what of a snapshot has vanished: leave snapshot=false away")
        if (self.columns or self.sort) and self.as_ is not As.ROW and self.output is not Framing.TABLE:
            raise ValueError(f"columns and sort are of rows: as=row, not as={self.as_}")
        if self.output is Framing.TABLE:
            if self.as_ not in (As.OBJECT, As.ROW):
                raise ValueError(f"output=table prints rows: leave as={self.as_} away")
            if len(self.resource) > 1:
                raise ValueError("output=table prints one resource")
            self.as_ = As.ROW
        return self


REPEATED = repeatable(WatchQuery)


def query_of(given: Mapping[str, Any]) -> WatchQuery:
    """The parameters of an upgrade or a message, as strictly read as those of a request."""
    known = parameters(WatchQuery)
    for name in given:
        if name not in known:
            raise unknown_parameter(name, known)
    try:
        query = WatchQuery.model_validate(given)
    except ValidationError as error:
        raise bad_request(said_of(error.errors())) from None
    if query.output is not None:
        raise bad_request("output is not for a WebSocket: its messages are the events")
    return query


async def subscribe(
    serving: Serving,
    asked: Asked,
    query: WatchQuery,
    life: Life,
    id: str = "0",  # noqa: A002 - its name on the wire
) -> Subscription:
    """Open what ``query`` asks for. Raises StatusError or what a store answers; nothing is left open then."""
    context = serving.context

    async def readings(caller: Caller, held: Mapping[str, Decision]) -> list[Reading]:
        found: dict[str, Reading] = {}
        for name in query.resource:  # one after the other: which one is refused tells nothing of those after it
            worded = wording("watch", name, query.namespaces.first or "")
            told = context.catalog.find(name) if held else None  # what is open is no secret
            sought = Sought(told) if told is not None else await find(context, caller, name, worded)
            resource = sought.entry.resource
            if resource.name not in found:
                found[resource.name] = await read_namespaces(
                    context,
                    caller,
                    sought.entry,
                    query.namespaces,
                    verb="watch",
                    name=query.name,
                    label_selector=query.label_selector,
                    field_selector=query.field_selector,
                    held=held.get(resource.name),
                    worded=sought.worded,
                )
        return list(found.values())

    # A socket may be older than what is known of whoever opened it.
    caller = asked.caller if asked.caller.credential is None else await asked.caller.credential.now()
    opened = await readings(caller, {})

    async def ask_again(now: Sequence[Reading]) -> tuple[float, list[Reading]]:
        again = caller if caller.credential is None else await caller.credential.again()
        then = await readings(again, {each.name: each.decision for each in now})
        for before, after in zip(now, then, strict=True):
            require_none_lost(before, after)
        return min(again.until, *(each.until for each in then)), then

    label = parse_label_selector(query.label_selector)
    sources: list[Source] = []
    for reading in opened:
        resource = reading.entry.resource
        selection = Selection(label, parse_field_selector(query.field_selector, resource, resource.version))
        sources += sources_of(reading, selection, query.name, shape_of(serving, reading, query, query.as_))
    wanted = Wanted(
        form=query.as_,
        snapshot=query.snapshot,
        changes=frozenset(query.changes),
        batch=query.batch,
        latest=query.latest,
        begins_again=query.on_expired is OnExpired.SNAPSHOT,
        holds=held(query.holds, sources) if query.holds else None,
    )
    until = min(caller.until, *(each.until for each in opened))
    subscription = Subscription(
        context, sources, wanted, life, id=id, until=until, ask_again=ask_again, sharing=serving.sharing
    )
    try:
        await subscription.open(query.resource_version)
    except BaseException:
        subscription.close()
        raise
    named = [_attributes(each, query) for each in opened]
    subscription.audited = context.audit.opened(asked.caller, named, query.resource_version)
    return subscription


def _attributes(reading: Reading, query: WatchQuery) -> ResourceAttributes:
    """What was decided about, for the audit."""
    resource = reading.entry.resource
    return ResourceAttributes(
        verb="watch",
        group=resource.group,
        version=resource.version,
        resource=resource.plural,
        namespace=reading.namespace or "",
        name=query.name,
        label_selector=query.label_selector,
        field_selector=query.field_selector,
    )


def require_none_lost(before: Reading, after: Reading) -> None:
    """Raise 403 where less may be seen than what the reader has been told of."""
    if after.allowed is None:
        return
    if before.allowed is None:
        raise forbidden(f"access to all namespaces of {before.name} was withdrawn")
    lost = before.allowed - after.allowed
    if lost:
        raise forbidden(f"access to {before.name} was withdrawn in {', '.join(sorted(lost))}")


def held(named: Sequence[str], sources: Sequence[Source]) -> dict[str, Holds]:
    """The objects that a reader names, by the source that they are in: ``[resource/][namespace/]name[@uid]``."""
    by_resource: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        by_resource[source.reading.name].append(source)
    holds: dict[str, dict[tuple[str, str], str]] = defaultdict(dict)
    for text in named:
        path, _, uid = text.partition("@")
        *place, name = path.split("/")
        resource = place.pop(0) if len(by_resource) > 1 and place else next(iter(by_resource))
        found = by_resource.get(resource)
        if found is None:
            raise bad_request(
                f'holds names "{text}": with several resources write one of {", ".join(by_resource)} first'
            )
        namespaced = found[0].reading.entry.resource.namespaced
        if not name or len(place) != namespaced or not all(place):
            raise bad_request(f'holds names "{text}": write {"namespace/name" if namespaced else "the name alone"}')
        namespace = place[0] if place else ""
        source = next((each for each in found if each.namespace == namespace), found[0])
        holds[source.name][namespace, name] = uid
    return dict(holds)
