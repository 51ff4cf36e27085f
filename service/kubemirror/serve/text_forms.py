"""Text forms of a view: kubectl's aligned table, CSV and TSV, Markdown, JSON; and its objects as lists, lines, YAML."""

from __future__ import annotations

import csv as csv_format
import io
from collections.abc import Sequence
from typing import Any

import orjson

from kubemirror.serve.forms import whole
from kubemirror.serve.listing import Listing, listing
from kubemirror.serve.row import Group, View
from kubemirror.serve.turns import in_turns
from kubemirror.serve.yaml_form import to_yaml
from kubemirror.state.catalog import Resource
from kubemirror.state.objects import Object

# What a spreadsheet takes for a formula when a cell begins with it (OWASP: CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - Excel reads these, too

# As text: see ``text_of``.
Cells = Sequence[Sequence[str]]


def text_of(value: Any) -> str:
    """A cell as kubectl prints it, on one line and without what a terminal would obey."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = value if isinstance(value, str) else str(value)
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def table(titles: Sequence[str], rows: Cells, *, none: str) -> bytes:
    """Columns aligned as kubectl aligns them: three spaces apart, names in capitals."""
    if not rows:
        return f"{none}\n".encode()
    lines: list[Sequence[str]] = [[text_of(title).upper() for title in titles]]
    lines += rows
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    printed = (
        "   ".join([value.ljust(width) for value, width in zip(line, widths, strict=True)]).rstrip() for line in lines
    )
    return ("\n".join(printed) + "\n").encode()


async def csv(titles: Sequence[str], rows: Cells, separator: str) -> bytes:
    """RFC 4180 (or tab-separated); a cell that a spreadsheet would run gets an apostrophe in front."""
    out = io.StringIO()
    writer = csv_format.writer(out, delimiter=separator, lineterminator="\r\n" if separator == "," else "\n")
    writer.writerow([_inert(text_of(title)) for title in titles])
    async for some in in_turns(rows):
        writer.writerows([[_inert(value) for value in cells] for cells in some])
    return out.getvalue().encode()


def _inert(text: str) -> str:
    if not text.startswith(_FORMULA):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def markdown(titles: Sequence[str], rows: Cells) -> bytes:
    """A table to paste into a ticket."""
    lines = ["| " + " | ".join(_marked(text_of(title)) for title in titles) + " |"]
    lines.append("|" + " --- |" * len(titles))
    lines += ["| " + " | ".join(map(_marked, cells)) + " |" for cells in rows]
    return ("\n".join(lines) + "\n").encode()


_MARKS = str.maketrans({mark: "\\" + mark for mark in "\\`*_[]|~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"})


def _marked(text: str) -> str:
    return text.translate(_MARKS)


def names(resource: Resource, held: Sequence[Object]) -> bytes:
    """As ``kubectl get -o name``."""
    kind = f"{resource.singular or resource.kind.lower()}{'.' + resource.group if resource.group else ''}"
    return "".join(f"{kind}/{each.name}\n" for each in held).encode()


def ndjson(held: Sequence[Object]) -> bytes | Listing:
    """One object per line."""
    return lines([whole(each) for each in held])


def lines(items: list[bytes]) -> bytes | Listing:
    """One item per line."""
    return listing(b"", items, b"\n" if items else b"", b"\n")


def listed(held: Sequence[Object], cursor: str, following: str, total: int) -> bytes | Listing:
    """A v1 List, as ``kubectl get -o json`` prints, with where to go on and the cursor to watch from."""
    metadata: dict[str, object] = {"resourceVersion": cursor}
    if following:
        metadata |= {"continue": following}
    head = b'{"apiVersion":"v1","kind":"List","metadata":%s,"items":[' % orjson.dumps(metadata)
    return listing(head, [each.raw for each in held], b'],"total":%d}\n' % total)


def viewed(view: View, rows: list[bytes]) -> bytes | Listing:
    """The view model as JSON. rows: its rows, as JSON."""
    told = view.model_copy(update={"rows": []}).model_dump_json(by_alias=True, exclude_none=True).encode()
    head, _, tail = told.partition(b'"rows":[]')
    return listing(head + b'"rows":[', rows, b"]" + tail + b"\n")


def group_bytes(group: Group) -> bytes:
    """As one line of JSON."""
    return orjson.dumps(group.model_dump())


def yaml(body: bytes | Listing) -> bytes:
    """The same as YAML, keys in the order they have."""
    body = body.whole() if isinstance(body, Listing) else body
    return to_yaml(orjson.loads(body))
