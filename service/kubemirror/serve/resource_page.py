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
from kubemirror.views.split import split
from kubemirror.views.table import NAMESPACE, lesser_columns

# What events say: a sentence, which takes the room that it needs.
MESSAGE = "Message"
# Columns of which style.css knows how to let them stand back.
MOST_HIDDEN = 9
# Without a meaning of its own in another state of the page.
_PLACE = ("continue",)
# What the form of the page does not show, but keeps.
_KEPT = ("fieldSelector", "sort", "wide", "limit")


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
            "sorted": _sorted_as(sort, _written(column.name)),
            "sort_url": url_of(asked, {**here, "sort": _toggled(sort, _written(column.name))}, drop=_PLACE),
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
    """Each with the address of its objects."""
    if shown.groups is None or shown.view is None:
        return None
    here = given(asked)
    sources = [part.strip() for part in split(",".join(shown.query.group)) if part.strip()]
    found: list[dict[str, object]] = []
    for group in shown.groups:
        conditions = [here["filter"]] if here.get("filter") else []
        conditions += [f"{source}={_quoted(value)}" for source, value in zip(sources, group.values, strict=True)]
        url = url_of(asked, {**here, "filter": ",".join(conditions)}, drop=("continue", "group", "sort"))
        found.append({"texts": group.values, "count": group.count, "url": url})
    return found


def _quoted(value: str) -> str:
    """As a filter's value."""
    return f'"{value}"' if any(each in value for each in ",\\'()[]{} ") and '"' not in value else value


def _written(name: str) -> str:
    """A column's name as parameters name it: in quotes where it has marks that mean something there."""
    return f'"{name}"' if name.startswith(("-", ".")) or any(each in name for each in ",:='()[]{}<>!~\\") else name


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
            "columns": ",".join(query.columns) or _named(shown),
            "wide": "true" if query.wide else "",
        }
    else:
        asked["as"] = "key"
    return {name: value for name, value in asked.items() if value}


def _named(shown: Listed) -> str:
    """A page's own columns, where those are not what a stream has by default."""
    if not shown.table.custom:
        return ""
    return ",".join(_written(column.name) for column in shown.columns.columns)


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
