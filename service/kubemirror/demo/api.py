"""The demo cluster's Kubernetes API: writes are answered here, reads by the code that serves the mirror."""

from __future__ import annotations

from typing import Any

import orjson
import structlog

from kubemirror.access.authorizer import Deny, ResourceAttributes
from kubemirror.access.impersonation import Impersonating
from kubemirror.access.presented import Presented
from kubemirror.demo.broken import Application, broken
from kubemirror.demo.cluster import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Cluster
from kubemirror.demo.control import control
from kubemirror.demo.faults import Faults
from kubemirror.demo.refusal import Refusal, bad_request
from kubemirror.demo.request import Request, read_request
from kubemirror.demo.reviews import REVIEWS, review
from kubemirror.demo.shelf import Shelf
from kubemirror.demo.upstream import ClusterUpstream
from kubemirror.errors import KubemirrorError
from kubemirror.serve.context import Context
from kubemirror.serve.kubernetes.answer import Message, Receive, Scope, Send
from kubemirror.serve.kubernetes.app import kubernetes_app
from kubemirror.serve.kubernetes.options import is_watch, parse_query
from kubemirror.serve.kubernetes.path import ResourcePath, parse_path
from kubemirror.serve.status import (
    StatusError,
    forbidden,
    from_error,
    go_json,
    method_not_allowed,
    no_such_resource,
    status_body,
)
from kubemirror.settings import Settings
from kubemirror.state.catalog import Catalog, ServedVersion
from kubemirror.state.field_selector import parse_field_selector
from kubemirror.state.label_selector import parse_label_selector
from kubemirror.state.selectors import Selection

Fields = dict[str, Any]

_log = structlog.get_logger(__name__)
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_PATCHES = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)
_APPLY_PATCH = "application/apply-patch+yaml"
_HEALTH = frozenset({"/healthz", "/livez", "/readyz"})


def demo_app(cluster: Cluster, faults: Faults | None = None) -> Application:
    """The whole API of ``cluster`` as an ASGI application, under ``faults``; no lifespan, no tasks of its own."""
    return _Api(cluster, faults or Faults(cluster))


class _Api:
    def __init__(self, cluster: Cluster, faults: Faults) -> None:
        self._cluster = cluster
        self._faults = faults
        self._users = faults.users
        self._authenticator = Impersonating(faults.users, faults.users)
        self._upstream = ClusterUpstream(cluster, faults.users)
        self._present = self._reads(cluster.catalog)
        self._past: tuple[Catalog, Application] | None = None
        self._under_faults = broken(self._serve, faults, self._describe)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/-/faults"):
            await control(self._faults, scope, receive, send)
            return
        await self._under_faults(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket" or scope["method"] in _READS:
            await self._read(scope, receive, send)
            return
        try:
            code, body = await self._write(scope, receive)
        except Refusal as refusal:
            code, body = refusal.code, status_body(refusal.code, refusal.reason, refusal.message, refusal.details)
        except KubemirrorError as error:
            status = from_error(error)
            code, body = status.code, status.body
        await _answer(send, code, body)

    # -- reading ----------------------------------------------------------------------------------------

    async def _read(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/")
        if path in _HEALTH:
            await _answer(send, 200, b"ok", b"text/plain; charset=utf-8")
            return
        self._cluster.progress()
        if path.endswith("/scale"):
            try:
                answered = self._scale(scope)
            except Refusal as refusal:
                body = status_body(refusal.code, refusal.reason, refusal.message, refusal.details)
                await _answer(send, refusal.code, body)
                return
            if answered is not None:
                await _answer(send, 200, go_json(answered))
                return
        await self._reader()(scope, receive, send)

    def _reads(self, catalog: Catalog) -> Application:
        context = Context(
            catalog=catalog,
            authorizer=self._users,
            authenticator=self._authenticator,
            upstream=self._upstream,
            settings=Settings.model_construct(),
            clock=self._cluster.clock,
            wall=self._cluster.wall,
            authoritative=True,
        )
        return kubernetes_app(context)

    def _reader(self) -> Application:
        past = self._faults.past
        if past is None:
            return self._present
        if self._past is None or self._past[0] is not past:
            self._past = past, self._reads(past)
        return self._past[1]

    def _scale(self, scope: Scope) -> Fields | None:
        path = parse_path(scope["raw_path"].partition(b"?")[0])
        if not isinstance(path, ResourcePath) or path.subresource != "scale":
            return None
        shelf = self._shelf(path)
        if shelf is None or not shelf[0].kind.scale:
            return None
        return self._cluster.scale(shelf[0].resource.name, path.name, path.namespace or "")

    # -- writing ----------------------------------------------------------------------------------------

    async def _write(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        caller = await self._authenticator.authenticate(Presented(scope["headers"]))
        request = await read_request(scope, receive, caller)
        path = request.path
        if not isinstance(path, ResourcePath):
            raise method_not_allowed()
        kind = REVIEWS.get((path.group, path.resource))
        if kind is not None and request.method == "POST":
            await self._authorize(request, path, "create")
            body = request.decoded(kind)
            answer = review(kind, path.group, body, caller=caller, users=self._users, now=self._cluster.now())
            return 201, go_json(answer)
        found = self._shelf(path)
        if found is None:
            raise no_such_resource()
        shelf, served = found
        verb = _VERBS[request.method]
        await self._authorize(request, path, "deletecollection" if verb == "delete" and not path.name else verb)
        if path.subresource and path.subresource not in shelf.resource.subresources:
            raise no_such_resource()
        version = served.name
        name, namespace = path.name, path.namespace or ""
        if shelf.resource.namespaced and not namespace:
            raise method_not_allowed()
        resource = shelf.resource.name
        match request.method, bool(name):
            case "POST", False:
                obj = self._object(shelf, request)
                options = request.options(version, "CreateOptions")
                return 201, self._encoded(shelf, self._cluster.create(resource, obj, namespace, options=options))
            case "PUT", True:
                obj = self._object(shelf, request)
                options = request.options(version, "UpdateOptions")
                answer = self._cluster.update(
                    resource, name, obj, namespace, subresource=path.subresource, options=options
                )
                return 200, self._encoded(shelf, answer)
            case "PATCH", True:
                return 200, self._encoded(shelf, self._patch(shelf, request, path, version))
            case "DELETE", True:
                options_ = request.delete_options(version)
                answer = self._cluster.delete(resource, name, namespace, options=options_)
                return 200, self._encoded(shelf, answer)
            case "DELETE", False:
                return 200, self._delete_collection(shelf, request, namespace, version)
        raise method_not_allowed()

    def _object(self, shelf: Shelf, request: Request) -> Fields:
        path = request.path
        scale = isinstance(path, ResourcePath) and path.subresource == "scale"
        obj = request.decoded("Scale" if scale else shelf.resource.kind)
        if shelf.resource.custom and not obj.get("kind"):
            shown = request.body.decode(errors="replace")
            raise bad_request(
                f"the object provided is unrecognized (must be of type {shelf.resource.kind}): Object 'Kind' is "
                f"missing in '{shown}' ({shown[:30]} ...)"
            )
        return obj

    def _patch(self, shelf: Shelf, request: Request, path: ResourcePath, version: str) -> Fields:
        accepted = [kind for kind in _PATCHES if not (shelf.resource.custom and kind == STRATEGIC_PATCH)]
        if request.media_type == _APPLY_PATCH:
            message = "server-side apply is not offered by the demo cluster: use kubectl apply without --server-side"
            raise Refusal(415, "UnsupportedMediaType", message)
        if request.media_type not in accepted:
            if not shelf.resource.custom:
                raise Refusal(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
            listed = ", ".join((*accepted, _APPLY_PATCH))
            message = f"the body of the request was in an unknown format - accepted media types include: {listed}"
            raise Refusal(415, "UnsupportedMediaType", message)
        try:
            patch = orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            raise bad_request(f"error decoding patch: {error}") from error
        return self._cluster.patch(
            shelf.resource.name,
            path.name,
            patch,
            path.namespace or "",
            media_type=request.media_type,
            subresource=path.subresource,
            options=request.options(version, "PatchOptions"),
        )

    def _delete_collection(self, shelf: Shelf, request: Request, namespace: str, version: str) -> bytes:
        resource = shelf.resource
        if resource.name == "namespaces":
            raise method_not_allowed()
        selection = Selection(
            parse_label_selector(request.query.get("labelSelector", "")),
            parse_field_selector(request.query.get("fieldSelector", ""), resource, version),
        )
        objects = shelf.reader.snapshot(namespace if resource.namespaced else None).objects
        keys = [held.key for held in objects if selection.matches(held)]
        options = request.delete_options(version)
        before = str(self._cluster.resource_version)
        deleted = self._cluster.delete_collection(resource.name, keys, options=options)
        metadata = {"resourceVersion": before}
        if resource.custom:
            metadata["continue"] = ""
        else:  # items of built-in lists do not say what they are
            deleted = [{name: obj[name] for name in obj if name not in ("kind", "apiVersion")} for obj in deleted]
        answer = {
            "kind": resource.effective_list_kind,
            "apiVersion": resource.api_version_of(version),
            "metadata": metadata,
            "items": deleted,
        }
        return shelf.encode(answer)

    # -- both -------------------------------------------------------------------------------------------

    def _encoded(self, shelf: Shelf, obj: Fields) -> bytes:
        return shelf.encode(obj) if obj["kind"] == shelf.resource.kind else go_json(obj)

    def _shelf(self, path: ResourcePath) -> tuple[Shelf, ServedVersion] | None:
        found = self._cluster.catalog.resolve(path.group, path.version, path.resource)
        if found is None:
            return None
        entry, served = found
        return self._cluster.shelf(entry.resource.name), served

    async def _authorize(self, request: Request, path: ResourcePath, verb: str) -> None:
        attributes = ResourceAttributes(
            verb=verb,
            group=path.group,
            version=path.version,
            resource=path.resource,
            subresource=path.subresource,
            namespace=path.namespace or "",
            name=path.name,
        )
        decision = await self._users.authorize(request.caller, attributes)
        if isinstance(decision, Deny):
            where = f'in the namespace "{path.namespace}"' if path.namespace else "at the cluster scope"
            what = f"{path.resource}/{path.subresource}" if path.subresource else path.resource
            raise forbidden(
                f'User "{request.caller.user}" cannot {verb} resource "{what}" in API group "{path.group}" {where}',
                resource=path.resource,
                group=path.group,
                name=path.name,
            )

    def _describe(self, scope: Scope) -> tuple[str, str]:
        """Verb and resource identity, for faults; ("get", "") for everything that names no resource."""
        method = scope.get("method", "GET")
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        try:
            path = parse_path(raw_path.partition(b"?")[0])
        except StatusError:
            return "get", ""
        if not isinstance(path, ResourcePath):
            return "get", ""
        resource = f"{path.resource}.{path.group}" if path.group else path.resource
        if method not in _READS:
            return _VERBS.get(method, "get"), resource
        if path.name:
            return "get", resource
        watches = path.watch or is_watch(parse_query(scope.get("query_string", b"")))
        return "watch" if watches else "list", resource


async def _answer(send: Send, code: int, body: bytes, content_type: bytes = b"application/json") -> None:
    start: Message = {
        "type": "http.response.start",
        "status": code,
        "headers": [
            (b"content-type", content_type),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-cache, private"),
        ],
    }
    await send(start)
    await send({"type": "http.response.body", "body": body, "more_body": False})
