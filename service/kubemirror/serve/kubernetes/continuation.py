"""Continue tokens: upstream's format, so that any replica, and upstream itself, can go on with one.

Unpadded base64url of ``{"v":"meta.k8s.io/v1","rv":N,"start":"/namespace/name\\u0000"}`` (apiserver
pkg/storage/continue.go); ``start`` is relative to what is listed. ``rv`` -1 means "go on from the newest
state", an inconsistent list.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

import msgspec

from kubemirror.serve.status import go_json
from kubemirror.state.label_selector import go_quote
from kubemirror.state.objects import Object

NEWEST = -1


class _Wire(msgspec.Struct):
    version: str = msgspec.field(name="v", default="")
    resource_version: int = msgspec.field(name="rv", default=0)
    start: str = ""


_decode = msgspec.json.Decoder(_Wire).decode


@dataclass(frozen=True, slots=True)
class Continuation:
    """Where a list goes on: the first storage key not sent yet, relative to the list, at an RV."""

    resource_version: int  # NEWEST for an inconsistent continuation
    start: str


def storage_key(held: Object, *, inside_namespace: bool) -> str:
    """The key that orders a list, relative to it: ``namespace/name``, or the name alone."""
    return held.name if inside_namespace or not held.namespace else f"{held.namespace}/{held.name}"


def after(held: Object, resource_version: int, *, inside_namespace: bool) -> str:
    """The token that goes on after ``held``."""
    key = storage_key(held, inside_namespace=inside_namespace)
    return _encode(resource_version, f"/{key}\0")


def inconsistent(continuation: Continuation) -> str:
    """The token that goes on at the same place from the newest state."""
    return _encode(NEWEST, f"/{continuation.start}")


def parse(token: str) -> Continuation:
    """Raises ValueError with upstream's text (what stands after "invalid continue token: ")."""
    try:
        text = base64.b64decode(token.encode("ascii") + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
        if "=" in token:
            raise binascii.Error
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("continue key is not valid: illegal base64 data at input byte 0") from None
    try:
        wire = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if text[:1] == b"{":
            raise ValueError(f"continue key is not valid: {error}") from None
        first = _quoted(text[0]) if text else ""
        fault = (
            f"invalid character '{first}' looking for beginning of value" if first else "unexpected end of JSON input"
        )
        raise ValueError(f"continue key is not valid: {fault}") from None
    if wire.version != "meta.k8s.io/v1":
        raise ValueError(f"continue key is not valid: server does not recognize this encoded version {wire.version}")
    if wire.resource_version == 0:
        raise ValueError("continue key is not valid: incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not wire.start:
        raise ValueError("continue key is not valid: encoded start key empty (version meta.k8s.io/v1)")
    start = wire.start.removeprefix("/")
    if any(segment in ("..", ".") for segment in start.rstrip("\0").split("/")):
        raise ValueError(f"continue key is not valid: {wire.start}")
    return Continuation(NEWEST if wire.resource_version < 0 else wire.resource_version, start)


def _quoted(byte: int) -> str:
    """A byte as Go's JSON decoder shows it: as the character of that number."""
    return {"'": "\\'", '"': '"'}.get(chr(byte)) or go_quote(chr(byte))[1:-1]


def _encode(resource_version: int, start: str) -> str:
    text = go_json({"v": "meta.k8s.io/v1", "rv": resource_version, "start": start})
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()
