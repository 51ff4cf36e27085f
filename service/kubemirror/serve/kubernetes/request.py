"""One request to the Kubernetes API: what every handler needs of it, read from the ASGI scope once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from kubemirror.access.authorizer import Caller
from kubemirror.serve.kubernetes.answer import Headers, Scope, Writing
from kubemirror.serve.kubernetes.options import parse_query
from kubemirror.serve.negotiation import JSON, YAML, negotiate
from kubemirror.serve.variant import PEOPLES_AGENTS

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


@dataclass
class Request:
    """headers: names in lower case, the first of repeated ones. warnings: headers of any answer, errors included."""

    method: str
    raw_path: bytes
    query_string: bytes
    headers: Mapping[bytes, bytes]
    peer: tuple[str, int] | None
    warnings: Headers = ()
    caller: Caller | None = None  # where it is known already: an embed token's

    @classmethod
    def of(cls, scope: Scope) -> Request:
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in headers and name == b"accept":
                headers[name] += b"," + value
            else:
                headers.setdefault(name, value)
        client = scope.get("client")
        root = scope.get("root_path", "").encode()
        asked = scope.get("kubemirror.asked")  # the mirror's own; the demo has none
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
        raw_path = raw_path.split(b"?", 1)[0]
        if root and raw_path.startswith(root + b"/"):
            raw_path = raw_path[len(root) :]
        return cls(
            method=scope.get("method", "GET"),
            raw_path=raw_path,
            query_string=scope["query_string"],
            headers=headers,
            peer=None if client is None else (client[0], client[1]),
            caller=asked.caller if asked is not None and asked.embed else None,
        )

    @cached_property
    def query(self) -> Mapping[str, str]:
        return parse_query(self.query_string)

    @property
    def accept(self) -> str:
        return self.headers.get(b"accept", b"").decode("latin-1")

    @property
    def if_none_match(self) -> str:
        return self.headers.get(b"if-none-match", b"").decode("latin-1")

    def writing(self, *, yaml: bool = False, pretty: bool = False) -> Writing:
        """How an answer is to be written, once its media type is agreed."""
        asked = self.query.get("pretty", "")
        if asked:
            pretty = pretty or asked in _TRUE
        else:
            # Browsers and command line tools get indented answers (apiserver responsewriters/writers.go).
            pretty = pretty or self.headers.get(b"user-agent", b"").decode("latin-1").startswith(PEOPLES_AGENTS)
        encodings = self.headers.get(b"accept-encoding", b"").decode("latin-1")
        gzip = any(part.strip() == "gzip" for part in encodings.split(","))  # upstream knows it without a q only
        return Writing(head=self.method == "HEAD", gzip=gzip, pretty=pretty, yaml=yaml)

    def error_writing(self) -> Writing:
        """How an error is written: by the same Accept without transformations, else as indented JSON."""
        accepted = negotiate(self.accept, (JSON, YAML), lambda _: False)
        if accepted is None:
            return self.writing(pretty=True)
        return self.writing(yaml=accepted.media_type == YAML, pretty=accepted.pretty)
