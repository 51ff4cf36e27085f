"""The Kubernetes read API as one plain ASGI app: /api, /apis, /openapi and /version.

The way of a request: the raw path is taken apart once (path.py), the caller is authenticated, the Authorizer is
asked with what the path and query say, the resource is looked up in the catalog and its scope checked, and a
Reader answers. Only /openapi and /version are fetched from upstream (and kept there by their ETag).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from random import uniform
from typing import Any, assert_never

import structlog

from kubemirror.access.authorizer import (
    Allow,
    Caller,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.access.presented import Presented
from kubemirror.errors import GoneError, KubemirrorError, NotSyncedError
from kubemirror.serve import status
from kubemirror.serve.attributes import attributes_of
from kubemirror.serve.context import Context
from kubemirror.serve.kubernetes import reviews, websocket
from kubemirror.serve.kubernetes.answer import NO_CACHE, Answer, Message, Receive, Scope, Send, write
from kubemirror.serve.kubernetes.discovery import AGGREGATED_VERSIONS, MEDIA_TYPES, Discovery, unrouted
from kubemirror.serve.kubernetes.forms import PLAIN, Form, Shape, View, allowed, form_of
from kubemirror.serve.kubernetes.frames import Frames
from kubemirror.serve.kubernetes.options import (
    ListOptions,
    check_timeout,
    list_options,
    resource_version,
    validate_list,
    validate_watch,
)
from kubemirror.serve.kubernetes.path import GroupPath, PlainPath, ResourcePath, parse_path
from kubemirror.serve.kubernetes.reads import Reads, Target, warnings
from kubemirror.serve.kubernetes.request import Request
from kubemirror.serve.kubernetes.streams import HttpOutput, WebSocketOutput
from kubemirror.serve.kubernetes.watched import watches
from kubemirror.serve.kubernetes.watching import LEAST_SECONDS, Asked, SlowReaderError, Watch
from kubemirror.serve.negotiation import JSON, PROTOBUF, YAML, Accepted, names_type, negotiate
from kubemirror.serve.opening import Turns
from kubemirror.serve.sharing import Sharing
from kubemirror.serve.status import StatusError
from kubemirror.state.catalog import Entry, Resource, ServedVersion
from kubemirror.state.selectors import ALL, Selection, parse_field_selector, parse_label_selector
from kubemirror.state.store import Reader
from kubemirror.views.columns import Printer

log = structlog.get_logger(__name__)

App = Callable[[Scope, Receive, Send], Awaitable[None]]

_WATCH_TYPES = f"{JSON};stream=watch, {PROTOBUF};stream=watch"
_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_DOCUMENTS = frozenset({"/version", "/openapi/v2", "/openapi/v3"})
_QUOTE = '"'
# Subresources that can only be written: upstream has no such method on their paths.
_WRITTEN_ONLY = frozenset({"binding", "eviction", "finalize", "token"})
# Subresources that upstream has beyond those in discovery's list of ours; all need the node or a write.
_CONNECTS = frozenset({"exec", "attach", "portforward", "proxy", "log", "eviction", "binding", "scale", "token"})


def kubernetes_app(context: Context) -> App:
    """The ASGI app over ``context.catalog``; it takes ``http`` and ``websocket`` scopes."""
    return KubernetesApp(context)


@dataclass(frozen=True, slots=True)
class _Stream:
    """An answer that is a watch. listed: in a form that no event has; it ends where the first would be told."""

    asked: Asked
    target: Target
    caller: Caller
    attributes: ResourceAttributes
    listed: bool = False


class KubernetesApp:
    """See ``kubernetes_app``."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._discovery = Discovery(context.catalog, ("v2",) if context.authoritative else AGGREGATED_VERSIONS)
        self._reads = Reads(context)
        self.frames = Frames()
        self._sharing = Sharing()
        self._turns = Turns()
        self._printers: dict[tuple[str, str], tuple[Resource, int, Printer]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._http(scope, receive, send)

    # -- transports -------------------------------------------------------------------------------------

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request.of(scope)
        try:
            answer, accepted = await self._answer(request, await self._caller(scope, request), receive)
            if isinstance(answer, _Stream):
                output, headers = HttpOutput(scope, receive, send), self._reads.headers(answer.target)
                await self._stream(answer, output, lambda: output.start(headers))
                return
        except KubemirrorError as error:
            await self._refuse(request, error, send)
            return
        asked: Any = scope.get("kubemirror.asked")  # the mirror's own; the demo has none
        if asked is not None:
            asked.validity = answer.validity
        await write(send, answer, request.writing(yaml=accepted.media_type == YAML, pretty=accepted.pretty))

    async def _refuse(self, request: Request, error: KubemirrorError, send: Send) -> None:
        failure = status.from_error(error)
        answer = Answer(failure.code, failure.body, headers=(NO_CACHE, *failure.headers, *request.warnings))
        await write(send, answer, request.error_writing())

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        if message["type"] != "websocket.connect":
            return
        request = Request.of(scope)
        try:
            subprotocol, request.headers = websocket.handshake(scope, request.headers)
            answer, _ = await self._answer(request, await self._caller(scope, request), receive)
            if not isinstance(answer, _Stream):
                raise status.bad_request("only a watch can be upgraded to a WebSocket")
            output = WebSocketOutput(scope, receive, send)
            await self._stream(answer, output, lambda: output.start(subprotocol))
        except KubemirrorError as error:
            await websocket.deny(scope, send, status.from_error(error))

    async def _stream(
        self, stream: _Stream, output: HttpOutput | WebSocketOutput, start: Callable[[], Awaitable[None]]
    ) -> None:
        """Run a watch and listen for the client's leave at the same time."""
        asked = stream.asked
        watch = Watch(self._context, asked, self.frames, self._sharing)
        await self._turns.take()
        await watch.open()
        try:
            await start()
            if stream.listed and not watch.failed:
                await output.end()
                return
            listener = asyncio.create_task(output.listen(watch.wake), name="watch client")
            audited = self._context.audit.opened(stream.caller, [stream.attributes], str(asked.resource_version or ""))
            ended = "ended"
            try:
                await watch.run(output)
                ended = "left" if output.gone else "failed" if watch.failed else "ended"
                await output.end()
            except SlowReaderError:
                ended = "slow"
                log.info("watch.slow_reader_cut_off", resource=asked.resource.name)
                output.abort()
            finally:
                audited.closed(ended)
                listener.cancel()
                with suppress(asyncio.CancelledError):
                    await listener
        finally:
            watch.close()

    # -- routes ------------------------------------------------------------------------------------------

    async def _caller(self, scope: Scope, request: Request) -> Caller:
        """Who asks: known already behind application.py, asked for where this app stands alone (the demo's)."""
        known: Any = scope.get("kubemirror.asked")
        if known is None:
            others = [header for header in scope["headers"] if header[0] != b"authorization"]
            token = request.headers.get(b"authorization", b"")  # a WebSocket's may have come as a subprotocol
            presented = Presented([(b"authorization", token), *others], request.peer)
            return await self._context.authenticator.authenticate(presented)
        if known.refused is not None:
            raise known.refused
        caller: Caller = known.caller
        return caller

    async def _answer(self, request: Request, caller: Caller, receive: Receive) -> tuple[Answer | _Stream, Accepted]:
        path = parse_path(request.raw_path)
        match path:
            case ResourcePath():
                return await self._resource(request, caller, path, receive)
            case GroupPath() | PlainPath():
                return await self._document(request, caller, path)
            case _:
                assert_never(path)

    async def _document(self, request: Request, caller: Caller, path: GroupPath | PlainPath) -> tuple[Answer, Accepted]:
        check_timeout(request.query)
        text = _text_of(path)
        slashes = len(request.raw_path) - len(request.raw_path.rstrip(b"/"))  # reviewed, and then read as without
        asked = PathAttributes(request.method.lower(), text + "/" * slashes)
        decision = await self._authorize(caller, asked)
        discovers = isinstance(path, GroupPath) or path.path in ("/api", "/apis")
        if discovers:
            self._check_complete()
        found: tuple[Answer, Accepted] | None = None
        match path:
            case GroupPath(group, ""):
                found = self._discovery.group(request, group)
            case GroupPath(group, version):
                self._check_discovered(group, version)
                found = self._discovery.resources(request, group, version)
                if found is None and self._is_builtin(group):
                    raise status.no_such_resource()
            case PlainPath("/api" | "/apis"):
                found = self._discovery.root(request, core=text == "/api")
            case PlainPath(text) if text in _DOCUMENTS or text.startswith("/openapi/v3/"):
                found = await self._fetched(request, text)
        if found is None:
            return self._nowhere(text)
        self._check_document_method(request, path)
        if not discovers:
            return found  # upstream's own: fetch() knows how long they hold
        answer, accepted = found
        return _until(replace(answer, validity=self._discovery.validity()), decision, caller), accepted

    def _nowhere(self, path: str) -> tuple[Answer, Accepted]:
        """404: a Status below what upstream routes by its parts, else the plain text of a path nobody serves."""
        match path.split("/")[1:]:
            case ["version", *_]:
                raise status.no_such_resource()
            case ["apis", group, _, _, *_] if group and self._is_builtin(group):
                raise status.no_such_resource()
        return _plain_not_found(), Accepted("text/plain")

    def _check_document_method(self, request: Request, path: GroupPath | PlainPath) -> None:
        """405 where upstream looks at the method at all: some documents it gives to any."""
        if request.method == "GET":
            return
        if isinstance(path, GroupPath):
            given = not path.version or self._discovery.is_custom(path.group, path.version)
        else:
            given = path.path == "/apis" or path.path.startswith("/openapi/")
        if not given:
            raise status.method_not_allowed()

    async def _fetched(self, request: Request, path: str) -> tuple[Answer, Accepted] | None:
        if any(segment in (".", "..") or "%" in segment for segment in path.split("/")):
            return None
        accept = request.accept or JSON
        query = request.query_string.decode("latin-1")
        document = await self._context.upstream.fetch(path, query=query, accept=accept)
        headers: list[tuple[bytes, bytes]] = [NO_CACHE]
        if document.vary:
            headers.append((b"vary", document.vary.encode("latin-1")))
        if not document.etag or document.status != 200:
            return Answer(document.status, document.body, document.content_type, headers, raw=True), Accepted(JSON)
        etag = document.etag.encode()
        headers.append((b"etag", etag))
        expected = request.query.get("hash", "") if path.startswith("/openapi/v3/") else ""
        if expected and expected != document.etag.strip('"'):
            # Whoever names another hash is told where the document with today's is (kube-openapi handler3).
            headers.append((b"location", f"{path}?hash={document.etag.strip(_QUOTE)}".encode()))
            return Answer(301, b"", document.content_type, headers, raw=True), Accepted(JSON)
        if request.if_none_match.encode("latin-1") == etag:
            return Answer(304, b"", "", headers, raw=True), Accepted(JSON)
        if expected:
            headers[0] = (b"cache-control", b"public, immutable")
        return Answer(200, document.body, document.content_type, headers, raw=True), Accepted(JSON)

    # -- resources ----------------------------------------------------------------------------------------

    async def _resource(
        self, request: Request, caller: Caller, path: ResourcePath, receive: Receive
    ) -> tuple[Answer | _Stream, Accepted]:
        kind = reviews.KINDS.get((path.group, path.version, path.resource))
        if kind is not None and not path.name:
            return await self._review(request, caller, path, kind, receive)
        found = self._context.catalog.resolve(path.group, path.version, path.resource)
        watch = watches(path, request.query)
        if not watch:
            check_timeout(request.query)
        attributes = self._attributes(request, path, found, _verb_of(request, path, watch=watch))
        decision = await self._authorize(caller, attributes)
        if found is None:
            return self._unknown(path)
        entry, served = found
        resource = entry.resource
        if request.method not in ("GET", "HEAD"):
            self._refuse_write(request, path, resource)
        if not self._in_scope(resource, path):
            return self._unknown(path)
        namespace = (path.namespace or None) if resource.namespaced else None
        request.warnings = warnings(resource, served, entry.reader(namespace))
        self._check_subresource(resource, path)
        if request.method == "HEAD" and not resource.custom:
            raise status.method_not_allowed()
        accepted, form = self._negotiate(request, resource, path, watch=watch)
        reader = self._reader(entry, namespace, caller, attributes)
        self._check_ready(reader)
        view = View(resource, served.name, form, self._printer(resource, served, reader, form))
        target = Target(resource, reader, namespace, view)
        if watch:
            return self._watch(request, caller, path, target, attributes, decision), accepted
        if path.name:
            if "export" in request.query:
                raise status.bad_request("the export parameter, deprecated since v1.14, is no longer supported")
            answer = await self._reads.get(target, path.name, request.query.get("resourceVersion", ""))
            if accepted.transform is not None and accepted.transform.kind == "PartialObjectMetadataList":
                if resource.custom:
                    raise StatusError(500, "", "content is not a list")
                raise _wrong_partial(accepted.transform.kind, "is not a list", resource, "")
            return _until(answer, decision, caller), accepted
        options = list_options(request.query)
        selection = self._selection(options, resource, served.name)
        validate_list(options)
        answer = await self._reads.collection(target, options, selection)
        return _until(answer, decision, caller), accepted

    def _watch(
        self,
        request: Request,
        caller: Caller,
        path: ResourcePath,
        target: Target,
        attributes: ResourceAttributes,
        decision: Allow,
    ) -> _Stream:
        options = list_options(request.query, watch=True)
        selection = self._selection(options, target.resource, target.view.version, path.name)
        initial = validate_watch(options)
        version = resource_version(options.resource_version, listing=False)
        if self._context.lifecycle.closing:
            raise status.unavailable("this mirror is shutting down")
        seconds = float(options.timeout_seconds or 0) or uniform(LEAST_SECONDS, 2 * LEAST_SECONDS)  # noqa: S311

        async def ask_again() -> float:
            again = caller if caller.credential is None else await caller.credential.again()
            allowed = await self._authorize(again, attributes, held=decision)
            return min(allowed.until, again.until)

        asked = Asked(
            resource=target.resource,
            reader=target.reader,
            view=target.view,
            selection=selection,
            namespace=target.namespace,
            resource_version=version,
            initial=initial,
            consistent=not options.resource_version and self._reads.consistent(target.resource),
            bookmarks=options.allow_watch_bookmarks,
            seconds=max(seconds, 0.0),
            until=min(decision.until, caller.until),
            ask_again=ask_again,
        )
        return _Stream(asked, target, caller, attributes, listed=_list_transform(request))

    async def _review(
        self, request: Request, caller: Caller, path: ResourcePath, kind: str, receive: Receive
    ) -> tuple[Answer, Accepted]:
        if request.method != "POST":
            await self._authorize(caller, self._attributes(request, path, None, _verb_of(request, path, watch=False)))
            raise status.method_not_allowed()
        body = await _body(receive, reviews.MOST_BYTES)
        content_type = request.headers.get(b"content-type", b"").decode("latin-1")
        context = self._context
        answer = await reviews.review(context.authorizer, context.rules, caller, path.group, kind, content_type, body)
        return answer, Accepted(JSON)

    def _refuse_write(self, request: Request, path: ResourcePath, resource: Resource) -> None:
        """405 for who may write upstream: for built-in resources in other words where the path has no such method."""
        action = _WRITES.get(request.method, "")
        if action == "delete" and not path.name:
            action = "deletecollection"
        connects = action == "create" and path.subresource in _CONNECTS
        refused = f"{path.resource}/{path.subresource}" if connects else path.resource
        if path.watch:
            fits = False
        elif path.subresource:
            fits = connects or action in ("update", "patch")
        elif path.name:
            fits = action in ("update", "patch", "delete")
        else:
            fits = action in ("create", "deletecollection") and (path.namespace is not None) is resource.namespaced
            fits = fits and (action, resource.name) != ("deletecollection", "namespaces")
        if fits:
            raise self._not_supported(action, refused, path)
        if not resource.custom:
            raise status.method_not_allowed()
        raise status.not_supported(action, path.resource, path.group)

    def _not_supported(self, action: str, resource: str, path: ResourcePath) -> StatusError:
        why = "" if self._context.authoritative else "this is a read-only mirror"
        return status.not_supported(action, resource, path.group, why)

    def _unknown(self, path: ResourcePath) -> tuple[Answer, Accepted]:
        """404: a Status below a built-in group, else the plain text of a path nobody serves."""
        self._check_complete()
        self._check_discovered(path.group, path.version)
        if self._is_builtin(path.group):
            raise status.no_such_resource()
        return _plain_not_found(), Accepted("text/plain")

    def _check_complete(self) -> None:
        """503 while this mirror starts: a client that believes a 404 would forget what it has."""
        if not self._context.catalog.complete:
            raise status.unavailable("this mirror has just started and does not know all resources yet")

    def _check_discovered(self, group: str, version: str) -> None:
        """503 for what upstream could not tell of: as its aggregator answers, and as a 404 would be believed."""
        stale = self._context.catalog.stale_groups.get((group, version))
        if stale is not None and not self._discovery.holds(group, version):
            raise status.unavailable(f"the API server could not tell what is in {group}/{version}: {stale.reason}")

    def _is_builtin(self, group: str) -> bool:
        return not group or (self._discovery.has_group(group) and not self._discovery.is_custom(group))

    def _check_subresource(self, resource: Resource, path: ResourcePath) -> None:
        if path.trailing and not resource.custom:
            raise status.no_such_resource()
        if path.trailing and not path.name:
            raise status.not_found(resource.plural, resource.group, "")
        known = resource.subresources_of(path.version)
        if path.watch and path.subresource and not resource.custom:
            raise status.no_such_resource()
        if path.watch and path.subresource in known:
            raise status.not_supported("watch", resource.plural, resource.group)
        if not path.subresource or (path.subresource == "status" and "status" in known):
            return
        if resource.custom and path.subresource not in known:
            raise status.not_found(resource.plural, resource.group, path.name)
        if path.subresource in _WRITTEN_ONLY:
            raise status.method_not_allowed()
        if path.subresource in known or path.subresource in _CONNECTS:
            raise self._not_supported("get", f"{resource.plural}/{path.subresource}", path)
        raise status.no_such_resource()

    @staticmethod
    def _in_scope(resource: Resource, path: ResourcePath) -> bool:
        """Whether path and resource agree on being namespaced."""
        if resource.namespaced:
            return path.namespace is not None or not path.name
        return path.namespace is None

    def _reader(self, entry: Entry, namespace: str | None, caller: Caller, attributes: ResourceAttributes) -> Reader:
        reader = entry.reader(namespace)
        if reader is None:
            names = ", ".join(sorted(entry.stores)) or "none"
            raise status.refused(caller, attributes, f"this mirror reads it in these namespaces only: {names}")
        return reader

    def _check_ready(self, reader: Reader) -> None:
        try:
            reader.require_served()
        except NotSyncedError:
            raise status.not_ready(self._context.clock() - reader.phase_since) from None

    def _selection(self, options: ListOptions, resource: Resource, version: str, name: str = "") -> Selection:
        if not options.label_selector and not options.field_selector and not name:
            return ALL
        label = parse_label_selector(options.label_selector)
        fields = parse_field_selector(options.field_selector, resource, version)
        if name:
            if not fields.empty and fields.name != name:
                raise status.bad_request("fieldSelector metadata.name doesn't match requested name")
            text = (
                f"{options.field_selector},metadata.name={name}" if options.field_selector else f"metadata.name={name}"
            )
            fields = parse_field_selector(text, resource, version)
        return Selection(label, fields)

    def _negotiate(
        self, request: Request, resource: Resource, path: ResourcePath, *, watch: bool
    ) -> tuple[Accepted, Form]:
        accept = request.accept
        if not resource.custom and not names_type(accept, (JSON, YAML, PROTOBUF)):
            streams = "" if path.name else f", {_WATCH_TYPES}"
            raise unrouted(f"{MEDIA_TYPES}{streams}")
        accepted = negotiate(accept, (JSON, YAML), allowed)
        if accepted is None or (watch and accepted.media_type == YAML):
            types = MEDIA_TYPES if accepted is None else _WATCH_TYPES
            raise StatusError(406, "NotAcceptable", f"only the following media types are accepted: {types}")
        transform = accepted.transform
        if transform is None:
            return accepted, PLAIN
        listed = not path.name
        if not watch and transform.kind == "PartialObjectMetadata" and listed:
            raise _wrong_partial(transform.kind, "is a list", resource, "List")
        try:
            return accepted, form_of(transform, request.query.get("includeObject", ""))
        except ValueError as error:
            raise status.bad_request(f"Unable to convert to Table as requested: {error}") from None

    def _printer(self, resource: Resource, served: ServedVersion, reader: Reader, form: Form) -> Printer | None:
        if form.shape is not Shape.TABLE:
            return None
        definitions = reader.columns if served.name == resource.version else b""
        key = (resource.name, served.name)
        kept = self._printers.get(key)
        if kept is not None and kept[0] is resource and kept[1] == reader.columns_version:
            return kept[2]
        printer = Printer(resource, served.name, definitions)
        self._printers[key] = (resource, reader.columns_version, printer)
        return printer

    # -- who may --------------------------------------------------------------------------------------------

    def _attributes(
        self,
        request: Request,
        path: ResourcePath,
        found: tuple[Entry, ServedVersion] | None,
        verb: str,
    ) -> ResourceAttributes:
        """What is asked for, derived once; a field selector on one name makes the request named."""
        return attributes_of(
            verb,
            path.group,
            path.version,
            path.resource,
            subresource=path.subresource,
            namespace=path.namespace or "",
            name=path.name,
            label_selector=request.query.get("labelSelector", ""),
            field_selector=request.query.get("fieldSelector", ""),
            known=found[0].resource if found is not None else None,
        )

    async def _authorize(
        self, caller: Caller, attributes: ResourceAttributes | PathAttributes, *, held: Decision | None = None
    ) -> Allow:
        """held: what a stream that is open goes by."""
        decision = await self._context.authorizer.authorize(caller, attributes, held=held)
        if isinstance(decision, Allow):
            return decision
        raise status.refused(caller, attributes, decision.reason if isinstance(decision, Deny) else "")


def _verb_of(request: Request, path: ResourcePath, *, watch: bool) -> str:
    """As requestinfo.go has it: "" for a method that means nothing there."""
    if request.method in ("GET", "HEAD"):
        return "watch" if watch else "get" if path.name else "list"
    verb = "watch" if path.watch else _WRITES.get(request.method, "")
    return "deletecollection" if verb == "delete" and not path.name else verb


def _until(answer: Answer, decision: Allow, caller: Caller) -> Answer:
    """The same, valid no longer than the decision and the credentials."""
    validity = answer.validity
    if validity is None:
        return answer
    return replace(answer, validity=replace(validity, until=min(validity.until, decision.until, caller.until)))


def _wrong_partial(kind: str, what: str, resource: Resource, suffix: str) -> StatusError:
    package = resource.group.split(".", 1)[0] or "core"
    if package == "events":
        package = "core"
    go_type = f"unstructured.Unstructured{suffix}" if resource.custom else f"{package}.{resource.kind}{suffix}"
    return StatusError(406, "NotAcceptable", f"you requested {kind}, but the requested object {what} (*{go_type})")


def _list_transform(request: Request) -> bool:
    """Whether a watch asked for PartialObjectMetadataList: upstream opens it and closes it at once."""
    accepted = negotiate(request.accept, (JSON,), allowed)
    return accepted is not None and accepted.transform is not None and accepted.transform.kind.endswith("List")


def _plain_not_found() -> Answer:
    headers = (NO_CACHE, (b"x-content-type-options", b"nosniff"))
    return Answer(404, b"404 page not found\n", "text/plain; charset=utf-8", headers, raw=True)


def _text_of(path: GroupPath | PlainPath) -> str:
    match path:
        case GroupPath("", version):
            return f"/api/{version}"
        case GroupPath(group, ""):
            return f"/apis/{group}"
        case GroupPath(group, version):
            return f"/apis/{group}/{version}"
        case PlainPath(text):
            return text


async def _body(receive: Receive, most: int) -> bytes:
    """The request's body; 413 beyond ``most`` bytes."""
    parts: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] != "http.request":
            raise GoneError("the client left")
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > most:
            raise StatusError(413, "RequestEntityTooLarge", f"the request body is larger than {most} bytes")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
