"""Frames that are nearly right, wrong, or cut anywhere: a WebSocket goes on or is closed, and is over."""

# ruff: noqa: E501 - tables of odd values

from __future__ import annotations

import json
import re
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.target import SECONDS, Target

pytestmark = pytest.mark.timeout(SECONDS * 20 + 60)
EXAMPLES = int(SECONDS * 25)
PATHS = st.sampled_from(
    ["/watch", "/watch?resource=deployments&as=key", "/apis/apps/v1/deployments?watch=true", "/api/v1/pods?watch=true"]
)
HANDSHAKE = (
    "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(
    ["action", "id", "resource", "namespace", "labelSelector", "fieldSelector", "resourceVersion", "as", "changes", "batch",
     "latest", "snapshot", "onExpired", "holds", "name", "q", "filter", "columns", "sort", "output"]
)  # fmt: skip
WORDS = st.sampled_from(
    [
        "subscribe",
        "unsubscribe",
        "ping",
        "deployments",
        "pods",
        "0",
        "1",
        "object",
        "key",
        "diff",
        "image",
        "true",
        "shop",
        "",
    ]
)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """What a reader may say, about."""
    said = draw(st.dictionaries(KEYS, WORDS | ANYTHING, max_size=5))
    said.setdefault("action", draw(st.sampled_from(["subscribe", "subscribe", "unsubscribe", "ping"])))
    whole = json.dumps(said).encode()
    return draw(st.one_of(st.just(whole), st.just(whole[:-1]), st.binary(max_size=20), st.just(b"[" * 3000)))


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    payload = draw(messages())
    first = draw(st.sampled_from([0x81, 0x81, 0x81, 0x81, 0x01, 0x80, 0x00, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0x83, 0xFF]))
    masked = 0x80 if draw(st.integers(0, 9)) else 0
    size = len(payload)
    lie = draw(st.sampled_from([None] * 12 + [0, 1, 126, 2**16, 2**31, 2**63, 2**64 - 1]))
    told = size if lie is None else lie
    if told < 126:
        head = struct.pack("!BB", first, masked | told)
    elif told < 2**16:
        head = struct.pack("!BBH", first, masked | 126, told)
    else:
        head = struct.pack("!BBQ", first, masked | 127, told)
    if not masked:
        return head + payload
    mask = draw(st.binary(min_size=4, max_size=4))
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


@st.composite
def conversations(draw: st.DrawFn) -> list[bytes]:
    data = b"".join(draw(st.lists(frames(), max_size=6)))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [HANDSHAKE.format(draw(PATHS)).encode(), *pieces]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=SECONDS < 30)
@given(conversations())
def test_no_frames_make_it_fail_stall_or_keep_anything(target: Target, pieces: list[bytes]) -> None:
    said = target.sent(pieces, seconds=0.2)

    assert said.startswith(b"HTTP/1.1 101 ") or said == b""
    assert re.search(rb"InternalError|Traceback|\x88.\x03\xf3", said, re.DOTALL) is None, said  # 1011: a bug
    target.answers()


def test_and_afterwards_it_is_as_before(target: Target) -> None:
    target.unharmed()
