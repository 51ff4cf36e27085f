"""/: what is mirrored, how fresh it is, and where to go from here."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter
from fastapi.responses import Response

from kubemirror.access.authorizer import Allow, AllowNamespaces, ResourceAttributes
from kubemirror.serve.asked import Asked
from kubemirror.serve.health import readiness
from kubemirror.serve.reading import Freshness, freshness, require_path
from kubemirror.serve.routes import get
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.state.catalog import Entry


@dataclass(frozen=True, slots=True)
class Row:
    """One mirrored resource as the overview shows it. objects: None where the caller may see a part only."""

    entry: Entry
    objects: int | None
    bytes: int
    state: Freshness
    resource_version: str


async def rows(serving: Serving, asked: Asked) -> list[Row]:
    """The resources that the caller may list."""
    context = serving.context
    shown: list[Row] = []
    for entry in list(context.catalog):
        resource = entry.resource
        attributes = ResourceAttributes("list", resource.group, resource.version, resource.plural)
        decision = await context.authorizer.authorize(asked.caller, attributes, partial=True)
        if not isinstance(decision, Allow | AllowNamespaces) or not entry.stores:
            continue
        stores = list(entry.stores.values())
        shown.append(
            Row(
                entry,
                sum(map(len, stores)) if isinstance(decision, Allow) else None,
                sum(store.size for store in stores),
                freshness(stores, context.clock()),
                str(max(store.resource_version for store in stores)),
            )
        )
    return shown


def routes(serving: Serving) -> APIRouter:
    """/."""
    router = APIRouter()

    async def overview(asked: AskedHere) -> Response:
        await require_path(serving.context, asked.caller, "/")
        shown = await rows(serving, asked)
        waiting = [check for check in readiness(serving.context) if not check.ok]
        if asked.terminal:
            return Response(_text(asked, shown), media_type="text/plain; charset=utf-8")
        page = serving.pages.render(
            "overview.html", asked, rows=shown, waiting=waiting, now=serving.context.wall(), title="Overview"
        )
        return Response(page, media_type="text/html; charset=utf-8", headers={"cache-control": "no-store"})

    get(router, "/", overview, in_contract=False)
    return router


def _text(asked: Asked, shown: list[Row]) -> str:
    """What curl gets: the same as a table, and where to go."""
    width = max([len(row.entry.resource.name) for row in shown] + [8]) + 3
    lines = [f"{'RESOURCE':<{width}}{'OBJECTS':>9}   {'STATE':<10}HEARD"]
    for row in shown:
        heard = "never" if row.state.heard_seconds is None else f"{row.state.heard_seconds:.0f}s ago"
        count = "-" if row.objects is None else row.objects
        lines.append(f"{row.entry.resource.name:<{width}}{count:>9}   {row.state.phase:<10}{heard}")
    at = f"{asked.origin}{asked.base}"
    lines += ["", f"{at}/versions", f"{at}/resources/deployments", f"{at}/watch?resource=deployments", f"{at}/-/docs"]
    return "\n".join(lines) + "\n"
