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
    more: list[tuple[str, str]] = []
    namespaced = len(parts) > 2 or (parts[0] == "versions" and len(parts) > 1)  # in the path
    if grant.namespace and "namespace" not in given and not namespaced:
        more.append(("namespace", grant.namespace))
    if grant.selector and "labelSelector" not in given and len(parts) < 3:
        more.append(("labelSelector", grant.selector))
    if not more:
        return query
    return f"{query}&{urlencode(more)}" if query else urlencode(more)
