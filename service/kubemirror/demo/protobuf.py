"""Reads Kubernetes' protobuf: kubectl's typed commands (create deployment, auth whoami) send nothing else.

Only decoding, only into the JSON form, only the messages that can be written here. ``protobuf.json`` holds what the
Go types of k8s.io/api say: per message and field number the JSON name, the type, and flags: r repeated, m map, p
pointer (a zero is a value), i inlined into its parent, o left out when empty. The envelope is apimachinery
pkg/runtime/serializer/protobuf: four magic bytes, then runtime.Unknown.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from kubemirror.errors import KubemirrorError

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_GROUPS = {
    "v1": "core",
    "apps/v1": "apps",
    "autoscaling/v1": "autoscaling",
    "authentication.k8s.io/v1": "authentication",
    "authorization.k8s.io/v1": "authorization",
}


class ProtobufError(KubemirrorError):
    """The bytes are not what they should be, or of a kind that is not written here."""


def decode(body: bytes) -> dict[str, Any]:
    """The object in JSON form, apiVersion and kind included. Raises ProtobufError."""
    if not body.startswith(_MAGIC):
        raise ProtobufError("protobuf: the magic bytes are missing")
    try:
        envelope = dict(_wire(body[len(_MAGIC) :]))
        type_ = {number: value.decode() for number, value in _wire(envelope[1])}
        api_version, kind = type_.get(1, ""), type_.get(2, "")
        group = "meta" if kind == "DeleteOptions" else _GROUPS.get(api_version, "")
        message = f"{group}.{kind}"
        if message not in messages():
            raise ProtobufError(f"protobuf: {api_version} {kind} is not read here")
        return {"kind": kind, "apiVersion": api_version, **_message(message, envelope[2])}
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        raise ProtobufError(f"protobuf: {error}") from error


@cache
def messages() -> dict[str, dict[str, list[str]]]:
    """Per message, per field number: JSON name, type and, unless there are none, flags."""
    table: dict[str, dict[str, list[str]]] = orjson.loads(
        files("kubemirror.demo").joinpath("protobuf.json").read_bytes()
    )
    return table


def _message(name: str, body: bytes) -> dict[str, Any]:
    fields = messages()[name]
    out: dict[str, Any] = {}
    for number, raw in _wire(body):
        field = fields.get(str(number))
        if field is None:
            continue
        json_name, type_ = field[0], field[1]
        flags = field[2] if len(field) > 2 else ""
        if "m" in flags:
            key, value = _entry(type_, raw)
            out.setdefault(json_name, {})[key] = value
        elif "r" in flags:
            out.setdefault(json_name, []).append(_value(type_, raw))
        elif "i" in flags:
            out.update(_value(type_, raw))
        else:
            value = _value(type_, raw)
            if value is not None and ("p" in flags or value not in ("", 0, False, {})):
                out[json_name] = value
    return out


def _entry(type_: str, raw: Any) -> tuple[str, Any]:
    entry = dict(_wire(raw))
    value = entry.get(2, b"" if type_ not in ("int32", "int64", "bool") else 0)
    return entry.get(1, b"").decode(), _value(type_, value)


def _value(type_: str, raw: Any) -> Any:
    match type_:
        case "string":
            return raw.decode()
        case "int32" | "int64" | "int":
            return raw - (1 << 64) if raw >= 1 << 63 else raw
        case "bool":
            return bool(raw)
        case "bytes":
            return b64encode(raw).decode()
        case "time" | "microtime":
            return _time(dict(_wire(raw)), micro=type_ == "microtime")
        case "quantity":
            return dict(_wire(raw)).get(1, b"0").decode()
        case "intstr":
            parts = dict(_wire(raw))
            return parts.get(3, b"").decode() if parts.get(1) else _value("int64", parts.get(2, 0))
        case "raw" | "fields":
            return orjson.loads(dict(_wire(raw)).get(1, b"null"))
        case "stringlist":
            return [item.decode() for _, item in _wire(raw)]
    return _message(type_, raw)


def _time(parts: dict[int, Any], *, micro: bool) -> str | None:
    seconds, nanos = _value("int64", parts.get(1, 0)), parts.get(2, 0)
    if not parts or seconds < 0:
        return None
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{nanos // 1000:06d}Z" if micro else f"{text}Z"


def _wire(body: bytes) -> Iterator[tuple[int, Any]]:
    """Field numbers with their raw values: an int for varints and fixed ones, bytes for the rest."""
    place = 0
    while place < len(body):
        tag, place = _varint(body, place)
        match tag & 7:
            case 0:
                value: Any
                value, place = _varint(body, place)
            case 1:
                value, place = int.from_bytes(body[place : place + 8], "little"), place + 8
            case 2:
                size, place = _varint(body, place)
                if place + size > len(body):
                    raise ValueError("a field is cut short")
                value, place = body[place : place + size], place + size
            case 5:
                value, place = int.from_bytes(body[place : place + 4], "little"), place + 4
            case wire_type:
                raise ValueError(f"unknown wire type {wire_type}")
        yield tag >> 3, value


def _varint(body: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
