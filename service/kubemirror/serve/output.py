"""The forms of /resources: which one is asked for, and what each is called."""

from __future__ import annotations

from enum import StrEnum

from kubemirror.serve.asked import Asked
from kubemirror.serve.negotiation import parse_accept


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


class Carried(StrEnum):
    """The parameter ``as``: what JSON, YAML and NDJSON carry. The other forms are made of rows in any case."""

    OBJECT = "object"
    ROW = "row"


MEDIA = {
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
_BY_MEDIA = {media.partition(";")[0]: output for output, media in reversed(MEDIA.items())} | {
    "text/plain": Output.TABLE,
    "text/yaml": Output.YAML,
    "application/jsonl": Output.NDJSON,
}
# Those that carry Kubernetes objects, unless rows are asked for.
OBJECTS = frozenset({Output.JSON, Output.YAML, Output.NDJSON})


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
