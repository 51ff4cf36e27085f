"""What a request with an embed token may say: what the token opens is asked for where the URL does not."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import parse_qs, urlencode

from kubemirror.access.authorizer import Grant
from kubemirror.serve.variant import FAMILIES, Header

# Of whoever shows the page, and of whoever looks at it: neither decides what the token opens.
_IDENTITY = frozenset({b"authorization", b"cookie", b"x-forwarded-user", b"x-forwarded-groups", b"x-forwarded-email"})
# Ours that take a namespace and a selector in the query.
_VIEWS = ("watch", "versions", "resources")


def without_identity(headers: Iterable[Header]) -> list[Header]:
    """``headers`` without every other credential."""
    return [header for header in headers if header[0] not in _IDENTITY and not header[0].startswith(FAMILIES)]


def within(grant: Grant | None, path: str, query: str) -> str:
    """``query`` with the grant's namespace and selector where it names none, on the paths that take them.

    So the token alone is enough in a URL. What is asked for beyond it stays, and is denied.
    """
    parts = path.removeprefix("/embed").strip("/").split("/")
    if grant is None or parts[0] not in _VIEWS:
        return query
    given = parse_qs(query, keep_blank_values=True)
    more = [(name, value) for name, value in _asked_for(grant, parts).items() if name not in given]
    if not more:
        return query
    return f"{query}&{urlencode(more)}" if query else urlencode(more)


def _asked_for(grant: Grant, parts: list[str]) -> dict[str, str]:
    """What ``grant`` opens, as parameters of the path; what the path names already is none of them."""
    view, *names = parts
    if view == "resources":
        names = names[1:]
    asked: dict[str, str] = {}
    if grant.namespace and not names:
        # A namespace is in none: its list is asked for it by name.
        own = grant.resource == "namespaces"
        asked["fieldSelector" if own else "namespace"] = f"metadata.name={grant.namespace}" if own else grant.namespace
    if grant.selector and len(names) < 2:
        asked["labelSelector"] = grant.selector
    return asked
