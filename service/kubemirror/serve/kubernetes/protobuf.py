"""The little protobuf that reading needs: kubectl sends its access reviews in it and asks for no other form.

Length-delimited fields are enough (texts and messages inside messages); numbers are skipped. The envelope is
"k8s\\0" and a runtime.Unknown whose field 2 holds the object (apimachinery pkg/runtime/serializer/protobuf).
"""

from __future__ import annotations

MAGIC = b"k8s\x00"
_LENGTH_DELIMITED = 2
_FIXED_BYTES = {1: 8, 5: 4}


def unwrap(body: bytes) -> bytes:
    """The object inside the envelope. Raises ValueError where it is none."""
    if not body.startswith(MAGIC):
        raise ValueError("no Kubernetes protobuf envelope")
    return fields(body[len(MAGIC) :]).get(2, b"")


def fields(message: bytes) -> dict[int, bytes]:
    """The length-delimited fields by number, the last of repeated ones. Raises ValueError when cut short."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, at = _varint(message, at)
            continue
        if wire == _LENGTH_DELIMITED:
            size, at = _varint(message, at)
            found[number] = message[at : at + size]
        elif wire in _FIXED_BYTES:
            size = _FIXED_BYTES[wire]
        else:
            raise ValueError(f"unknown wire type {wire}")
        at += size
        if at > len(message):
            raise ValueError("message is cut short")
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("message is cut short")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
