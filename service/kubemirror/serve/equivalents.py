"""The same question, asked with kubectl: a line that runs, and what of the question kubectl has no words for."""

from __future__ import annotations

import re
import shlex

from kubemirror.serve.asked import Asked
from kubemirror.serve.namespaces import Namespaces
from kubemirror.serve.view_query import ViewQuery
from kubemirror.state.catalog import Resource
from kubemirror.views.split import split

_PATHS = {
    "name": ".metadata.name",
    "namespace": ".metadata.namespace",
    "age": ".metadata.creationTimestamp",
}
_is_path = re.compile(r"\.[\w.\[\]*'\\/-]+").fullmatch


def kubectl_get(
    asked: Asked, resource: Resource, query: ViewQuery, namespaces: Namespaces, *, group: str = "", limit: int = 0
) -> str:
    """kubectl's command for a list, asked of this mirror."""
    command = [f"kubectl --server {shlex.quote(f'{asked.origin}{asked.base}')} get {shlex.quote(resource.name)}"]
    lacks: list[str] = []
    field = [query.field_selector] if query.field_selector else []
    if resource.namespaced and len(namespaces.included) < 2:
        command.append(f"-n {shlex.quote(namespaces.one)}" if namespaces.one else "-A")
        field += [f"metadata.namespace!={each}" for each in sorted(namespaces.excluded)]
    if query.label_selector:
        command.append(f"-l {shlex.quote(query.label_selector)}")
    if field:
        command.append(f"--field-selector {shlex.quote(','.join(field))}")
    if sort := ",".join(query.sort):
        path = _path(sort)
        if path:
            command.append(f"--sort-by={shlex.quote(path)}")
        else:
            lacks.append(f"sort={sort}")
    columns = ",".join(query.columns)
    if columns and (chosen := _columns(columns)):
        command.append(chosen)
    elif columns:
        lacks.append(f"columns={columns}")
    elif query.wide:
        command.append("-o wide")
    if limit:
        lacks.append(f"limit={limit}")
    lacks += [f"filter={','.join(query.filter)}"] if query.filter else []
    lacks += [f"group={group}"] if group else []
    line = " ".join(command)
    search = f" | grep -i {shlex.quote(query.q)}" if query.q else ""
    if len(namespaces.included) > 1:
        named = " ".join(map(shlex.quote, namespaces.included))
        line = f'for n in {named}; do {line} -n "$n"; done'
    said = "".join(each if each.isprintable() else " " for each in ", ".join(lacks))
    return f"{line}{search}" + (f"  # kubectl has no {said}" if said else "")


def _path(sort: str) -> str:
    """The path of a column that kubectl can sort by; "" where it cannot."""
    return sort if _is_path(sort) else _PATHS.get(sort.casefold(), "")


def _columns(columns: str) -> str:
    """As kubectl's -L where labels are added to its own, or as custom columns; "" where it has neither."""
    parts = [part.strip() for part in split(columns) if part.strip()]
    if parts[0] == "*" and all(part.startswith("labels.") for part in parts[1:]):
        return " ".join(f"-L {shlex.quote(part.removeprefix('labels.'))}" for part in parts[1:])
    custom: list[str] = []
    for part in parts:
        title, equals, source = ("", "", part) if part.startswith(".") else part.partition("=")
        title, source = (title, source) if equals else ("", part)
        for prefix in ("labels.", "annotations."):
            if source.startswith(prefix):
                name = source.removeprefix(prefix)
                title = title or name
                source = f".metadata.{prefix}" + name.replace(".", "\\.")
        path = _path(source)
        if not path:
            return ""
        word = (title or path.rpartition(".")[2]).upper()
        custom.append(f"{re.sub(r'[^A-Z0-9_/.-]', '_', word)}:{path}")
    return f"-o custom-columns={shlex.quote(','.join(custom))}"
