"""Whether a request asks to watch: one answer for who guards and counts streams, and for who opens them.

What the two read differently is a stream that nobody counts: ``?%77atch=1``, ``?watch``, ``/w%61tch/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from kubemirror.serve.kubernetes.options import is_watch, parse_query
from kubemirror.serve.kubernetes.path import ResourcePath, parse_path
from kubemirror.serve.status import StatusError


def watches(path: ResourcePath, query: Mapping[str, str]) -> bool:
    """Of a request that has been taken apart."""
    return path.watch or (not path.name and is_watch(query))


def asks_to_watch(raw_path: bytes, query_string: bytes) -> bool:
    """Of one that has not; one that is refused for its path asks for nothing.

    Most name no watch in any spelling: a look at their bytes is all that it costs them.
    """
    if b"watch" not in unquote_to_bytes(raw_path) and b"watch" not in unquote_to_bytes(query_string):
        return False
    try:
        path = parse_path(raw_path)
    except StatusError:
        return False
    return isinstance(path, ResourcePath) and watches(path, parse_query(query_string))
