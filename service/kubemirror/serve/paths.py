"""Which paths of our own are looked at at all, and which query parameters no URL may carry.

A path that two parts of a system read differently has opened other people's doors (CVE-2022-3162, CVE-2019-11247):
what could be read in two ways is refused before anybody is asked whether it may. Kubernetes names need none of it.
Kubernetes paths have rules of their own (kubernetes/path.py): upstream's.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from kubemirror.serve.status import StatusError, bad_request

# URLs stand in logs, histories, bookmarks and Referer headers of everyone between here and a reader.
CREDENTIALS = frozenset({"token", "access_token", "id_token", "refresh_token", "bearer", "authorization"})
# Its own kind of credential, which names what it opens and for how long: hidden in logs, and taken where it stands.
EMBED = "embed"
_PARAMETER = re.compile(r"([^&=]*)=([^&]*)")


def check_path(raw_path: bytes) -> None:
    """Refuse (400) a path of ours that could be read in two ways. raw_path: as it came, without the query."""
    if not raw_path.startswith(b"/"):
        raise bad_request("the path of the request does not begin with /")
    for part in raw_path.removesuffix(b"/").split(b"/")[1:]:
        decoded = unquote_to_bytes(part)
        if not decoded and raw_path not in (b"", b"/"):
            raise StatusError(404, "NotFound", "nothing is at a path that holds //")  # as upstream answers it
        if decoded in (b".", b".."):
            raise bad_request("the path of the request holds a segment of dots")
        if b"/" in decoded or b"\\" in decoded:
            raise bad_request("the path of the request holds an encoded slash, or a backslash")
        if any(byte < 0x20 or byte == 0x7F for byte in decoded):
            raise bad_request("the path of the request holds control characters")
        if b"%" in decoded:
            raise bad_request("the path of the request holds an escape that is malformed, or escaped twice")
        try:
            decoded.decode()
        except UnicodeDecodeError:
            raise bad_request("the path of the request is not UTF-8") from None


def check_query(query: str) -> None:
    """Refuse (400) a credential in the query."""
    if "%" not in query and not any(name in query.lower() for name in CREDENTIALS):
        return
    for name, _ in _PARAMETER.findall(query):
        plain = _plain(name)
        if plain in CREDENTIALS:
            raise credential_refused(plain)


def credential_refused(name: str) -> StatusError:
    return bad_request(
        f'"{name}" is no parameter: URLs end up in logs; send a token as "Authorization: Bearer", and revoke this one'
    )


def without_embed(query: str) -> tuple[str, str]:
    """The embed token in a query ("" for none), and the query without it. Raises 400 where it is given twice."""
    if EMBED not in query.lower() and "%" not in query:
        return "", query
    tokens: list[str] = []
    rest: list[str] = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if _plain(name) == EMBED:
            tokens.append(unquote_to_bytes(value).decode("latin-1"))
        else:
            rest.append(part)
    if len(tokens) > 1:
        raise bad_request("embed is given twice")
    return (tokens[0], "&".join(rest)) if tokens else ("", query)


def scrubbed(target: str) -> str:
    """``target`` (path and query) without the credentials in it: for logs."""
    path, question, query = target.partition("?")
    if not question or ("=" not in query):
        return target
    return path + question + _PARAMETER.sub(_scrub, query)


def _scrub(match: re.Match[str]) -> str:
    name = match[1]
    return f"{name}=[redacted]" if _plain(name) in CREDENTIALS or _plain(name) == EMBED else match[0]


def _plain(name: str) -> str:
    return unquote_to_bytes(name.replace("+", " ")).decode("utf-8", "replace").strip().lower()
