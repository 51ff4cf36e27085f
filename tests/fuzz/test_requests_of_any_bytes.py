"""Requests that are nearly right, wrong, split anywhere, and no requests at all: each is answered or cut, and is over."""

# ruff: noqa: E501 - tables of odd values

from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.target import SECONDS, Target

pytestmark = pytest.mark.timeout(SECONDS * 20 + 60)

# About sixty a second, probes in between.
EXAMPLES = int(SECONDS * 60)
ODD = ["\x00", "\r", "\n", "%00", "%2e%2e", "%2f", "//", "..", "\xff", "%ff", "%zz", "%", "?", "#", "&", "=", ";", " ", "\t", "{", "[", "\u2028", "é", "%F0%9F%92%A9"]  # fmt: skip
SEGMENTS = st.sampled_from(
    ["api", "apis", "v1", "apps", "namespaces", "shop", "default", "deployments", "deployments.apps", "pods", "web", "watch",
     "versions", "resources", "-", "status", "openapi.json", "metrics", "livez", "healthz", "static", "refresh", "openapi",
     "v2", "v3", "version", "embed", "sign-in", "", "a" * 300]
)  # fmt: skip
NAMES = st.sampled_from(
    ["resource", "namespace", "labelSelector", "fieldSelector", "q", "filter", "sort", "columns", "group", "limit",
     "continue", "output", "as", "changes", "batch", "latest", "snapshot", "onExpired", "holds", "resourceVersion",
     "resourceVersionMatch", "watch", "allowWatchBookmarks", "sendInitialEvents", "timeoutSeconds", "wide", "verbose",
     "pretty", "timeout", "export", "embed", "name", "hash", "token"]
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        ["1", "0", "-1", "true", "false", "deployments", "pods", "nope", "app=web", "app in (a,b)", "!x", "a==b", "metadata.name=web",
         "NotOlderThan", "Exact", "json", "yaml", "table", "html", "ndjson", "sse", "csv", "object", "row", "diff", "version",
         "9" * 30, "deployments.apps=1;pods=2", "Name", "-Name", "Age>1h", "Ready=1/1", "eyJ2IjoxfQ", "name,", "image,scale", ""]
    ),
    st.text(max_size=30),
)  # fmt: skip
FIELDS = st.sampled_from(
    ["Host", "Accept", "Accept-Encoding", "If-None-Match", "User-Agent", "Origin", "Authorization", "Cookie", "Last-Event-ID",
     "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "Content-Length", "Transfer-Encoding",
     "Connection", "Upgrade", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Protocol", "Expect", "Range",
     "Content-Type", "Impersonate-User", "X-Remote-User", "Sec-Fetch-Site", "Te", "X"]
)  # fmt: skip
FIELD_VALUES = st.one_of(
    st.sampled_from(
        ["localhost", "127.0.0.1", "evil.example", "*/*", "text/html", "application/json;as=Table;v=v1;g=meta.k8s.io",
         "application/yaml", "application/vnd.kubernetes.protobuf", "text/event-stream", "gzip", "identity;q=0", "*", 'W/"x"',
         "curl/8", "http://localhost", "null", "Bearer x", "Basic eDp5", "0", "5", "99999999999", "-1", "chunked", "close",
         "keep-alive", "Upgrade", "websocket", "dGhlIHNhbXBsZSBub25jZQ==", "13", "v1", "100-continue", "bytes=0-1", "h2c",
         "base64url.bearer.authorization.k8s.io.eA, v1", "a" * 5000, "cross-site"]
    ),
    st.text(alphabet=st.characters(max_codepoint=255), max_size=40),
)  # fmt: skip
METHODS = st.sampled_from(["GET", "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW", "get", ""])  # fmt: skip


@st.composite
def targets(draw: st.DrawFn) -> str:
    segments = draw(st.lists(st.one_of(SEGMENTS, SEGMENTS, st.sampled_from(ODD), st.text(max_size=8)), max_size=7))
    query = "&".join(f"{name}={value}" for name, value in draw(st.lists(st.tuples(NAMES, VALUES), max_size=4)))
    return f"/{'/'.join(segments)}{'?' if query else ''}{query}"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Mostly well-formed; spaces and the like are escaped as often as not."""
    target = draw(targets())
    if draw(st.booleans()):
        target = re.sub(
            r"[\s\x00-\x20\x7f-\U0010ffff]",
            lambda found: "".join(f"%{byte:02x}" for byte in found[0].encode("utf-8", "surrogatepass")),
            target,
        )
    fields = draw(st.lists(st.tuples(FIELDS, FIELD_VALUES), max_size=6))
    if draw(st.integers(0, 9)):
        fields = [("Host", "localhost"), *(field for field in fields if field[0] != "Host")]
    line = f"{draw(METHODS)} {target} HTTP/{draw(st.sampled_from(['1.1', '1.1', '1.1', '1.0', '2.0', '']))}"
    head = "\r\n".join([line, *(f"{name}: {value}" for name, value in fields), "", ""])
    body = draw(
        st.one_of(st.just(b""), st.binary(max_size=60), st.just(b'{"kind":"SelfSubjectAccessReview","spec":{}}'))
    )
    return head.encode("latin-1", "replace") + body


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    """Some requests, spoiled in places, in pieces that end anywhere."""
    data = bytearray(b"".join(draw(st.lists(requests(), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        data[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    return [bytes(data[start:end]) for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=SECONDS < 30)
@given(conversations())
def test_no_bytes_make_it_fail_stall_or_keep_anything(target: Target, pieces: list[bytes]) -> None:
    said = target.sent(pieces)

    assert re.search(rb"^HTTP/1\.1 500 ", said, re.MULTILINE) is None, said
    assert b"Traceback" not in said
    target.answers()


def test_and_afterwards_it_is_as_before(target: Target) -> None:
    target.unharmed()
