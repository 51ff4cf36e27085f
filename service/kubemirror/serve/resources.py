"""/resources/{resource}[/{namespace}[/{name}]]: one view, as a page or in the form that a script wants.

curl gets the table that kubectl would print; browsers a page that stays live; Accept or ``output`` choose
anything else. A cluster-scoped object is /resources/{resource}/{name}.
"""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import Response

from kubemirror.serve.addresses import forms_of, given, url_of
from kubemirror.serve.answers import etag_of
from kubemirror.serve.asked import Asked
from kubemirror.serve.finishing import finish
from kubemirror.serve.listed import Listed, body_of, listed_as, object_body, view_body, view_of
from kubemirror.serve.listing import Listing
from kubemirror.serve.namespaces import Namespaces, read_namespaces
from kubemirror.serve.object_page import object_page
from kubemirror.serve.output import MEDIA, OBJECTS, Carried, Output, chosen
from kubemirror.serve.reading import Reading, read
from kubemirror.serve.related import around
from kubemirror.serve.resource_page import drawn_rows, list_page
from kubemirror.serve.resources_query import OneQuery, ResourcesQuery
from kubemirror.serve.routes import get
from kubemirror.serve.row import Rows, View
from kubemirror.serve.sending import Headers
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.serve.sought import Sought, find, wording
from kubemirror.serve.status import bad_request, not_found
from kubemirror.views.duration import human_duration

# Cells tell ages; the others carry objects.
_AGED = frozenset({Output.HTML, Output.CSV, Output.TSV, Output.TABLE, Output.WIDE, Output.MARKDOWN})
_TOLD = "With as=row the view; else the objects, or the view in the form of output."


def routes(serving: Serving) -> APIRouter:
    """/resources/{resource}[/{namespace}[/{name}]]."""
    context = serving.context
    masked = str(context.settings.redaction)  # the same version of an object has other cells where values are masked
    router = APIRouter(tags=["resources"])

    async def collection(asked: AskedHere, resource: str, query: Annotated[ResourcesQuery, Query()]) -> Response:
        """The objects of a resource, by any name kubectl takes, in the form that is asked for."""
        namespaces = query.namespaces
        sought = await find(context, asked.caller, resource, wording("list", resource, namespaces.first or ""))
        return await many(asked, sought, namespaces, query, "/resources/{resource}")

    async def inside(
        asked: AskedHere, resource: str, namespace: str, query: Annotated[ResourcesQuery, Query()]
    ) -> Response:
        """The objects of one namespace; of a cluster-scoped resource, the object of that name."""
        named = query.namespaces
        sought = await find(context, asked.caller, resource, wording("list", resource, namespace))
        if not sought.entry.resource.namespaced:
            return await single(asked, sought, "", namespace, query, "/resources/{resource}/{namespace}")
        if not named.every and named.included != (namespace,):
            await read(context, asked.caller, sought.entry, verb="list", namespace=namespace, worded=sought.worded)
            raise bad_request(f'the path names namespace "{namespace}", the query "{",".join(query.namespace)}"')
        return await many(asked, sought, Namespaces((namespace,)), query, "/resources/{resource}/{namespace}")

    async def one(
        asked: AskedHere, resource: str, namespace: str, name: str, query: Annotated[OneQuery, Query()]
    ) -> Response:
        """One object."""
        sought = await find(context, asked.caller, resource, wording("get", resource, namespace, name))
        return await single(asked, sought, namespace, name, query, "/resources/{resource}/{namespace}/{name}")

    async def many(asked: Asked, sought: Sought, namespaces: Namespaces, query: ResourcesQuery, route: str) -> Response:
        output = chosen(asked, query.output)
        reading = await read_namespaces(
            context,
            asked.caller,
            sought.entry,
            namespaces,
            verb="list",
            label_selector=query.label_selector,
            field_selector=query.field_selector,
            worded=sought.worded,
        )
        reading.require_served()
        listed_ = await listed_as(serving, reading, namespaces, query, output)
        said = reading.state.encode()
        if output is Output.HTML:
            drawn = await drawn_rows(serving, asked, listed_)
            said = _said(reading, drawn, sorted(asked.shortcuts), context.clock())
            body: bytes | Listing = list_page(serving, asked, listed_, drawn).encode()
        else:
            body = await body_of(output, listed_)
        headers: Headers = []
        if listed_.next:
            following = url_of(asked, {**given(asked), "continue": listed_.next})
            headers.append((b"link", b'<%s>; rel="next"' % following.encode()))
        headers.append((b"kubemirror-total", b"%d" % listed_.total))
        ages = output in _AGED or listed_.view is not None
        # Of what depends on more than its objects the bytes decide, though they tell ages.
        etag = (
            _etag(asked, listed_, output, f"{route} {masked}", said)
            if ages and (listed_.pure or output is Output.HTML)
            else b""
        )
        return finish(
            serving,
            asked,
            reading,
            body,
            media_type=MEDIA[output],
            route=route,
            headers=headers,
            etag=etag,
            ages=ages,
            moment=listed_.moment,
        )

    async def single(asked: Asked, sought: Sought, namespace: str, name: str, query: OneQuery, route: str) -> Response:
        entry, resource = sought.entry, sought.entry.resource
        output = chosen(asked, query.output)
        reading = await read(
            context,
            asked.caller,
            entry,
            verb="get",
            namespace=namespace or None,
            name=name,
            worded=sought.worded,
        )
        reading.require_served()
        page = output is Output.HTML
        beside = await around(context, asked, entry, namespace) if page else None
        held = reading.get(name, namespace)
        if held is None:
            raise not_found(resource.plural, resource.group, name)
        table = serving.printers.table(reading)
        rows = Rows(resource, table, table.shown(wide=output in (Output.WIDE, Output.HTML)))
        shown = view_of(reading, reading.cursor, rows.described(), [rows.row(held, context.wall())], 1)
        if beside is not None:
            body: bytes | Listing = object_page(
                serving, asked, reading, held, beside, _facts(shown), forms_of(asked)
            ).encode()
        elif output is Output.NAME or (output in OBJECTS and query.as_ is Carried.OBJECT):
            body = object_body(output, resource, held)
        else:
            body = await view_body(output, shown, none="")
        etag = b""
        ages = output in _AGED or query.as_ is Carried.ROW
        if ages and not page:  # a page's is of its bytes: it tells of much besides
            version = (held.uid, held.resource_version, table.printer.definitions_json, masked)
            etag = etag_of(str(output), str(query.as_), asked.base, *version, reading.state.encode())
        return finish(
            serving,
            asked,
            reading,
            body,
            media_type=MEDIA[output],
            route=route,
            headers=[],
            etag=etag,
            ages=ages,
            beside=tuple(beside.readings.values()) if beside is not None else (),
        )

    told: dict[str, Any] = {"response_class": Response, "responses": {200: {"model": View, "description": _TOLD}}}
    get(router, "/resources/{resource}", collection, query=ResourcesQuery, **told)
    get(router, "/resources/{resource}/{namespace}", inside, query=ResourcesQuery, **told)
    get(router, "/resources/{resource}/{namespace}/{name}", one, query=OneQuery, **told)
    return router


def _etag(asked: Asked, shown: Listed, output: Output, route: str, said: bytes) -> bytes:
    """Ages are no change of content: what decides the result is named, not its bytes."""
    parts = (asked.path, asked.query, str(output), asked.base, route, said)
    reading = shown.reading
    allowed = ",".join(sorted(reading.allowed)) if reading.allowed is not None else "*"
    return etag_of(*parts, allowed, shown.table.printer.definitions_json, f"{shown.moment.digest:x}")


def _said(reading: Reading, told: str, shortcuts: list[str], now: float) -> bytes:
    """What a page says as of now: a reader who asks for it again is not to see the ages of an hour ago."""
    state = reading.freshness(now)
    stale = "" if state.stale_seconds is None else human_duration(state.stale_seconds)
    return orjson.dumps([state.phase.value, state.reason, stale, told, shortcuts])


def _facts(shown: View) -> list[tuple[str, Any, str]]:
    """One object's row as (column, cell, tone)."""
    (row,) = shown.rows
    return list(zip([column.name for column in shown.columns], row.cells, row.tones, strict=True))
