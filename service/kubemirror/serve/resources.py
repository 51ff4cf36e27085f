"""/resources/{resource}[/{namespace}[/{name}]]: one view, as a page or in the form that a script wants.

curl gets the table that kubectl would print; browsers a page that stays live; Accept or ``output`` choose
anything else. A cluster-scoped object is /resources/{resource}/{name}.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import quote, unquote_plus, urlencode

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from kubemirror.serve.answers import etag_of
from kubemirror.serve.asked import Asked
from kubemirror.serve.finishing import finish
from kubemirror.serve.listing import Listing
from kubemirror.serve.negotiation import parse_accept
from kubemirror.serve.object_page import object_page
from kubemirror.serve.reading import Reading, find, read
from kubemirror.serve.related import around
from kubemirror.serve.resource_view import NAMESPACE, Asking, View, view
from kubemirror.serve.routes import OneNamespace, get
from kubemirror.serve.sending import Headers
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.serve.status import bad_request, not_found
from kubemirror.serve.text_forms import csv, listed, markdown, names, ndjson, table, yaml
from kubemirror.serve.tones import tones
from kubemirror.state.objects import Object
from kubemirror.state.selectors import Selection, parse_field_selector, parse_label_selector
from kubemirror.views.columns import Printer
from kubemirror.views.duration import human_duration

# As many rows as paint at once; a page links the next ones.
PAGE_ROWS = 500


class Output(StrEnum):
    """The parameter ``output``."""

    HTML = "html"
    JSON = "json"
    YAML = "yaml"
    NDJSON = "ndjson"
    CSV = "csv"
    TSV = "tsv"
    TABLE = "table"
    WIDE = "wide"
    NAME = "name"
    MARKDOWN = "markdown"


_MEDIA = {
    Output.HTML: "text/html; charset=utf-8",
    Output.JSON: "application/json",
    Output.YAML: "application/yaml",
    Output.NDJSON: "application/x-ndjson",
    Output.CSV: "text/csv; charset=utf-8",
    Output.TSV: "text/tab-separated-values; charset=utf-8",
    Output.TABLE: "text/plain; charset=utf-8",
    Output.WIDE: "text/plain; charset=utf-8",
    Output.NAME: "text/plain; charset=utf-8",
    Output.MARKDOWN: "text/markdown; charset=utf-8",
}
_BY_MEDIA = {media.partition(";")[0]: output for output, media in reversed(_MEDIA.items())} | {
    "text/plain": Output.TABLE,
    "text/yaml": Output.YAML,
    "application/jsonl": Output.NDJSON,
}
# Cells tell ages; the others carry objects.
_AGED = frozenset({Output.HTML, Output.CSV, Output.TSV, Output.TABLE, Output.WIDE, Output.MARKDOWN})


class OneQuery(BaseModel):
    """Parameters of one object's path."""

    model_config = ConfigDict(populate_by_name=True)

    output: Annotated[Output | None, Field(description="Form; default by Accept: page, JSON, curl's table.")] = None


class ResourcesQuery(OneQuery):
    """Parameters of a resource's path."""

    namespace: Annotated[OneNamespace, Field(description="Only this namespace.")] = None
    label_selector: Annotated[str, Field(alias="labelSelector", description="As kubectl's -l.")] = ""
    field_selector: Annotated[str, Field(alias="fieldSelector", description="As kubectl's --field-selector.")] = ""
    q: Annotated[str, Field(description="Only rows that contain this text, in any cell.")] = ""
    wide: Annotated[bool, Field(description="All columns, as kubectl's -o wide.")] = False
    sort: Annotated[str, Field(description="Columns by name, comma-separated, - in front for descending.")] = ""
    limit: Annotated[int | None, Field(ge=1, description="Rows per page; pages of HTML have 500.")] = None
    continue_: Annotated[str, Field(alias="continue", description="Token of the next page.")] = ""


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What a page's form shows again."""

    namespace: str | None
    label_selector: str
    q: str
    filtered: bool


def chosen(asked: Asked, output: Output | None) -> Output:
    """The form: the parameter, else Accept, else JSON; a terminal that says nothing gets the table."""
    if output is not None:
        return output
    if asked.terminal:
        return Output.TABLE
    for clause in parse_accept(asked.accept):
        media = f"{clause.type}/{clause.subtype}".lower()
        if media in _BY_MEDIA:
            return _BY_MEDIA[media]
        if media == "*/*":
            break
    return Output.JSON


def routes(serving: Serving) -> APIRouter:
    """/resources/{resource}[/{namespace}[/{name}]]."""
    context = serving.context
    printers = serving.printers
    router = APIRouter(tags=["resources"])

    async def collection(asked: AskedHere, resource: str, query: Annotated[ResourcesQuery, Query()]) -> Response:
        """The objects of a resource, by any name kubectl takes, in the form that is asked for."""
        return await many(asked, resource, query.namespace, query, "/resources/{resource}")

    async def inside(
        asked: AskedHere, resource: str, namespace: str, query: Annotated[ResourcesQuery, Query()]
    ) -> Response:
        """The objects of one namespace; of a cluster-scoped resource, the object of that name."""
        if not find(context, resource).resource.namespaced:
            return await single(asked, resource, "", namespace, query, "/resources/{resource}/{namespace}")
        if query.namespace not in (None, namespace):
            raise bad_request(f'the path names namespace "{namespace}", the query "{query.namespace}"')
        return await many(asked, resource, namespace, query, "/resources/{resource}/{namespace}")

    async def one(
        asked: AskedHere, resource: str, namespace: str, name: str, query: Annotated[OneQuery, Query()]
    ) -> Response:
        """One object."""
        return await single(asked, resource, namespace, name, query, "/resources/{resource}/{namespace}/{name}")

    async def many(
        asked: Asked, resource_name: str, namespace: str | None, query: ResourcesQuery, route: str
    ) -> Response:
        entry = find(context, resource_name)
        resource = entry.resource
        output = chosen(asked, query.output)
        reading = await read(
            context,
            asked.caller,
            entry,
            verb="list",
            namespace=namespace,
            label_selector=query.label_selector,
            field_selector=query.field_selector,
        )
        reading.require_served()
        label = parse_label_selector(query.label_selector)
        field = parse_field_selector(query.field_selector, resource, resource.version)
        limit = query.limit if query.limit is not None else PAGE_ROWS if output is Output.HTML else None
        asking = Asking(
            Selection(label, field),
            query.q,
            query.sort,
            limit,
            query.continue_,
            wide=query.wide or output is Output.WIDE,
        )
        printer = printers.of(reading)
        shown = view(reading, printer, asking, context.wall())
        if output is Output.HTML:
            body: bytes | Listing = _page(serving, asked, reading, printer, query, shown).encode()
        else:
            body = _body(output, reading, shown, several=True)
        headers: Headers = []
        if shown.next:
            following = _url(asked, {**_given(asked), "continue": shown.next})
            headers.append((b"link", b'<%s>; rel="next"' % following.encode()))
        headers.append((b"kubemirror-total", b"%d" % shown.total))
        etag = b""
        if output in _AGED:
            said = _said(reading, shown, context.clock()) if output is Output.HTML else b""
            etag = _etag(asked, reading, printer, output, route, said)
        return finish(
            serving,
            asked,
            reading,
            body,
            media_type=_MEDIA[output],
            route=route,
            headers=headers,
            etag=etag,
            ages=output in _AGED,
        )

    async def single(
        asked: Asked, resource_name: str, namespace: str, name: str, query: OneQuery, route: str
    ) -> Response:
        entry = find(context, resource_name)
        resource = entry.resource
        output = chosen(asked, query.output)
        if namespace and not resource.namespaced:
            raise not_found(resource.plural, resource.group, f"{namespace}/{name}")
        reading = await read(
            context, asked.caller, entry, verb="get", namespace=namespace if resource.namespaced else None, name=name
        )
        reading.require_served()
        page = output is Output.HTML
        beside = await around(context, asked, entry, namespace) if page else None
        held = reading.get(name, namespace)
        if held is None:
            raise not_found(resource.plural, resource.group, name)
        printer = printers.of(reading)
        asking = Asking(Selection(), wide=output in (Output.WIDE, Output.HTML))
        shown = view(reading, printer, asking, context.wall(), only=held)
        if beside is not None:
            facts = _facts(shown)
            body: bytes | Listing = object_page(serving, asked, reading, held, beside, facts, _forms(asked)).encode()
        else:
            body = _body(output, reading, shown, several=False)
        headers: Headers = []
        etag = b""
        if output in _AGED and not page:  # a page's is of its bytes: it tells of much besides
            etag = etag_of(str(output), asked.base, held.uid, held.resource_version, printer.definitions_json)
        return finish(
            serving,
            asked,
            reading,
            body,
            media_type=_MEDIA[output],
            route=route,
            headers=headers,
            etag=etag,
            ages=output in _AGED,
            beside=tuple(beside.readings.values()) if beside is not None else (),
        )

    get(router, "/resources/{resource}", collection, query=ResourcesQuery, response_class=Response)
    get(router, "/resources/{resource}/{namespace}", inside, query=ResourcesQuery, response_class=Response)
    get(router, "/resources/{resource}/{namespace}/{name}", one, query=OneQuery, response_class=Response)
    return router


def _etag(asked: Asked, reading: Reading, printer: Printer, output: Output, route: str, said: bytes) -> bytes:
    """Ages are no change of content: what decides the result is named, not its bytes."""
    parts = (asked.path, asked.query, str(output), asked.base, route, said)
    allowed = ",".join(sorted(reading.allowed)) if reading.allowed is not None else "*"
    return etag_of(*parts, allowed, printer.definitions_json, f"{reading.digest:x}")


def _said(reading: Reading, shown: View, now: float) -> bytes:
    """What a page says as of now: a reader who asks for it again is not to see the ages of an hour ago."""
    state = reading.freshness(now)
    stale = "" if state.stale_seconds is None else human_duration(state.stale_seconds)
    return orjson.dumps([state.phase.value, state.reason, stale, [row.cells for row in shown.rows]], default=str)


def _body(output: Output, reading: Reading, shown: View, *, several: bool) -> bytes | Listing:
    resource = reading.entry.resource
    held = [row.held for row in shown.rows]
    match output:
        case Output.JSON:
            return listed(held, reading.cursor, shown.next, shown.total) if several else held[0].raw + b"\n"
        case Output.YAML:
            return yaml(listed(held, reading.cursor, shown.next, shown.total) if several else held[0].raw)
        case Output.NDJSON:
            return ndjson(held)
        case Output.CSV:
            return csv(shown, ",")
        case Output.TSV:
            return csv(shown, "\t")
        case Output.NAME:
            return names(resource, held)
        case Output.MARKDOWN:
            return markdown(shown)
        case _:
            return table(shown, none=_none_found(reading))


def _none_found(reading: Reading) -> str:
    """As kubectl says it."""
    return f"No resources found in {reading.namespace} namespace." if reading.namespace else "No resources found"


def _page(
    serving: Serving, asked: Asked, reading: Reading, printer: Printer, query: ResourcesQuery, shown: View
) -> str:
    context, resource = serving.context, reading.entry.resource
    given = _given(asked)
    watched = {
        "resource": resource.name,
        "as": "key",
        **({"namespace": reading.namespace} if reading.namespace else {}),
        **{name: given[name] for name in ("labelSelector", "fieldSelector") if given.get(name)},
    }
    columns = [
        {
            "name": column.name,
            "description": column.description,
            "sorted": _sorted_as(query.sort, column.name),
            "sort_url": _url(asked, {**given, "sort": _toggled(query.sort, column.name)}, drop=("continue",)),
        }
        for column in shown.columns
    ]
    namespace_index = 0 if shown.columns and shown.columns[0].name == NAMESPACE else -1
    wide = {**given, "wide": "" if query.wide else "true"}
    rows = [
        {
            "uid": row.held.uid,
            "cells": row.cells,
            "error": row.held.error,
            "url": _object_url(asked, reading, row.held),
            "tones": tones(shown.columns, row.cells),
            "namespace_url": _url(asked, {**given, "namespace": row.held.namespace}, drop=("continue",)),
        }
        for row in shown.rows
    ]
    asked_for = AskedFor(
        reading.namespace,
        query.label_selector,
        query.q,
        filtered=bool(query.label_selector or query.field_selector or query.q or reading.namespace),
    )
    return serving.pages.render(
        "resources.html",
        asked,
        title=resource.kind,
        resource=resource,
        state=reading.freshness(context.clock()),
        missing=reading.missing,
        namespaces=_namespaces(reading),
        asked_for=asked_for,
        columns=columns,
        rows=rows,
        namespace_index=namespace_index,
        wide=query.wide,
        wide_url=_url(asked, wide, drop=("continue",)) if _has_more(printer) else "",
        all_url=f"{asked.base}/resources/{quote(reading.name, safe='')}",
        kept=[(name, given[name]) for name in ("fieldSelector", "sort", "wide", "limit") if given.get(name)],
        name_index=shown.name_index,
        total=shown.total,
        limit=query.limit or PAGE_ROWS,
        next_url=_url(asked, {**given, "continue": shown.next}) if shown.next else "",
        live=f"{asked.base}/watch?{urlencode(watched)}",
        cursor=reading.cursor,
        forms=_forms(asked),
        curl=f"curl '{asked.origin}{_url(asked, {**given, 'output': 'table'})}'",
        kubectl=_kubectl(asked, reading, query),
    )


def _facts(shown: View) -> list[tuple[str, Any, str]]:
    """One object's row as (column, cell, tone)."""
    cells = shown.rows[0].cells
    titles = [column.name for column in shown.columns]
    return list(zip(titles, cells, tones(shown.columns, cells), strict=True))


def _has_more(printer: Printer) -> bool:
    return any(column.priority > 0 for column in printer.definitions)


def _given(asked: Asked) -> dict[str, str]:
    """The query's parameters, the empty ones left out, ``output`` too."""
    pairs = (part.partition("=") for part in asked.query.split("&"))
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs if value and name != "output"}


def _url(asked: Asked, parameters: dict[str, str], *, drop: tuple[str, ...] = ()) -> str:
    kept = {name: value for name, value in parameters.items() if value and name not in drop}
    path = quote(f"{asked.base}{asked.path}")
    return f"{path}?{urlencode(kept)}" if kept else path


def _forms(asked: Asked) -> list[tuple[str, str]]:
    return [(str(each), _url(asked, {**_given(asked), "output": str(each)})) for each in Output if each != Output.HTML]


def _object_url(asked: Asked, reading: Reading, held: Object) -> str:
    parts = [reading.name, held.namespace, held.name]
    return f"{asked.base}/resources/" + "/".join(quote(part, safe="") for part in parts if part)


def _namespaces(reading: Reading) -> list[str]:
    found = {namespace for _, reader in reading.stores for namespace in reader.namespaces if namespace}
    return sorted(found if reading.allowed is None else found & reading.allowed)


def _sorted_as(sort: str, column: str) -> str:
    first = sort.split(",")[0]
    if first.removeprefix("-").casefold() != column.casefold():
        return ""
    return "descending" if first.startswith("-") else "ascending"


def _toggled(sort: str, column: str) -> str:
    return f"-{column}" if _sorted_as(sort, column) == "ascending" else column


def _kubectl(asked: Asked, reading: Reading, query: ResourcesQuery) -> str:
    resource = reading.entry.resource
    where = "" if not resource.namespaced else f" -n {reading.namespace}" if reading.namespace else " -A"
    label = f" -l '{query.label_selector}'" if query.label_selector else ""
    field = f" --field-selector '{query.field_selector}'" if query.field_selector else ""
    wide = " -o wide" if query.wide else ""
    return f"kubectl --server {asked.origin}{asked.base} get {resource.name}{where}{label}{field}{wide}"
