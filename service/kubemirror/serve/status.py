"""Kubernetes Status bodies, and the errors that become them.

Every answer that is not a success is a ``Status`` (apimachinery pkg/apis/meta/v1/types.go), with the codes,
reasons and texts of apimachinery pkg/api/errors/errors.go. A handler raises a StatusError; the app renders it
once. Key order and escapes are Go's, so that ``kubectl get --raw`` prints the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

import orjson

from kubemirror.access.authorizer import Caller, PathAttributes, RefusedError, ResourceAttributes
from kubemirror.errors import (
    DeniedError,
    ExpiredError,
    ForbiddenError,
    GoneError,
    ImpersonationError,
    KubemirrorError,
    NotSyncedError,
    SelectorError,
    TooLargeResourceVersionError,
    TooManyReviewsError,
    UnauthenticatedError,
    UpstreamUnavailableError,
)

Details = Mapping[str, Any]

# The Status texts of apiserver pkg/storage/etcd3/errors.go.
LIST_EXPIRED = "The resourceVersion for the provided list is too old."
CONTINUE_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
    "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
    "modified, or deleted between the time the first chunk was returned and now may show up in the list."
)


def go_json(value: object, *, sort_keys: bool = False) -> bytes:
    """``value`` as Go's encoder writes it: ``<``, ``>``, ``&`` and the two line separators escaped."""
    body = orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else 0)
    if b"<" in body or b">" in body or b"&" in body:
        body = body.replace(b"<", b"\\u003c").replace(b">", b"\\u003e").replace(b"&", b"\\u0026")
    if b"\xe2\x80" in body:
        body = body.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return body


def status_body(
    code: int,
    reason: str,
    message: str,
    details: Details | None = None,
    *,
    metadata: Mapping[str, Any] | None = None,
    success: bool = False,
) -> bytes:
    """A Status as one line of JSON without the newline. An empty ``reason`` is left out, as upstream does."""
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": dict(metadata or {}),
        "status": "Success" if success else "Failure",
    }
    if message:
        body["message"] = message
    if reason:
        body["reason"] = reason
    if details is not None:
        body["details"] = dict(details)
    body["code"] = code
    return go_json(body)


class StatusError(KubemirrorError):
    """An answer that is an error: its code, reason, message and details, and the headers that go with it."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Details | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.metadata = metadata
        self.headers = tuple(headers)

    @property
    def body(self) -> bytes:
        return status_body(self.code, self.reason, self.message, self.details, metadata=self.metadata)


def details_of(resource: str, group: str, name: str = "") -> dict[str, Any]:
    """details naming an object: upstream puts the *resource* under ``kind`` and leaves out what is empty."""
    details = {"name": name, "group": group, "kind": resource}
    return {key: value for key, value in details.items() if value}


def qualified(resource: str, group: str) -> str:
    return f"{resource}.{group}" if group else resource


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(message: str, *, resource: str = "", group: str = "", name: str = "") -> StatusError:
    """403. ``message`` is what follows "is forbidden:"."""
    if not resource:
        text = f"forbidden: {message}"
    elif name:
        text = f'{qualified(resource, group)} "{name}" is forbidden: {message}'
    else:
        text = f"{qualified(resource, group)} is forbidden: {message}"
    return StatusError(
        403,
        "Forbidden",
        text,
        details_of(resource, group, name),
        headers=[(b"x-content-type-options", b"nosniff")],
    )


def refused(caller: Caller, attributes: ResourceAttributes | PathAttributes, reason: str) -> StatusError:
    """403 for the Authorizer's no, in upstream's words (apiserver pkg/endpoints/handlers/responsewriters/errors.go)."""
    why = f": {reason}" if reason else ""
    if isinstance(attributes, PathAttributes):
        return forbidden(f'User "{caller.user}" cannot {attributes.verb} path "{attributes.path}"{why}')
    resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
    where = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    return forbidden(
        f'User "{caller.user}" cannot {attributes.verb} resource "{resource}" in API group "{attributes.group}" '
        f"{where}{why}",
        resource=attributes.resource,
        group=attributes.group,
        name=attributes.name,
    )


def not_found(resource: str, group: str, name: str) -> StatusError:
    """404 for an object."""
    return StatusError(
        404, "NotFound", f'{qualified(resource, group)} "{name}" not found', details_of(resource, group, name)
    )


def no_such_resource() -> StatusError:
    """404 for a path below a known group that names nothing."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed() -> StatusError:
    """405 for a path that has no such method at all."""
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def not_supported(action: str, resource: str, group: str, why: str = "") -> StatusError:
    """405 for a verb that is not offered on a resource."""
    text = f'{action} is not supported on resources of kind "{qualified(resource, group)}"'
    return StatusError(
        405,
        "MethodNotAllowed",
        f"{text}: {why}" if why else text,
        details_of(resource, group),
    )


def invalid_options(causes: Sequence[tuple[str, str, str]]) -> StatusError:
    """422 for list options; causes are (reason, field, message)."""
    texts = [f"{field}: {message}" for _, field, message in causes]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return StatusError(
        422,
        "Invalid",
        f'ListOptions.meta.k8s.io "" is invalid: {text}',
        {
            "group": "meta.k8s.io",
            "kind": "ListOptions",
            "causes": [{"reason": reason, "message": message, "field": field} for reason, field, message in causes],
        },
    )


def expired(message: str, *, continue_token: str = "") -> StatusError:
    """410, optionally with the token from which an inconsistent list can go on."""
    return StatusError(410, "Expired", message, metadata={"continue": continue_token} if continue_token else None)


def too_large_resource_version(requested: int, current: int) -> StatusError:
    """504 for a resourceVersion ahead of what is held; clients retry after a second."""
    return StatusError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {requested}, current: {current}",
        {
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        },
        headers=[(b"retry-after", b"1")],
    )


def not_ready(seconds_down: float) -> StatusError:
    """429 for a store that is not complete yet; the hint grows with the time it has been so, from 1 to 30 s."""
    hint = int(min(max(exp(0.06 * min(seconds_down, 100.0)), 1.0), 30.0))
    return StatusError(
        429,
        "TooManyRequests",
        "storage is (re)initializing",
        {"retryAfterSeconds": hint},
        headers=[(b"retry-after", b"%d" % hint)],
    )


def unavailable(message: str) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message, headers=[(b"retry-after", b"1")])


def too_many_reviews(message: str) -> StatusError:
    details = {"retryAfterSeconds": 1}
    return StatusError(429, "TooManyRequests", message, details, headers=[(b"retry-after", b"1")])


def from_error(error: KubemirrorError) -> StatusError:
    """The Status of an error that a store, selector or upstream raised."""
    match error:
        case StatusError():
            return error
        case SelectorError():
            return bad_request(str(error))
        case RefusedError():
            return refused(error.caller, error.attributes, error.reason)
        case ImpersonationError():
            return forbidden(str(error))
        case UnauthenticatedError():
            return unauthorized()
        case ForbiddenError() | DeniedError():
            return forbidden(str(error))
        case NotSyncedError():
            return not_ready(0.0)
        case ExpiredError():
            return expired(str(error))
        case GoneError():
            return no_such_resource()
        case TooLargeResourceVersionError():
            return too_large_resource_version(error.requested, error.current)
        case TooManyReviewsError():
            return too_many_reviews(str(error))
        case UpstreamUnavailableError():
            return unavailable(str(error))
        case _:
            return StatusError(500, "InternalError", str(error))
