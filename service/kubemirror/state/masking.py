"""Redaction of the access modes that more than one person uses: secrets' values are replaced before they are held.

What is masked never enters a store, so no response, stream, page, history or difference can hold it, and no later
mistake can bring it out. The object's shape stays: a masked value is a string where a string was (base64 where
bytes were), so every client reads on. Names, labels and all that selects or identifies an object are never touched.

An object is decoded and walked once, and written anew only where something was masked: the walk decides sooner than
scanning the bytes for the dozens of words and forms that may tell a secret, of which any Pod holds some.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from json import dumps
from typing import Any

import msgspec

from kubemirror.settings import Redact, Settings
from kubemirror.state.commands import in_list
from kubemirror.state.fields import (
    ANNOTATIONS,
    ARGUMENTS,
    BYTES,
    CUSTOM,
    ENVIRONMENT,
    INSIDE,
    MOST_NAMES,
    PLAIN,
    PROBE,
    SECRET,
    SKIP,
    STRINGS,
    TOLD,
    fields_of,
)
from kubemirror.state.redact import LAST_APPLIED, Cut
from kubemirror.state.secrets import (
    HIDDEN,
    HIDDEN_BYTES,
    aside,
    beside,
    field_named,
    keyed,
    named,
    nothing,
    referring,
)
from kubemirror.state.texts import hidden

# A file of this size in a ConfigMap is a program's whole configuration: nobody can tell what is in it.
LARGE_CHARACTERS = 4096
# What a cell must hold of a masked value to be masked too; shorter ones must be the whole cell.
_TELLING = 6
_LEAST_CELL = 4

# Short strings without a secret in them, kept because they repeat: a condition's message, a policy, a mount's path.
_SHORT = 160
_clean: set[str] = set()

_encode = msgspec.json.Encoder(decimal_format="number").encode
# Numbers keep their digits: 1.50 is written 1.50.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_cells = msgspec.json.Decoder(list[Any], float_hook=Decimal).decode


# Kubernetes' own annotations are read by the mirror and by clients (a Deployment's revision).
_KUBERNETES = ("kubernetes.io", "k8s.io")


@dataclass(frozen=True, slots=True)
class Masking(Cut):
    """Cuts as Cut does, and masks. names: further names of secrets, as globs without case (``*_dsn``)."""

    redact: Redact = Redact.PATTERN
    names: tuple[str, ...] = ()

    def mask(self, fields: dict[str, msgspec.Raw], cells: bytes) -> tuple[bytes, bytes]:
        body = _encode(fields)
        document = _decode(body)
        walk = _Walk(everything=self.redact is Redact.ALL, names=self.names)
        walk.object(document)
        if not walk.changed:
            return body, cells
        return _encode(document), walk.cells(cells, document) if cells else cells


def redaction_of(settings: Settings) -> Cut:
    """What the settings say is cut and masked."""
    if settings.redaction is Redact.NONE:
        return Cut(settings.keep_managed_fields, settings.keep_last_applied)
    # The last-applied annotation is the object once more, as a text: no setting keeps that beside masked values.
    return Masking(settings.keep_managed_fields, redact=settings.redaction, names=settings.redact_name)


class _Walk:
    """One object's. found: what was masked, as it was."""

    __slots__ = ("_everything", "_fields", "_names", "changed", "found")

    def __init__(self, *, everything: bool, names: tuple[str, ...]) -> None:
        self._everything = everything
        self._names = names
        self._fields = CUSTOM
        self.found: list[str] = []
        self.changed = False

    def object(self, document: dict[str, Any]) -> None:
        kind, group = document["kind"], str(document["apiVersion"])
        self._fields = fields_of(group)
        annotations = document["metadata"].get("annotations")
        if annotations:
            self._annotations(annotations)
        if kind == "CustomResourceDefinition" and group.startswith("apiextensions.k8s.io/"):
            self._conversion(document)  # else a schema: it describes fields and holds none
            return
        for field, value in document.items():
            if field == "metadata":
                continue
            if kind == "ConfigMap" and group == "v1" and value.__class__ is dict:
                if field == "data":
                    self._files(value)
                elif field == "binaryData":
                    self._all(value, HIDDEN_BYTES)
            elif value.__class__ is dict or value.__class__ is list:
                self._walk(value, self._fields[field])
            elif value.__class__ is str and self._fields[field] != SKIP:
                self._string(document, field, value)

    def cells(self, cells: bytes, document: dict[str, Any]) -> bytes:
        """The printed cells, without those that show what was masked."""
        metadata = document["metadata"]
        own = metadata.get("name"), metadata.get("namespace")
        printed = _cells(cells)
        for index, cell in enumerate(printed):
            if cell.__class__ is str and cell not in own:
                printed[index] = HIDDEN if any(_shows(cell, each) for each in self.found) else hidden(cell, [])
        return _encode(printed)

    def _walk(self, node: Any, kind: int = PLAIN) -> None:
        """What is below ``node``, a dict or a list that stands in a field of ``kind``."""
        fields, clean, named_too = self._fields, _clean, bool(self._names)
        below = [node] if node.__class__ is dict else [*self._below(node, kind)]
        while below:
            node = below.pop()
            for field, value in node.items():
                of = value.__class__
                if of is str:
                    kind = fields[field]
                    if kind == PLAIN:
                        if value not in clean:
                            self._text(node, field, value)
                    elif kind == SECRET:
                        if not _refers(node, field):
                            self._hide(node, field, value)
                    elif kind == BYTES:
                        self._hide(node, field, value, HIDDEN_BYTES)
                    elif kind != SKIP:
                        self._text(node, field, value)
                elif of is dict:
                    kind = fields[field]
                    if kind == SECRET and fields is CUSTOM:
                        below += self._secrets([value], field)
                    elif kind in INSIDE:
                        below.append(value)
                    elif kind == ANNOTATIONS:
                        self._annotations(value)
                    elif kind == STRINGS:
                        self._all(value, HIDDEN)
                    elif kind == PROBE and ("exec" in value or "httpHeaders" in (value.get("httpGet") or ())):
                        below.append(value)
                elif of is list:
                    kind = fields[field]
                    if kind == SECRET and fields is CUSTOM:
                        below += self._secrets(value, field)
                    elif kind != SKIP:
                        below += self._below(value, kind)
            if "value" in node:
                # Custom resources have variables of their own kinds; a taint has a key and a value too.
                name, value = node.get("name", node.get("key") if fields is CUSTOM else None), node["value"]
                if name.__class__ is str and value.__class__ is str and self._named(name) and "effect" not in node:
                    self._hide(node, "value", value, name=name)
            if named_too:
                self._mask_listed(node)

    def _secrets(self, items: list[Any], name: str) -> list[dict[str, Any]]:
        """Hide what stands in a custom resource below a field of a secret's ``name``; the objects that are no part.

        Numbers and switches stay, and what only tells about the secret: its name, a reference.
        """
        others: list[dict[str, Any]] = []
        lists, objects = [items], list[dict[str, Any]]()
        while lists or objects:
            if lists:
                listed = lists.pop()
                for index, item in enumerate(listed):
                    if item.__class__ is str:
                        self._hide(listed, index, item, name=name)
                    elif item.__class__ is list:
                        lists.append(item)
                    elif item.__class__ is dict:
                        objects.append(item)
                continue
            node = objects.pop()
            for field, value in node.items():
                kind, of = self._fields[field], value.__class__
                if of is str:
                    if not (beside(field) or (field == "key" and keyed(node)) or _refers(node, field)):
                        self._hide(node, field, value, name=name)
                    elif kind != SKIP:
                        self._text(node, field, value)
                elif of is list or of is dict:
                    if kind not in TOLD or beside(field) or aside(field):
                        others.append({field: value})
                    elif of is list:
                        lists.append(value)
                    else:
                        objects.append(value)
        return others

    def _below(self, items: list[Any], kind: int) -> list[dict[str, Any]]:
        """The objects in a list; its strings are masked here."""
        if kind == ARGUMENTS:
            self._arguments(items)
            return []
        if items and items[0].__class__ is dict:
            if kind == ENVIRONMENT and self._everything:
                for item in items:
                    if item.__class__ is dict and item.get("value").__class__ is str:
                        self._hide(item, "value", item["value"])
            if all(item.__class__ is dict for item in items):
                return items
        below: list[dict[str, Any]] = []
        for index, item in enumerate(items):
            of = item.__class__
            if of is dict:
                below.append(item)
            elif of is str:
                if kind == SECRET:
                    self._hide(items, index, item)
                elif item not in _clean:
                    self._text(items, index, item)
            elif of is list:
                below += self._below(item, kind)
        return below

    def _arguments(self, items: list[Any]) -> None:
        hides_next, heads_next = False, False
        lettered = in_list(items)
        for index, item in enumerate(items):
            if item.__class__ is not str:
                continue
            name, equals, value = item.partition("=")
            flag = name.startswith("-")
            secret = self._everything or self._named(name.lstrip("-"))
            header = flag and not secret and name.lower().endswith(("header", "headers", "-h"))
            if hides_next and not flag:
                self._hide(items, index, item)
            elif flag and equals and value and secret:
                if self._everything or not nothing(value, name):
                    self.found.append(value)
                    self._put(items, index, f"{name}={HIDDEN}")
            elif index in lettered:
                self._rest(items, index, lettered[index])
            elif heads_next or (header and equals):
                self._header(items, index, item, value if header and equals else item)
            elif not flag and self._everything and index:
                self._hide(items, index, item)
            else:
                self._text(items, index, item)
            hides_next = flag and not equals and secret
            heads_next = header and not equals

    def _header(self, items: list[Any], index: int, item: str, header: str) -> None:
        """``X-Api-Key: …``, as --header has it."""
        name, colon, value = header.partition(":")
        if colon and value.strip() and self._named(name.strip()):
            self._rest(items, index, len(item) - len(value.lstrip()))
        else:
            self._text(items, index, item)

    def _rest(self, items: list[Any], index: int, start: int) -> None:
        """Hide what an argument holds from ``start`` on."""
        item = items[index]
        self.found.append(item[start:])
        self._put(items, index, item[:start] + HIDDEN)

    def _annotations(self, annotations: Any) -> None:
        if annotations.__class__ is not dict:
            return
        for name, value in annotations.items():
            if value.__class__ is not str:
                continue
            prefix, _, last = name.rpartition("/")
            own = prefix.endswith(_KUBERNETES)
            if (self._everything and not own) or name == LAST_APPLIED or self._named(last):
                self._hide(annotations, name, value)
            else:
                self._text(annotations, name, value)

    def _files(self, data: dict[str, Any]) -> None:
        for name, value in data.items():
            if value.__class__ is not str:
                continue
            if (
                self._everything
                or len(value) > LARGE_CHARACTERS
                or (self._named(name) and not self._stays(value, name))
            ):
                self._hide(data, name, value, f"[redacted: {len(value.encode())} bytes]")
            else:
                self._text(data, name, value)

    def _conversion(self, document: dict[str, Any]) -> None:
        conversion = document.get("spec", {}).get("conversion")
        if conversion.__class__ is dict:
            self._walk(conversion)

    def _all(self, values: dict[str, Any], instead: str) -> None:
        for name, value in values.items():
            if value.__class__ is str:
                self._hide(values, name, value, instead)

    def _mask_listed(self, node: dict[str, Any]) -> None:
        for field, value in node.items():
            if value.__class__ is str and self._listed(field):
                self._hide(node, field, value)

    def _string(self, node: dict[str, Any], field: str, value: str) -> None:
        if field_named(field):
            self._hide(node, field, value)
        else:
            self._text(node, field, value)

    def _text(self, node: Any, place: str | int, value: str) -> None:
        text = hidden(value, self.found)
        if text is not value:
            self._put(node, place, text)
        elif len(value) <= _SHORT:
            if len(_clean) >= MOST_NAMES:
                _clean.clear()
            _clean.add(value)

    def _hide(self, node: Any, place: str | int, value: str, instead: str = HIDDEN, name: str = "") -> None:
        if value and value != instead and not value.startswith("[redacted"):
            if self._stays(value, name or str(place)):
                return
            self.found.append(value)
            self._put(node, place, instead)

    def _stays(self, value: str, name: str) -> bool:
        """Whether a value tells no secret though its name says so; of everything that is asked for, none stays."""
        return not self._everything and (nothing(value, name) or referring(value))

    def _put(self, node: Any, place: str | int, value: str) -> None:
        node[place] = value
        self.changed = True

    def _named(self, name: str) -> bool:
        return named(name) or (bool(self._names) and self._listed(name))

    def _listed(self, name: str) -> bool:
        low = name.lower()
        return any(fnmatchcase(low, pattern.lower()) for pattern in self._names)


def _refers(node: dict[str, Any], field: str) -> bool:
    """Whether a field names a Secret's key: {secretName: db, secretKey: password}, {secretKey: a, remoteRef: {…}}."""
    return field == "secretKey" and ("remoteRef" in node or "secretName" in node)


def _shows(cell: str, secret: str) -> bool:
    # A column of a list or an object is printed as JSON.
    return (secret in cell if len(secret) >= _TELLING else cell == secret or f'"{secret}"' in cell) or (
        ("\\" in cell) and dumps(secret)[1:-1] in cell
    )
