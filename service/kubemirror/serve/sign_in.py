"""/-/sign-in and /-/sign-out: how a browser comes to a session in delegated mode.

The token is typed in, checked by the API server, and kept in a cookie that no script can read (access/session.py). A
form of another site cannot sign anyone in or out: both are POSTs that must come from this origin, and browsers always
say where a POST comes from. That is why these two pages, unlike the others, let their origin be told (a page without a
referrer posts from "null").
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qs, quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from kubemirror.access.authorizer import ANONYMOUS
from kubemirror.access.presented import Presented
from kubemirror.access.reviewed import SIGN_IN, SIGN_OUT
from kubemirror.access.session import end_cookie, set_cookie
from kubemirror.errors import UnauthenticatedError, UpstreamUnavailableError
from kubemirror.serve.asked import Asked
from kubemirror.serve.context import Context
from kubemirror.serve.reading import require_path
from kubemirror.serve.routes import get, post
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.serve.status import StatusError, bad_request, forbidden

# A token of 16 kB, percent-encoded, and where to go.
MOST_BYTES = 64 * 1024
# What stands in a URL as it is (RFC 3986): escapes too, so that what is escaped already stays.
_URL = "/?#[]@!$&'()*+,;=:%-._~"
_HEADERS = [(b"cache-control", b"no-store"), (b"referrer-policy", b"same-origin")]
INSECURE = (
    "Signing in needs TLS: the token and the session could be read on the way. The mirror serves it with --tls-cert and"
    " --tls-key; a proxy that ends it must send X-Forwarded-Proto: https, and be named by --trusted-proxies."
)


class SignInQuery(BaseModel):
    """Parameters of the sign-in page."""

    model_config = ConfigDict(populate_by_name=True)

    next_: Annotated[str, Field(alias="next", description="Where to go then: a path here.")] = "/"


def instead(problem: StatusError, asked: Asked, context: Context) -> StatusError:
    """The way to the sign-in page, for a browser that is refused because nobody has signed in; else ``problem``."""
    nobody = problem.code == 401 or (problem.code == 403 and asked.caller.user == ANONYMOUS.user)
    if context.sign_in is None or not nobody or not asked.browser or asked.method not in ("GET", "HEAD"):
        return problem
    target = quote(asked.path) + (f"?{asked.query}" if asked.query else "")
    location = f"{asked.base}{SIGN_IN}?next={quote(target, safe='/')}"
    message = f"{problem.message}: sign in first"
    return StatusError(303, "SeeOther", message, headers=[(b"location", location.encode())])


def routes(serving: Serving) -> APIRouter:
    """/-/sign-in and /-/sign-out, where there is anything to sign in to."""
    context = serving.context
    router = APIRouter()
    if context.sign_in is None:
        return router
    desk = context.sign_in

    def page(asked: Asked, code: int, next_: str, said: str = "") -> Response:
        html = serving.pages.render(
            "sign_in.html",
            asked,
            title="Sign in",
            next=local(next_),
            said=said or ("" if asked.scheme == "https" else INSECURE),
            secure=asked.scheme == "https",
            user="" if asked.caller.user == ANONYMOUS.user else asked.caller.user,
        )
        return _response(code, [], html)

    async def show(asked: AskedHere, query: Annotated[SignInQuery, Query()]) -> Response:
        await require_path(context, asked.caller, asked.path)
        return page(asked, 200, query.next_)

    async def sign_in(asked: AskedHere, request: Request) -> Response:
        await require_path(context, asked.caller, asked.path, verb="post")
        _require_own_origin(asked)
        if asked.scheme != "https":
            raise bad_request(INSECURE)
        form = await _form(request)
        token = "".join(form.get("token", "").split())
        try:
            caller = await desk.tokens.caller(token) if token else None
            if caller is None:
                return page(asked, 400, form.get("next", ""), "Paste a token.")
            value, seconds = desk.sessions.seal(token)
        except UnauthenticatedError:
            return page(asked, 401, form.get("next", ""), "The API server does not accept this token.")
        except UpstreamUnavailableError:
            return page(asked, 503, form.get("next", ""), "The API server cannot be asked about tokens now.")
        except ValueError as error:
            return page(asked, 400, form.get("next", ""), f"{str(error)[0].upper()}{str(error)[1:]}.")
        return _response(303, [(b"location", _to(asked, form.get("next", ""))), set_cookie(value, seconds)])

    async def sign_out(asked: AskedHere) -> Response:
        await require_path(context, asked.caller, asked.path, verb="post")
        _require_own_origin(asked)
        session = desk.sessions.of(Presented([(b"cookie", asked.headers.get("cookie", "").encode("latin-1"))]))
        if session is not None:
            desk.sessions.end(session)
            serving.lane.clear()  # what was answered to its cookie would be given again there for seconds
        return _response(303, [(b"location", _to(asked, SIGN_IN)), end_cookie()])

    get(router, SIGN_IN, show, query=SignInQuery, in_contract=False, response_class=Response)
    post(router, SIGN_IN, sign_in, response_class=Response, include_in_schema=False)
    post(router, SIGN_OUT, sign_out, response_class=Response, include_in_schema=False)
    return router


def local(target: str) -> str:
    """``target`` if it is a path here, else the overview: nobody is led elsewhere by a link to the sign-in page."""
    plain = target.isascii() and target.isprintable() and "\\" not in target
    return target if plain and target.startswith("/") and not target.startswith("//") else "/"


def _to(asked: Asked, target: str) -> bytes:
    return f"{asked.base}{quote(local(target), safe=_URL)}".encode()


def _require_own_origin(asked: Asked) -> None:
    if asked.headers.get("origin") != asked.origin:
        raise forbidden("forms of this origin only may sign anyone in or out")


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise StatusError(413, "RequestEntityTooLarge", f"a form of more than {MOST_BYTES} bytes is none of ours")
    try:
        given = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        raise bad_request("the body is no form") from None
    return {name: values[-1] for name, values in given.items()}


def _response(code: int, headers: list[tuple[bytes, bytes]], html: str = "") -> Response:
    response = Response(html, status_code=code, media_type="text/html; charset=utf-8")
    response.raw_headers += [*_HEADERS, *headers]
    return response
