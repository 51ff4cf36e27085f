"""Bytes of an API server's answer -> complete lines -> watch events; and the pages of a LIST -> objects.

Two forms are understood. *Table* is asked for first: a row brings the cells that ``kubectl get`` prints and
the whole object beside them. *Plain* objects are what some aggregated APIs answer with instead. The first
event of a stream (the page itself, of a LIST) decides; a stream that mixes them, or a row without its object,
is refused, because cells and objects that do not belong together are worse than none.

Nothing is decoded beyond one level of the object, so a huge or odd object costs its bytes and no more. What a
single object can get wrong stays with that object: beyond the cap it becomes a stub, and so does one whose
header alone can be read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import orjson

from kubemirror.state.events import Columns
from kubemirror.state.objects import Blank, Ingest, Object

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
ACCEPT = f"{TABLE}, application/json"
# Where only metadata may be held, no form is accepted that would bring more.
ACCEPT_METADATA = f"{TABLE}, application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
ACCEPT_METADATA_LIST = f"{TABLE}, application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
ACCEPT_IDENTITIES = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io, application/json"

INITIAL_EVENTS_END = "k8s.io/initial-events-end"
# A mirror's bookmark: what follows, up to the next one, is the outcome of a stretch that it did not watch.
GAP = "kubemirror/gap"
# An error's text goes into logs and status pages: enough to recognise it, too little to flood them.
MESSAGE_CHARACTERS = 256
# Of a line that is too long to hold: enough for columnDefinitions, cells and a usual header.
PREFIX_BYTES = 256 * 1024


class WireError(ValueError):
    """The stream is not what a Kubernetes API server sends; nothing after this point can be trusted.

    kind: a closed set for metrics: bad_line, mixed_form, bad_page, no_resource_version.
    """

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


# -- lines ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Oversize:
    """A line too long to be held: its first bytes, and how long it was."""

    prefix: bytes
    size: int


class LineSplitter:
    """Cuts a stream at newlines, wherever its chunks were cut; a partial line is never given out.

    Long lines are joined once, so that an object in a thousand chunks costs no more than its bytes. Empty
    lines (and CRLF's empty lines) are dropped; a carriage return at a line's end is JSON white space.
    """

    def __init__(self, cap: int) -> None:
        """cap: bytes of a line beyond which it is given out as Oversize."""
        self._cap = cap
        self._parts: list[bytes] = []
        self._size = 0

    @property
    def pending(self) -> int:
        """Bytes of a line that has begun and not ended."""
        return self._size

    def feed(self, chunk: bytes) -> list[bytes | Oversize]:
        """The lines that are complete now."""
        if not chunk:
            return []
        if b"\n" not in chunk:
            self._hold(chunk)
            return []
        first, *rest = chunk.split(b"\n")
        lines: list[bytes | Oversize] = []
        if self._parts:
            self._hold(first)
            joined = b"".join(self._parts)
            lines.append(joined if self._size <= self._cap else Oversize(joined[:PREFIX_BYTES], self._size))
            self._parts.clear()
            self._size = 0
        else:
            rest.insert(0, first)
        tail = rest.pop()
        cap = self._cap
        lines += [line if len(line) <= cap else Oversize(line[:PREFIX_BYTES], len(line)) for line in rest]
        if tail:
            self._hold(tail)
        return [line for line in lines if line not in (b"", b"\r")]

    def _hold(self, part: bytes) -> None:
        before = self._size
        self._size += len(part)
        if self._size <= self._cap:
            self._parts.append(part)
        elif before <= self._cap:  # from here on only the length is of interest
            self._parts = [b"".join((*self._parts, part))[:PREFIX_BYTES]]


# -- answers that are no list and no stream ----------------------------------------------------------------


class _Cause(msgspec.Struct):
    reason: str = ""


class _Details(msgspec.Struct):
    retry_after: float | None = msgspec.field(name="retryAfterSeconds", default=None)
    causes: list[_Cause] | None = None


class _Status(msgspec.Struct):
    kind: str = ""
    code: int = 0
    reason: str | None = None
    message: str | None = None
    details: _Details | None = None


_decode_status = msgspec.json.Decoder(_Status).decode


# The remedy of a 401, wherever it is told: upstream's own word is only "Unauthorized".
RENEW_CREDENTIALS = "the API server does not accept our credentials: renew the token, client certificate or exec plugin"


@dataclass(frozen=True, slots=True)
class Status:
    """What upstream says is wrong: an answer that is not 200, or an ERROR event.

    code: the HTTP status, or the Status object's code. retry_after: seconds, 0 where not said.
    """

    code: int
    reason: str = ""
    message: str = ""
    retry_after: float = 0.0
    causes: tuple[str, ...] = ()

    @property
    def expired(self) -> bool:
        """410 in any form: the resourceVersion or continue token is older than what upstream keeps."""
        return self.code == 410 or self.reason in ("Expired", "Gone")

    @property
    def too_large(self) -> bool:
        """504: upstream has not reached the resourceVersion that was asked for."""
        return "ResourceVersionTooLarge" in self.causes or (
            self.reason == "Timeout" and "Too large resource version" in self.message
        )

    def __str__(self) -> str:
        said = ": ".join(part for part in (self.reason, self.message if self.message != self.reason else "") if part)
        remedy = f"; {RENEW_CREDENTIALS}" if self.code == 401 else ""
        return f"{self.code} {said}".strip() + remedy


def status_of(body: bytes | msgspec.Raw, code: int = 0) -> Status:
    """The Status in ``body``; where it holds none (a load balancer's page, plain text), its first characters."""
    try:
        decoded = _decode_status(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = bytes(body)[: 4 * MESSAGE_CHARACTERS].decode("utf-8", "replace")
        return Status(code, "", " ".join(text.split())[:MESSAGE_CHARACTERS])
    details = decoded.details or _Details()
    return Status(
        code or decoded.code,
        decoded.reason or "",
        " ".join((decoded.message or "").split())[:MESSAGE_CHARACTERS],
        details.retry_after or 0.0,
        tuple(cause.reason for cause in details.causes or ()),
    )


def refusal(code: int, headers: Mapping[str, str], body: bytes) -> Status:
    """What an answer says that must not be read as a list or a stream; Retry-After (seconds) included."""
    status = status_of(body, code)
    try:
        after = float(headers.get("retry-after", "0"))
    except ValueError:  # RFC 9110 allows a date too; no API server sends one
        after = 0.0
    if code == 200:
        content_type = headers.get("content-type", "none")[:80]
        return Status(200, "NotKubernetes", f"the answer is no JSON (Content-Type: {content_type})")
    return Status(status.code, status.reason, status.message, max(after, status.retry_after), status.causes)


def is_json(headers: Mapping[str, str]) -> bool:
    """Whether an answer says it is JSON: checked before a byte of its body is taken for an event."""
    content_type = headers.get("content-type", "")
    return content_type.partition(";")[0].strip().lower() == "application/json"


# -- watch events ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Added:
    object: Object


@dataclass(frozen=True, slots=True)
class Modified:
    object: Object


@dataclass(frozen=True, slots=True)
class Deleted:
    object: Object


@dataclass(frozen=True, slots=True)
class Progress:
    """A BOOKMARK: everything up to here has been told; perhaps also the end of the initial events.

    gap: upstream is a mirror, and what follows up to the next bookmark is what its own relist found.
    blank: what the bookmark is written on.
    """

    resource_version: int
    initial_events_end: bool = False
    gap: bool = False
    blank: Blank = field(default=Blank(), compare=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """An ERROR event."""

    status: Status


@dataclass(frozen=True, slots=True)
class Skipped:
    """An event that could not be used, and why; the stream goes on.

    kind: a closed set for metrics: unknown_type, bad_object, oversize.
    """

    kind: str
    message: str


WatchEvent = Added | Modified | Deleted | Progress | Failure | Skipped | Columns
_NOTHING = (msgspec.Raw(b""), msgspec.Raw(b"null"))
_OBJECT_EVENTS: dict[str, type[Added | Modified | Deleted]] = {
    "ADDED": Added,
    "MODIFIED": Modified,
    "DELETED": Deleted,
}


class _Row(msgspec.Struct):
    cells: msgspec.Raw = msgspec.Raw(b"")
    object: msgspec.Raw = msgspec.Raw(b"")


class _Table(msgspec.Struct):
    kind: str = ""
    columns: msgspec.Raw = msgspec.field(name="columnDefinitions", default=msgspec.Raw(b""))
    rows: list[_Row] | None = None


class _TableEvent(msgspec.Struct):
    type: str
    object: _Table


class _PlainEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Kind(msgspec.Struct):
    kind: str = ""
    api_version: str = msgspec.field(name="apiVersion", default="")

    @property
    def is_table(self) -> bool:
        return self.kind == "Table" and self.api_version.startswith("meta.k8s.io/")


class _Mark(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    annotations: dict[str, str] | None = None


class _Marked(msgspec.Struct):
    metadata: _Mark


_table_event = msgspec.json.Decoder(_TableEvent).decode
_plain_event = msgspec.json.Decoder(_PlainEvent).decode
_kind = msgspec.json.Decoder(_Kind).decode
_marked = msgspec.json.Decoder(_Marked).decode


class EventDecoder:
    """Reads the events of one WATCH. ``table`` is None until its first event has told the form."""

    def __init__(self, ingest: Ingest, *, cap: int, metadata_only: bool = False) -> None:
        """cap: bytes of one object beyond which only a stub is held."""
        self.table: bool | None = None
        self._ingest = ingest
        self._cap = cap
        self._metadata_only = metadata_only

    def decode(self, line: bytes | Oversize) -> Sequence[WatchEvent]:
        """What one line says: one event, with the columnDefinitions before it where it brings them.

        Raises WireError for what is no watch event, and for a form that differs from the stream's.
        """
        if isinstance(line, Oversize):
            return (self._oversize(line),)
        if self.table:
            try:
                event = _table_event(line)
            except (msgspec.DecodeError, RecursionError):
                return self._plain(line)  # broken, or another form: told apart there
            table = event.object
            if table.kind == "Table":
                return self._row(event.type, table)
        return self._plain(line)

    def _row(self, type_: str, table: _Table) -> Sequence[WatchEvent]:
        # Of a resource without objects the bookmark alone brings them; what follows it does not repeat them.
        columns = () if table.columns in _NOTHING else (Columns(canonical(table.columns)),)
        if type_ not in _OBJECT_EVENTS:
            if type_ == "BOOKMARK" and table.rows:
                return (*columns, _bookmark(table.rows[0].object, table.rows[0].cells))
            return (Skipped("unknown_type", f"unknown event type {type_[:40]!r}"),)
        if not table.rows or len(table.rows) != 1 or table.rows[0].object in _NOTHING:
            raise WireError("a Table row came without its object", kind="mixed_form")
        row = table.rows[0]
        return (*columns, self._object(type_, row.object, row.cells))

    def _plain(self, line: bytes) -> Sequence[WatchEvent]:
        try:
            event = _plain_event(line)
            kind = _kind(event.object)
        except RecursionError as error:  # beyond what upstream itself takes (see app.py): no object of it is that deep
            raise WireError("a watch event is nested too deep", kind="bad_line") from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            status = status_of(line)
            if status.code >= 400:  # a Status where a stream was promised
                return (Failure(status),)
            raise WireError(f"not a watch event: {error}"[:MESSAGE_CHARACTERS], kind="bad_line") from error
        if event.type == "ERROR":
            return (Failure(status_of(event.object)),)
        if event.type == "BOOKMARK" and not kind.is_table:
            return (_bookmark(event.object),)
        if kind.is_table:
            if self.table is False:
                raise WireError("a Table came in a stream of plain objects", kind="mixed_form")
            try:
                table = _table_event(line)
            except msgspec.DecodeError as error:
                raise WireError(f"not a Table: {error}"[:MESSAGE_CHARACTERS], kind="bad_line") from error
            if event.type in _OBJECT_EVENTS:
                self.table = True
            return self._row(event.type, table.object)
        if event.type not in _OBJECT_EVENTS:
            return (Skipped("unknown_type", f"unknown event type {event.type[:40]!r}"),)
        if self.table:
            raise WireError("a plain object came in a stream of Tables", kind="mixed_form")
        first = self.table is None
        self.table = False
        observed = self._object(event.type, event.object, b"")
        return (Columns(b""), observed) if first else (observed,)

    def _object(self, type_: str, raw: msgspec.Raw, cells: msgspec.Raw | bytes) -> WatchEvent:
        if self._metadata_only:
            _require_metadata(raw)
        try:
            return _OBJECT_EVENTS[type_](self._ingest.object(raw, bytes(cells), cap=self._cap))
        except ValueError as error:
            return Skipped("bad_object", str(error)[:MESSAGE_CHARACTERS])

    def _oversize(self, line: Oversize) -> WatchEvent:
        header = header_of(line.prefix)
        event = _OBJECT_EVENTS.get(header.get("type", ""))
        if event is None or not {"name", "uid", "resourceVersion"} <= header.keys():
            return Skipped("oversize", f"an event of {line.size} bytes was skipped: its header could not be found")
        try:
            return event(self._ingest.stub(header, size=line.size, cap=self._cap))
        except ValueError as error:
            return Skipped("oversize", str(error)[:MESSAGE_CHARACTERS])


def _bookmark(raw: bytes | msgspec.Raw, cells: bytes | msgspec.Raw = b"") -> Progress:
    try:
        mark = _marked(raw).metadata
        notes = mark.annotations or {}
        blank = Blank(bytes(raw), bytes(cells))
        return Progress(int(mark.resource_version), notes.get(INITIAL_EVENTS_END) == "true", GAP in notes, blank)
    except ValueError as error:  # msgspec's errors are ValueErrors too
        raise WireError(f"a bookmark without resourceVersion: {error}", kind="bad_line") from error


def _require_metadata(raw: msgspec.Raw) -> None:
    if _kind(raw).kind != "PartialObjectMetadata":
        raise WireError("upstream sent a whole object where only metadata may be held", kind="mixed_form")


def canonical(definitions: bytes | msgspec.Raw) -> bytes:
    """columnDefinitions as one compact text, whatever white space upstream used: what they are compared by."""
    return orjson.dumps(orjson.loads(bytes(definitions)))


_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*("|\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_HEADER_FIELDS = (b"name", b"namespace", b"uid", b"resourceVersion", b"creationTimestamp")


def header_of(prefix: bytes) -> dict[str, str]:
    """What the first bytes of a watch event tell of it: its type and the object's header, as far as they go."""
    header: dict[str, str] = {}
    path: list[bytes] = []  # keys, or b"[" for an array
    key = b""
    expecting_key = False
    for match in _TOKEN.finditer(prefix):
        token = match.group()
        if match.group(1) == b"":
            break  # the prefix ends inside this string
        if token in (b"{", b"["):
            path.append(key if token == b"{" else b"[" + key)
            key, expecting_key = b"", token == b"{"
        elif token in (b"}", b"]"):
            if path:
                path.pop()
            key, expecting_key = b"", False
        elif token == b",":
            expecting_key = bool(path) and not path[-1].startswith(b"[")
        elif token == b":":
            expecting_key = False
        elif token.startswith(b'"') and expecting_key:
            key = token[1:-1]
        elif token.startswith(b'"'):
            if len(path) == 1 and key == b"type":
                header["type"] = _text(token)
            elif key in _HEADER_FIELDS and path[1:] in (
                [b"object", b"metadata"],
                [b"object", b"[rows", b"", b"object", b"metadata"],
            ):
                # In a Table the list's own resourceVersion comes first; the row's object overwrites it.
                header[key.decode()] = _text(token)
    return header


def _text(token: bytes) -> str:
    try:
        return str(orjson.loads(token))
    except ValueError:
        return ""


# -- pages of a LIST ---------------------------------------------------------------------------------------


class _ListMeta(msgspec.Struct):
    resource_version: str = msgspec.field(name="resourceVersion", default="")
    continue_: str | None = msgspec.field(name="continue", default=None)


class _TablePage(msgspec.Struct):
    metadata: _ListMeta
    kind: str = ""
    api_version: str = msgspec.field(name="apiVersion", default="")
    columns: msgspec.Raw = msgspec.field(name="columnDefinitions", default=msgspec.Raw(b""))
    rows: list[_Row] | None = None


class _PlainPage(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Identity(msgspec.Struct):
    uid: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _Identified(msgspec.Struct):
    metadata: _Identity


class _IdentityPage(msgspec.Struct):
    metadata: _ListMeta
    items: list[_Identified] | None = None


_table_page = msgspec.json.Decoder(_TablePage).decode
_plain_page = msgspec.json.Decoder(_PlainPage).decode
_identity_page = msgspec.json.Decoder(_IdentityPage).decode


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a LIST: its rows are still bytes, made into objects as they are asked for.

    continue_: the token of the next page, "" on the last. columns: definitions, b"" in plain form.
    """

    resource_version: int
    continue_: str
    columns: bytes
    rows: Sequence[tuple[msgspec.Raw, msgspec.Raw]]

    def objects(
        self, ingest: Ingest, *, cap: int, metadata_only: bool = False, skipped: Counter[str] | None = None
    ) -> Iterator[Object]:
        """Each object; one that cannot be read is left out and counted as bad_object."""
        for raw, cells in self.rows:
            if metadata_only:
                _require_metadata(raw)
            try:
                yield ingest.object(raw, bytes(cells), cap=cap)
            except ValueError:
                if skipped is not None:
                    skipped["bad_object"] += 1


def page(body: bytes) -> Page:
    """A page of a LIST in either form. Raises WireError for anything else."""
    try:
        table = _table_page(body)  # one look at megabytes tells the kind and, mostly, all there is
        if table.kind == "Table" and table.api_version.startswith("meta.k8s.io/"):
            rows = table.rows or []
            if any(row.object in _NOTHING for row in rows):
                raise WireError("a Table row came without its object", kind="mixed_form")
            columns = b"" if table.columns in _NOTHING else canonical(table.columns)
            pairs = [(row.object, row.cells) for row in rows]
            return Page(_list_version(table.metadata), table.metadata.continue_ or "", columns, pairs)
        if not table.kind.endswith("List"):
            raise WireError(f"the answer is no list but {table.kind[:60] or 'something else'!r}", kind="bad_page")
        plain = _plain_page(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"not a list: {error}"[:MESSAGE_CHARACTERS], kind="bad_page") from error
    nothing = msgspec.Raw(b"")
    items = [(item, nothing) for item in plain.items or []]
    return Page(_list_version(plain.metadata), plain.metadata.continue_ or "", b"", items)


@dataclass(frozen=True, slots=True)
class Identities:
    """(uid, resourceVersion) of every object on a page: what an audit compares."""

    resource_version: int
    continue_: str
    items: Sequence[tuple[str, int]]


def identities(body: bytes) -> Identities:
    """The identities on a page of plain or PartialObjectMetadata objects. Raises WireError."""
    try:
        decoded = _identity_page(body)
        items = [(item.metadata.uid, int(item.metadata.resource_version or 0)) for item in decoded.items or []]
    except (ValueError, RecursionError) as error:
        raise WireError(f"not a list: {error}"[:MESSAGE_CHARACTERS], kind="bad_page") from error
    return Identities(_list_version(decoded.metadata), decoded.metadata.continue_ or "", items)


def _list_version(metadata: _ListMeta) -> int:
    try:
        return int(metadata.resource_version)
    except ValueError as error:
        raise WireError("a list without resourceVersion cannot be followed", kind="no_resource_version") from error
