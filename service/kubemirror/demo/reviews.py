"""TokenReview, SubjectAccessReview and their Self forms, answered from the fixed users."""

from __future__ import annotations

from typing import Any

from kubemirror.access.authorizer import Allow, Caller, PathAttributes, ResourceAttributes
from kubemirror.demo.refusal import Refusal, bad_request, invalid_value
from kubemirror.demo.users import Users

Fields = dict[str, Any]

AUDIENCE = "https://kubernetes.default.svc"
AUTHENTICATION = "authentication.k8s.io"
AUTHORIZATION = "authorization.k8s.io"

# Resource to kind, by group: they can be created and nothing else.
REVIEWS: dict[tuple[str, str], str] = {
    (AUTHENTICATION, "selfsubjectreviews"): "SelfSubjectReview",
    (AUTHENTICATION, "tokenreviews"): "TokenReview",
    (AUTHORIZATION, "localsubjectaccessreviews"): "LocalSubjectAccessReview",
    (AUTHORIZATION, "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    (AUTHORIZATION, "subjectaccessreviews"): "SubjectAccessReview",
}


def review(kind: str, group: str, body: Fields, *, caller: Caller, users: Users, now: str) -> Fields:
    """The review as the API server gives it back. Refusal 400 for another kind, 422 for a review of nobody."""
    if body.get("kind", kind) != kind:
        raise bad_request(f"{body['kind']} cannot be handled as a {kind}")
    spec = body.get("spec") or {}
    metadata: Fields = {}
    match kind:
        case "TokenReview":
            status = _token(spec, users)
        case "SelfSubjectReview":
            metadata = {"creationTimestamp": now}
            status = {"userInfo": _user_info(caller)}
        case "SelfSubjectAccessReview":
            status = _access(caller, spec, users)
        case _:
            if not spec.get("user") and not spec.get("groups"):
                cause = invalid_value("spec.user", "", "at least one of user or group must be specified")
                details = {
                    "group": group,
                    "causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field}],
                }
                raise Refusal(422, "Invalid", f'.{group} "" is invalid: {cause.field}: {cause.message}', details)
            subject = Caller(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()))
            status = _access(subject, spec, users)
    answer = {"kind": kind, "apiVersion": f"{group}/v1", "metadata": metadata}
    if kind != "SelfSubjectReview":
        answer["spec"] = {name: value for name, value in spec.items() if value not in ("", [], {}, None)}
    return {**answer, "status": status}


def _token(spec: Fields, users: Users) -> Fields:
    caller = users.tokens.get(spec.get("token", ""))
    if caller is None:
        return {"user": {}, "error": "invalid bearer token"}
    audiences = spec.get("audiences") or [AUDIENCE]
    if AUDIENCE not in audiences:
        return {"user": {}, "error": "invalid bearer token"}
    return {"authenticated": True, "user": _user_info(caller), "audiences": [AUDIENCE]}


def _access(caller: Caller, spec: Fields, users: Users) -> Fields:
    path = spec.get("nonResourceAttributes")
    resource = spec.get("resourceAttributes")
    attributes: PathAttributes | ResourceAttributes
    if path is not None:
        attributes = PathAttributes(path.get("verb", ""), path.get("path", ""))
    else:
        given = resource or {}
        attributes = ResourceAttributes(
            verb=given.get("verb", ""),
            group=given.get("group", ""),
            version=given.get("version", ""),
            resource=given.get("resource", ""),
            subresource=given.get("subresource", ""),
            namespace=given.get("namespace", ""),
            name=given.get("name", ""),
        )
    return {"allowed": isinstance(users.decide(caller, attributes), Allow)}


def _user_info(caller: Caller) -> Fields:
    info: Fields = {"username": caller.user}
    if caller.uid:
        info["uid"] = caller.uid
    info["groups"] = list(caller.groups)
    if caller.extra:
        info["extra"] = {name: list(values) for name, values in caller.extra.items()}
    return info
