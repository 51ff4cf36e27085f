"""The query parameters of get, list and watch: parsed, defaulted and validated as upstream does.

Sources: apimachinery pkg/apis/meta/v1 (conversion from url.Values), pkg/apis/meta/internalversion/defaults.go
and validation/validation.go. The first of repeated parameters wins; unknown ones are ignored. The order of the
checks is upstream's, because only the first failure is told.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from kubemirror.serve.status import StatusError, bad_request, invalid_options

_INT64 = 1 << 63
_UINT64 = 1 << 64
_DURATION_UNITS = frozenset({"ns", "us", "µs", "μs", "ms", "s", "m", "h"})
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]*)?|\.[0-9]+")
_DIGITS = re.compile(r"[+-]?[0-9]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")

EXACT = "Exact"
NOT_OLDER_THAN = "NotOlderThan"


def parse_query(query_string: bytes) -> dict[str, str]:
    """The first value of each parameter. What Go's url.ParseQuery finds malformed is as if it were not there."""
    text = query_string.decode("latin-1")
    if ";" in text or _BAD_ESCAPE.search(text):
        text = "&".join(part for part in text.split("&") if ";" not in part and not _BAD_ESCAPE.search(part))
    values: dict[str, str] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        values.setdefault(name, value)
    return values


@dataclass(frozen=True, slots=True)
class ListOptions:
    """meta.k8s.io ListOptions. resource_version stays text: "" and "0" mean different things."""

    label_selector: str = ""
    field_selector: str = ""
    watch: bool = False
    allow_watch_bookmarks: bool = False
    resource_version: str = ""
    resource_version_match: str = ""
    timeout_seconds: int | None = None
    limit: int = 0
    continue_token: str = ""
    send_initial_events: bool | None = None


def list_options(query: Mapping[str, str], *, watch: bool = False) -> ListOptions:
    """Parse; raises StatusError (400) for numbers that are none. ``watch``: the path already says so."""
    return ListOptions(
        label_selector=query.get("labelSelector", ""),
        field_selector=query.get("fieldSelector", ""),
        watch=watch or is_watch(query),
        allow_watch_bookmarks=_true(query.get("allowWatchBookmarks")) or False,
        resource_version=query.get("resourceVersion", ""),
        resource_version_match=query.get("resourceVersionMatch", ""),
        timeout_seconds=_int64(query.get("timeoutSeconds")),
        limit=_int64(query.get("limit")) or 0,
        continue_token=query.get("continue", ""),
        send_initial_events=_true(query.get("sendInitialEvents")),
    )


def is_watch(query: Mapping[str, str]) -> bool:
    """Whether a collection's query asks to watch: anything but "0" and "false"."""
    return _true(query.get("watch")) or False


def validate_list(options: ListOptions) -> None:
    """422 for combinations that make no sense on a LIST."""
    causes: list[tuple[str, str, str]] = []
    match = options.resource_version_match
    if match:
        if not options.resource_version:
            causes.append(
                _forbidden(
                    "resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided"
                )
            )
        if options.continue_token:
            causes.append(
                _forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
            )
        if match not in (EXACT, NOT_OLDER_THAN):
            causes.append(_unsupported("resourceVersionMatch", match, (EXACT, NOT_OLDER_THAN, "")))
        if match == EXACT and options.resource_version == "0":
            causes.append(
                _forbidden("resourceVersionMatch", 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
            )
    if options.send_initial_events is not None:
        causes.append(_forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if causes:
        raise invalid_options(causes)


def validate_watch(options: ListOptions) -> bool:
    """422 for combinations that make no sense on a WATCH; whether the present state is to be sent first.

    A watch from "" or "0" that says nothing else starts with the present state (defaults.go).
    """
    match, initial = options.resource_version_match, options.send_initial_events
    if initial is None and not match and options.resource_version in ("", "0"):
        initial, match = True, NOT_OLDER_THAN
    causes: list[tuple[str, str, str]] = []
    if initial is not None and match != NOT_OLDER_THAN:
        causes.append(
            _forbidden(
                "resourceVersionMatch", f"sendInitialEvents requires setting resourceVersionMatch to {NOT_OLDER_THAN}"
            )
        )
    if match:
        if initial is None:
            causes.append(
                _forbidden(
                    "resourceVersionMatch",
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
                )
            )
        if match != NOT_OLDER_THAN:
            causes.append(_unsupported("resourceVersionMatch", match, (NOT_OLDER_THAN,)))
        if options.continue_token:
            causes.append(
                _forbidden("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided")
            )
    if causes:
        raise invalid_options(causes)
    return bool(initial)


def resource_version(text: str, *, listing: bool) -> int:
    """The number of a resourceVersion, 0 for "". A malformed one is 400 on a LIST and 500 elsewhere."""
    if not text:
        return 0
    if text.isascii() and text.isdigit():
        value = int(text)
        if value < _UINT64:
            return value
        fault = "value out of range"
    else:
        fault = "invalid syntax"
    message = f'resourceVersion: Invalid value: "{text}": strconv.ParseUint: parsing "{text}": {fault}'
    if listing:
        raise bad_request(f"invalid resource version: {message}")
    raise StatusError(500, "", message)


def check_timeout(query: Mapping[str, str]) -> None:
    """400 for a ``timeout`` that is no Go duration (filters/request_deadline.go); its value is not used."""
    text = query.get("timeout", "")
    if text:
        fault = _duration_fault(text)
        if fault:
            raise bad_request(f"invalid timeout specified in the request URL - time: {fault}")


def _duration_fault(text: str) -> str:
    rest = text[1:] if text[0] in "+-" else text
    if rest == "0":
        return ""
    if not rest:
        return f'invalid duration "{text}"'
    while rest:
        number = _NUMBER.match(rest)
        if number is None:
            return f'invalid duration "{text}"'
        rest = rest[number.end() :]
        unit = re.match(r"[^0-9.]*", rest)
        name = unit.group() if unit is not None else ""
        if not name:
            return f'missing unit in duration "{text}"'
        if name not in _DURATION_UNITS:
            return f'unknown unit "{name}" in duration "{text}"'
        rest = rest[len(name) :]
    return ""


def _true(value: str | None) -> bool | None:
    """apimachinery's conversion of a string to a bool: only "0" and "false" are no."""
    return None if value is None else value.lower() not in ("0", "false")


def _int64(value: str | None) -> int | None:
    if value is None:
        return None
    if not _DIGITS.fullmatch(value):
        raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax')
    number = int(value)
    if not -_INT64 <= number < _INT64:
        raise bad_request(f'strconv.ParseInt: parsing "{value}": value out of range')
    return number


def _forbidden(field: str, message: str) -> tuple[str, str, str]:
    return "FieldValueForbidden", field, f"Forbidden: {message}"


def _unsupported(field: str, value: str, supported: tuple[str, ...]) -> tuple[str, str, str]:
    names = ", ".join(f'"{name}"' for name in supported)
    return "FieldValueNotSupported", field, f'Unsupported value: "{value}": supported values: {names}'
