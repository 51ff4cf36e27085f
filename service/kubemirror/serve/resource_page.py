"""The page of a resource: its rows, and links to every other state and form of them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from markupsafe import Markup

from kubemirror.serve.addresses import forms_of, given, url_of
from kubemirror.serve.asked import Asked
from kubemirror.serve.drawn_rows import Place
from kubemirror.serve.equivalents import kubectl_get
from kubemirror.serve.links import curl_line, list_path
from kubemirror.serve.listed import PAGE_ROWS, Listed
from kubemirror.serve.namespaces import Namespaces
from kubemirror.serve.output import OBJECTS, Output
from kubemirror.serve.reading import Reading
from kubemirror.serve.serving import Serving
from kubemirror.views.grouping import conditions_of
from kubemirror.views.order import cut_sort
from kubemirror.views.quoted import unquoted, written
from kubemirror.views.split import split
from kubemirror.views.table import ALL, NAMESPACE, lesser_columns

# What events say: a sentence, which takes the room that it needs.
MESSAGE = "Message"
# Columns of which style.css knows how to let them stand back.
MOST_HIDDEN = 9
# Without a meaning of its own in another state of the page.
_PLACE = ("continue",)
# What the form of the page does not show, but keeps.
_KEPT = ("fieldSelector", "sort", "wide", "limit")
# A link to what has a longer value in a column would be more than what a request may be long (32 KiB), and is not made.
_LINK_CHARACTERS = 8_000


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What a page's form shows again."""

    namespace: str
    label_selector: str
    q: str
    filter: str
    columns: str
    group: str
    filtered: bool


async def drawn_rows(serving: Serving, asked: Asked, shown: Listed) -> Markup:
    """Its rows; "" where there are none, or groups."""
    here = {name: value for name, value in given(asked).items() if name not in _PLACE}

    def namespace_url(name: str) -> str:
        return url_of(asked, {**here, "namespace": name})

    known = (asked.base, asked.path, tuple(here.items()), asked.embedded is None)
    place = Place(known, f"{asked.base}{list_path(shown.reading.name)}", namespace_url)
    return await serving.drawn_rows.html(shown.held, shown.columns, place, serving.context.wall())


def list_page(serving: Serving, asked: Asked, shown: Listed, rows: Markup) -> str:
    """The page. rows: as ``drawn_rows`` draws them."""
    reading, query, view = shown.reading, shown.query, shown.view
    resource, here = reading.entry.resource, given(asked)
    sort = ",".join(query.sort)
    columns = [
        {
            "name": column.name,
            "type": column.type,
            "description": column.description,
            "sorted": _sorted_as(sort, column.name),
            "sort_url": url_of(asked, {**here, "sort": _toggled(sort, column.name)}, drop=_PLACE),
        }
        for column in (shown.columns.described() if view is None else view.columns)
    ]
    sources = [column.source for column in shown.columns.columns] if view is None else []
    namespace = ",".join(query.namespace) or reading.namespace or ""
    filtered = (namespace, query.label_selector, query.field_selector, query.q, *query.filter)
    group = ",".join(query.group)
    limit = query.limit or PAGE_ROWS
    return serving.pages.render(
        "resources.html",
        asked,
        title=resource.kind,
        resource=resource,
        state=reading.freshness(serving.context.clock()),
        missing=reading.missing,
        confined=reading.confined,
        namespaces=_namespaces(reading),
        asked_for=AskedFor(
            namespace,
            query.label_selector,
            query.q,
            ",".join(query.filter),
            ",".join(query.columns),
            group,
            filtered=any(filtered),
        ),
        known=[column.name for column in shown.table.known],
        columns=columns,
        rows=rows,
        shown=len(shown.held),
        groups=_groups(asked, shown),
        namespace_index=sources.index(NAMESPACE) if NAMESPACE in sources else -1,
        name_index=shown.columns.name_index,
        look=_look(shown),
        wide=query.wide,
        wide_url=url_of(asked, {**here, "wide": "" if query.wide else "true"}, drop=_PLACE)
        if shown.table.has_more and not query.columns and view is None
        else "",
        all_url=f"{asked.base}{list_path(reading.name)}",
        kept=[(name, here[name]) for name in _KEPT if here.get(name)],
        total=shown.total,
        limit=limit,
        next_url=url_of(asked, {**here, "continue": shown.next}) if shown.next else "",
        live=f"{asked.base}/watch?{urlencode(_watched(shown))}",
        cursor=shown.moment.cursor,
        forms=forms_of(asked, without=() if view is None else (Output.NAME, Output.WIDE, *OBJECTS)),
        curl=curl_line(asked, url_of(asked, {**here, "output": "table"}).removeprefix(asked.base)),
        kubectl=kubectl_get(
            asked,
            resource,
            query if here.get("sort") else query.model_copy(update={"sort": []}),
            Namespaces((reading.namespace,)) if reading.namespace else shown.namespaces,
            group=group,
            limit=query.limit or 0,
        ),
    )


def _look(shown: Listed) -> str:
    """Classes of the table: what is long is wrapped, and which columns stand back in a narrow window."""
    if shown.view is not None:
        return ""
    columns = shown.columns.columns
    if columns[-1].name == MESSAGE:
        return "prose"
    plain = shown.table.has_more and not shown.query.columns and not shown.query.wide
    lesser = lesser_columns(shown.reading.entry.resource) if plain else ()
    back = [at for at, each in enumerate(columns, start=1) if each.source == NAMESPACE or each.name in lesser]
    return " ".join(f"hide-{at}" for at in back if at <= MOST_HIDDEN)


def _groups(asked: Asked, shown: Listed) -> list[dict[str, object]] | None:
    """Each with the address of its objects, "" where that would be too long."""
    if shown.groups is None or shown.view is None:
        return None
    here, by = given(asked), ",".join(shown.query.group)
    found: list[dict[str, object]] = []
    for group in shown.groups:
        conditions = conditions_of(by, tuple(group.values))
        if here.get("filter"):
            conditions.append(here["filter"])  # last: what is never closed in it goes on to the end
        url = url_of(asked, {**here, "filter": ",".join(conditions)}, drop=("continue", "group", "sort"))
        found.append({"texts": group.values, "count": group.count, "url": url if len(url) <= _LINK_CHARACTERS else ""})
    return found


def _watched(shown: Listed) -> dict[str, str]:
    """What keeps the page true: a stream of its rows or, where they depend on more, one of what changed."""
    query, reading = shown.query, shown.reading
    asked = {
        "resource": reading.name,
        "namespace": reading.namespace or ",".join(query.namespace),
        "labelSelector": query.label_selector,
        "fieldSelector": query.field_selector,
    }
    if shown.watchable:
        asked |= {
            "as": "row",
            "q": query.q,
            "filter": ",".join(query.filter),
            "sort": ",".join(query.sort),
            "columns": _named(shown),
            "wide": "true" if query.wide and not shown.table.custom else "",
        }
    else:
        asked["as"] = "key"
    return {name: value for name, value in asked.items() if value}


def _named(shown: Listed) -> str:
    """The columns that are asked for; where a page has its own by default, a stream has others, and they are named."""
    query, table = shown.query, shown.table
    asked = ",".join(query.columns)
    if not table.custom:
        return asked
    own = ",".join(written(column.name) for column in table.default(wide=query.wide))
    parts = [part.strip() for part in split(asked) if part.strip()]
    return ",".join(own if part == ALL else part for part in parts) or own


def _namespaces(reading: Reading) -> list[str]:
    found = {namespace for _, reader in reading.stores for namespace in reader.namespaces if namespace}
    return sorted(found if reading.allowed is None else found & reading.allowed)


def _sorted_as(sort: str, column: str) -> str:
    name, descending = next(iter(cut_sort(sort)), ("", False))
    if unquoted(name).casefold() != column.casefold():
        return ""
    return "descending" if descending else "ascending"


def _toggled(sort: str, column: str) -> str:
    return f"{'-' if _sorted_as(sort, column) == 'ascending' else ''}{written(column)}"
