"""The whole service as one ASGI callable: guards, then finished answers, then the Kubernetes API or our routes.

    asked (who, from where)  ->  Host and Origin checks  ->  authentication
      ->  /api, /apis, /openapi, /version     serve/kubernetes
      ->  a finished answer, if its stores have not moved
      ->  our own routes (FastAPI)

Errors of every part come out in one form (rendering.py), and every request is counted once, by route.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from kubemirror.access.audit import Asking, asking
from kubemirror.access.authorizer import ANONYMOUS
from kubemirror.access.presented import Presented
from kubemirror.access.reviewed import SIGN_IN, open_to_all
from kubemirror.errors import KubemirrorError, UnauthenticatedError
from kubemirror.serve import (
    access_log,
    contract,
    health,
    metrics,
    overview,
    refresh,
    resources,
    shortcuts,
    sign_in,
    static,
    status_page,
    versions,
    watch,
    watch_socket,
)
from kubemirror.serve.asked import Asked, asked_of, client_of
from kubemirror.serve.context import Context
from kubemirror.serve.cors import cors_headers, preflight
from kubemirror.serve.embed import PREFIX, origins_of, problem_with
from kubemirror.serve.granted import within, without_identity
from kubemirror.serve.guards import Guards
from kubemirror.serve.kubernetes import websocket
from kubemirror.serve.kubernetes.app import kubernetes_app
from kubemirror.serve.kubernetes.watched import asks_to_watch
from kubemirror.serve.page_policy import page_headers
from kubemirror.serve.paths import without_embed
from kubemirror.serve.problems import problem_of, unknown_path
from kubemirror.serve.rendering import SECURITY, render_error, said_of, send_status
from kubemirror.serve.sending import Headers, send_answer, send_body
from kubemirror.serve.serving import Serving
from kubemirror.serve.single import ambiguity
from kubemirror.serve.status import StatusError, bad_request
from kubemirror.serve.variant import visible
from kubemirror.serve.zipped import zipping

_KUBERNETES = ("api", "apis", "openapi", "version")

VERSION = version("kubemirror")


def application(context: Context) -> Application:
    """Everything a client of this mirror can reach."""
    return Application(Serving(context))


class Application:
    """See the module."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self._context = serving.context
        self._settings = serving.context.settings
        self._kubernetes = kubernetes_app(serving.context)
        self._site = site(serving)
        self._guards = Guards(serving.context)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "lifespan":
                await _lifespan(receive, send)
            case "http":
                await self._http(scope, receive, send)
            case "websocket":
                await self._websocket(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        # These decide whether a request is answered, and never what an answer says.
        client, site_, ambiguous = client_of(scope, self._settings), _site_of(scope), ambiguity(scope)
        if scope["method"] in ("GET", "HEAD"):
            scope = {**scope, "headers": visible(scope["headers"])}
        asked = asked_of(scope, self._settings)
        asked.client, asked.site, asked.ambiguous = client, site_, ambiguous
        scope = _rebased(scope, asked)
        noting = asking.set(_asking(asked, scope, "http"))
        keep = scope.get("extensions", {}).get("kubemirror.keep")  # the fast lane's, where there is one
        code, stream = 500, False
        sent = _Sent()

        async def noted(message: Message) -> None:
            nonlocal code, stream
            if message["type"] == "http.response.body":
                sent.body = message.get("body", b"") if sent.body is None else b""
                sent.whole = sent.whole and not message.get("more_body", False)
            else:
                code = message["status"]
                names = {name for name, _ in message["headers"]}
                stream = code == 200 and b"content-length" not in names
                message = {**message, "headers": [*message["headers"], *self._added(asked, message["headers"])]}
                sent.headers = message["headers"]
            await send(message)

        try:
            await self._dispatch(asked, scope, receive, zipping(asked, noted))
        finally:
            asking.reset(noting)
            route = asked.route or _route_of(scope, asked)
            taken = time.perf_counter() - started
            self.serving.traffic.answered(route, _method(asked.method), code, None if stream else taken)
            if self._settings.access_log:
                access_log.told(asked.peer, asked.method, _target(scope), code, taken, lane="application")
        if keep is not None and asked.validity is not None and sent.whole and not stream and code in (200, 304):
            body = b"" if asked.method == "HEAD" else sent.body or b""
            keep(asked.validity, status=code, headers=sent.headers, body=body, route=route)

    def _added(self, asked: Asked, headers: Headers) -> Headers:
        """What every answer of ours says, every page, and what a page of another origin may read."""
        names = {name for name, _ in headers}
        added = [header for header in SECURITY if header[0] not in names]
        if not ours(asked):
            return added
        added += cors_headers(asked, self._settings.allow_origin)
        if any(name == b"content-type" and value.startswith(b"text/html") for name, value in headers):
            added += page_headers(self._settings.frame_ancestors if asked.embedded is not None else ("self",))
        return added

    async def _dispatch(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        here = ours(asked)
        stream = asked.path == watch.ROUTE if here else asks_to_watch(scope["raw_path"], scope["query_string"])
        try:
            self._guards.check(asked, scope["raw_path"], ours=here, stream=stream)
            if here and (allowed := preflight(asked, self._settings.allow_origin)) is not None:
                await send_body(send, 204, allowed, b"")  # browsers ask without credentials
                return
            if asked.embedded is not None:
                origins = origins_of(self._settings.frame_ancestors, asked.origin)
                if (frame_problem := problem_with(asked.embedded, origins)) is not None:
                    raise frame_problem
            scope = await self._identified(asked, scope, scope["headers"])
            turn = nullcontext() if stream else self.serving.seats.turn(asked)
        except KubemirrorError as error:
            problem = problem_of(error)
            if not asked.embed:
                problem = sign_in.instead(problem, asked, self._context)
            headers, body = render_error(problem, asked, self.serving.pages)
            await send_body(send, problem.code, headers, body)
            return
        with turn:
            if here:
                await self._answer(asked, scope, receive, send)
            elif stream:
                await self._kubernetes_stream(asked, scope, receive, send)
            else:
                await self._kubernetes(scope, receive, send)

    async def _answer(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        if asked.method in ("GET", "HEAD"):
            answer = self.serving.answers.get(asked.variant, asyncio.get_running_loop().time())
            if answer is not None:
                asked.route = answer.route
                await send_answer(answer, asked, send)
                return
            if asked.browser and asked.embedded is None and not open_to_all(asked.path):
                await shortcuts.offer(self._context, asked)
        await self._site(scope, receive, send)

    async def _kubernetes_stream(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """A watch; one that turns out to be refused is counted for a moment."""
        try:
            seat = self.serving.seats.take(asked.client, _route_of(scope, asked), "kubernetes", asked.caller)
        except StatusError as error:
            await send_body(send, error.code, [(b"content-type", b"application/json"), *error.headers], error.body)
            return
        with seat:
            await self._kubernetes(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        code = 500

        async def noted(message: Message) -> None:
            nonlocal code
            match message["type"]:
                case "websocket.accept":
                    code = 101
                case "websocket.http.response.start":
                    code = message["status"]
                    names = {name for name, _ in message["headers"]}
                    missing = [header for header in SECURITY if header[0] not in names]
                    message = {**message, "headers": [*message["headers"], *missing]}
            await send(message)

        asked = asked_of(scope, self._settings)
        asked.client, asked.site = client_of(scope, self._settings), _site_of(scope)
        asked.ambiguous = ambiguity(scope)
        scope = _rebased(scope, asked)
        noting = asking.set(_asking(asked, scope, "websocket"))
        try:
            await self._upgrade(asked, scope, receive, noted)
        finally:
            asking.reset(noting)
            if self._settings.access_log:
                taken = time.perf_counter() - started
                access_log.told(asked.peer, "GET", _target(scope), code, taken, lane="websocket")

    async def _upgrade(self, asked: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            ours = _first_segment(asked.path) not in _KUBERNETES
            self._guards.check(asked, scope["raw_path"], ours=ours, stream=True)
            scope = await self._identified(asked, scope, websocket.with_bearer_token(scope))
        except KubemirrorError as error:
            await receive()
            await send_status(problem_of(error), asked, scope, send)
            return
        if _first_segment(asked.path) in _KUBERNETES:
            try:
                route = _route_of(scope, asked)
                seat = self.serving.seats.take(asked.client, route, "kubernetes-websocket", asked.caller)
            except StatusError as error:
                await receive()
                await send_status(error, asked, scope, send)
                return
            with seat:
                await self._kubernetes(scope, receive, send)
        elif asked.path == watch.ROUTE:
            await watch_socket.websocket(self.serving, asked, scope, receive, send)
        else:
            await receive()
            problem = StatusError(404, "NotFound", f"there is no WebSocket at {asked.path}: it is at /watch")
            await send_status(problem, asked, scope, send)

    async def _identified(self, asked: Asked, scope: Scope, headers: Sequence[tuple[bytes, bytes]]) -> Scope:
        """Find out who asks; the scope as handlers may see it: without the embed token, and within what it opens.

        headers: with the token of an upgrade in its usual place.
        """
        asked.embed, query = without_embed(asked.query)
        try:
            if not asked.embed:
                await self._authenticate(asked, headers)
                return scope
            self._take_embed(asked, query)
        except UnauthenticatedError as error:
            self._context.audit.unauthenticated(str(error))
            raise
        return {**scope, "query_string": asked.query.encode("latin-1"), "headers": without_identity(scope["headers"])}

    def _take_embed(self, asked: Asked, query: str) -> None:
        grants = self._context.grants
        if grants is None:
            raise UnauthenticatedError("embed tokens are not taken here: --embed-key-file says with which key")
        if any(name.startswith("impersonate-") for name in asked.headers):
            raise bad_request("an embed token speaks for one user: it goes with no impersonation")
        asked.caller = grants.caller(asked.embed, asyncio.get_running_loop().time())
        asked.query = within(asked.caller.grant, asked.path, query)

    async def _authenticate(self, asked: Asked, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Find out who asks. Health is told to anyone, whatever they come with and whoever can be asked about it."""
        presented = Presented(headers, asked.peer, asked.certificate, secure=asked.scheme == "https")
        if open_to_all(asked.path) and asked.path != SIGN_IN:
            asked.presented = presented
            return
        try:
            asked.caller = await self._context.authenticator.authenticate(presented)
            signs_in = self._context.sign_in is not None and not presented.bearer_token
            asked.session = signs_in and asked.caller.user != ANONYMOUS.user
        except KubemirrorError as error:
            if asked.path == SIGN_IN:
                return  # whoever signs in need not be anyone yet
            if _first_segment(asked.path) not in _KUBERNETES:
                raise
            asked.refused = error  # said there, in upstream's form
            if isinstance(error, UnauthenticatedError):
                self._context.audit.unauthenticated(str(error))


def _site_of(scope: Scope) -> str:
    """Sec-Fetch-Site, of what is no navigation: whoever is led here by a link reads a page, and is no page's script."""
    told = {name: value for name, value in scope["headers"] if name.startswith(b"sec-fetch-")}
    return "" if told.get(b"sec-fetch-mode") == b"navigate" else told.get(b"sec-fetch-site", b"").decode("latin-1")


def _asking(asked: Asked, scope: Scope, transport: str) -> Asking:
    sent = scope.get("extensions", {}).get("kubemirror.sent")
    client = asked.client or (asked.peer[0] if asked.peer else "")
    facts = Asking(client=client, transport=transport, method=asked.method, path=asked.path)
    if sent is not None:
        facts.sent = sent
    return facts


def _target(scope: Scope) -> str:
    """The request's target as it came, for the log."""
    query = scope["query_string"].decode("latin-1")
    return f"{scope['raw_path'].decode('latin-1')}{'?' if query else ''}{query}"


@dataclass(slots=True)
class _Sent:
    """A response as it was sent. whole: its body came in one piece."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes | None = None
    whole: bool = True


def site(serving: Serving) -> FastAPI:
    """Our own routes, with one form for every error."""
    app = FastAPI(
        title="kubemirror",
        summary="A Kubernetes cluster's state, mirrored in memory, served read-only.",
        version=VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    for room in (
        versions,
        watch,
        resources,
        overview,
        health,
        status_page,
        refresh,
        metrics,
        contract,
        sign_in,
        static,
    ):
        app.include_router(room.routes(serving))

    async def own(request: Request, error: Exception) -> Response:
        if not isinstance(error, KubemirrorError):
            raise error
        return _error(problem_of(error), request)

    async def invalid(request: Request, error: Exception) -> Response:
        errors = error.errors() if isinstance(error, RequestValidationError) else []
        return _error(bad_request(said_of(errors)), request)

    async def unmatched(request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 500
        path = request.scope["kubemirror.asked"].path
        if code == 405:
            allowed = (error.headers or {}) if isinstance(error, HTTPException) else {}
            headers = [(name.lower().encode(), value.encode()) for name, value in allowed.items()]
            posted = "POST" in {name.strip() for name in allowed.get("Allow", "").split(",")}
            why = "use POST" if posted else "this mirror is read-only"
            message = f"{request.method} is not allowed on {path}: {why}"
            return _error(StatusError(405, "MethodNotAllowed", message, headers=headers), request)
        return _error(unknown_path(path, app.openapi()["paths"]), request)

    async def bug(request: Request, error: Exception) -> Response:
        return _error(StatusError(500, "InternalError", "an error of the mirror's own: its log tells more"), request)

    def _error(problem: StatusError, request: Request) -> Response:
        asked = request.scope["kubemirror.asked"]
        problem = sign_in.instead(problem, asked, serving.context)
        headers, body = render_error(problem, asked, serving.pages)
        response = Response(body, status_code=problem.code)
        response.raw_headers = [(b"content-length", b"%d" % len(body)), *headers]
        return response

    app.add_exception_handler(KubemirrorError, own)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, unmatched)
    app.add_exception_handler(Exception, bug)
    return app


def _rebased(scope: Scope, asked: Asked) -> Scope:
    """The scope as everything behind sees it: the base path and what is a frame's are gone."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    raw = raw.partition(b"?")[0]
    base = asked.base.encode()
    if base and (raw == base or raw.startswith(base + b"/")):
        raw = raw[len(base) :] or b"/"
    rebased: Scope = {**scope, "path": asked.path, "raw_path": raw, "root_path": "", "kubemirror.asked": asked}
    if asked.embedded is not None:
        rebased["raw_path"] = raw[len(PREFIX) :] or b"/"
        rebased["query_string"] = asked.query.encode("latin-1")
    return rebased


def ours(asked: Asked) -> bool:
    """Whether it is not the Kubernetes API that is asked."""
    return _first_segment(asked.path) not in _KUBERNETES


def _first_segment(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""


def _route_of(scope: Scope, asked: Asked) -> str:
    """The template of the route that answered: a closed set, whatever is asked."""
    first = _first_segment(asked.path)
    if first in _KUBERNETES:
        return _kubernetes_route(asked.path, first)
    route = scope.get("route")
    template: str | None = getattr(route, "path", None)
    return template or "unmatched"


def _kubernetes_route(path: str, first: str) -> str:
    parts = path.strip("/").split("/")
    if first in ("openapi", "version"):
        return f"/{first}"
    known = ["api", "{version}"] if first == "api" else ["apis", "{group}", "{version}"]
    template = known[: len(parts)]
    rest = parts[len(known) :]
    if len(rest) > 1 and rest[0] == "namespaces":
        named = ["namespaces", "{namespace}", "{resource}", "{name}", "{subresource}"]
        template += named[: len(rest)]
    elif rest:
        template += ["{resource}", "{name}", "{subresource}"][: len(rest)]
    return "/" + "/".join(template)


def _method(method: str) -> str:
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
