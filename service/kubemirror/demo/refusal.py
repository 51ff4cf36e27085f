"""What the demo cluster refuses, in the API server's words: one exception, rendered as a Status by the HTTP surface.

Codes, reasons, messages and details are those of a real kube-apiserver (apimachinery pkg/api/errors/errors.go and
pkg/util/validation/field), so that a client cannot tell the difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from kubemirror.errors import KubemirrorError
from kubemirror.state.catalog import Resource


class Refusal(KubemirrorError):  # noqa: N818 - an answer of the API server
    """A request the API server answers with an error Status.

    code: the HTTP status. reason: the Status reason, "" where upstream gives none. details: as in the Status.
    """

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details


@dataclass(frozen=True, slots=True)
class Cause:
    """One field that is wrong; ``reason`` as in metav1.CauseType, ``message`` without the field."""

    field: str
    reason: str
    message: str


def required(field: str, detail: str = "") -> Cause:
    return Cause(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def invalid_value(field: str, value: Any, detail: str) -> Cause:
    return Cause(field, "FieldValueInvalid", f"Invalid value: {orjson.dumps(value).decode()}: {detail}")


def type_invalid(field: str, found: str, wanted: str) -> Cause:
    message = f'Invalid value: "{found}": {field} in body must be of type {wanted}: "{found}"'
    return Cause(field, "FieldValueTypeInvalid", message)


def unsupported(field: str, value: Any, supported: Sequence[str]) -> Cause:
    names = ", ".join(f'"{name}"' for name in supported)
    message = f"Unsupported value: {orjson.dumps(value).decode()}: supported values: {names}"
    return Cause(field, "FieldValueNotSupported", message)


def forbidden_value(field: str, detail: str) -> Cause:
    return Cause(field, "FieldValueForbidden", f"Forbidden: {detail}")


def _details(resource: Resource, name: str) -> dict[str, Any]:
    details = {"name": name, "group": resource.group, "kind": resource.plural}
    return {field: value for field, value in details.items() if value}


def not_found(resource: Resource, name: str) -> Refusal:
    return Refusal(404, "NotFound", f'{resource.name} "{name}" not found', _details(resource, name))


def already_exists(resource: Resource, name: str) -> Refusal:
    return Refusal(409, "AlreadyExists", f'{resource.name} "{name}" already exists', _details(resource, name))


def conflict(resource: Resource, name: str, why: str) -> Refusal:
    message = f'Operation cannot be fulfilled on {resource.name} "{name}": {why}'
    return Refusal(409, "Conflict", message, _details(resource, name))


def modified(resource: Resource, name: str) -> Refusal:
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def forbidden(resource: Resource, name: str, why: str, causes: Sequence[Cause] = ()) -> Refusal:
    details = _details(resource, name)
    if causes:
        details["causes"] = _causes(causes)
    return Refusal(403, "Forbidden", f'{resource.name} "{name}" is forbidden: {why}', details)


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> Refusal:
    """422 as NewInvalid makes it; several causes are told in brackets, in the order found."""
    told = [f"{cause.field}: {cause.message}" for cause in causes]
    listed = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    qualified = f"{kind}.{group}" if group else kind
    details: dict[str, Any] = {"name": name, "group": group, "kind": kind}
    details = {field: value for field, value in details.items() if value}
    details["causes"] = _causes(causes)
    return Refusal(422, "Invalid", f'{qualified} "{name}" is invalid: {listed}', details)


def _causes(causes: Sequence[Cause]) -> list[dict[str, str]]:
    return [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
