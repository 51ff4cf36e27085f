"""The reviews in which a client asks about itself, answered by the Authorizer.

Dashboards and ``kubectl auth can-i`` ask these before anything else. Reading is decided as for a request; every
other verb is answered with no, because nothing can be written here. A list of all rights is the API server's, for the
caller's own token, less the writing; where that cannot be had it says that it is incomplete, and what to ask instead.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from kubemirror.access.authorizer import (
    Allow,
    AllowNamespaces,
    Authorizer,
    Caller,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
    Rules,
)
from kubemirror.serve.kubernetes import protobuf
from kubemirror.serve.kubernetes.answer import Answer
from kubemirror.serve.negotiation import JSON, PROTOBUF, YAML
from kubemirror.serve.status import StatusError, bad_request, go_json

READ_ONLY = "read-only mirror"
READ_VERBS = ("get", "list", "watch")
KINDS = {
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authorization.k8s.io", "v1", "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
    ("authentication.k8s.io", "v1", "selfsubjectreviews"): "SelfSubjectReview",
}
# Field numbers are the places, from 1 on (api authorization/v1/generated.proto).
_ATTRIBUTES = (
    (1, "resourceAttributes", ("namespace", "verb", "group", "version", "resource", "subresource", "name")),
    (2, "nonResourceAttributes", ("path", "verb")),
)
_SELECTORS = ("fieldSelector", "labelSelector")
_RULES = {"resourceRules": READ_VERBS, "nonResourceRules": ("get",)}
_ONE_BY_ONE = (
    "this mirror cannot have the rights of this caller listed: what is missing here may be allowed all the same,"
    " so ask about one thing, as kubectl auth can-i list pods does"
)
# A review is a few hundred bytes; upstream's own limit is 3 MiB.
MOST_BYTES = 64 * 1024


async def review(
    authorizer: Authorizer, rules: Rules | None, caller: Caller, group: str, kind: str, content_type: str, body: bytes
) -> Answer:
    """The answer (201) to a review of ``kind``. Raises StatusError for a body that cannot be read."""
    spec = _spec(kind, content_type, body)
    head = {"kind": kind, "apiVersion": f"{group}/v1"}
    match kind:
        case "SelfSubjectAccessReview":
            status = await _access(authorizer, caller, spec)
            answer = {**head, "metadata": {}, "spec": _typed(spec), "status": status}
        case "SelfSubjectRulesReview":
            if not _text(spec, "namespace"):
                raise bad_request("no namespace on request")
            status = await _rules(authorizer, rules, caller, _text(spec, "namespace"))
            answer = {**head, "metadata": {}, "spec": {}, "status": status}
        case _:
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            answer = {**head, "metadata": {"creationTimestamp": now}, "status": {"userInfo": _user(caller)}}
    return Answer(201, orjson.dumps(answer))


def _spec(kind: str, content_type: str, body: bytes) -> dict[str, Any]:
    """The review's spec, from JSON or protobuf."""
    media = content_type.split(";", 1)[0].strip().lower()
    if media == PROTOBUF:
        try:
            return _spec_of_protobuf(kind, body)
        except ValueError as error:
            raise bad_request(f"the body of the request is not protobuf: {error}") from error
    if media not in ("", JSON):
        types = f"{JSON}, {YAML}, {PROTOBUF}"
        raise StatusError(
            415,
            "UnsupportedMediaType",
            f"the body of the request was in an unknown format - accepted media types include: {types}",
        )
    if not body:
        fault = "couldn't get version/kind; json parse error: unexpected end of JSON input (<empty>)"
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): {fault}")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"the body of the request is not JSON: {error}") from error
    spec = document.get("spec") if isinstance(document, dict) else None
    return spec if isinstance(spec, dict) else {}


def _spec_of_protobuf(kind: str, body: bytes) -> dict[str, Any]:
    spec = protobuf.fields(protobuf.fields(protobuf.unwrap(body)).get(2, b""))
    if kind != "SelfSubjectAccessReview":
        return {"namespace": spec[1].decode()} if 1 in spec else {}
    read: dict[str, Any] = {}
    for number, name, names in _ATTRIBUTES:
        if number in spec:
            values = protobuf.fields(spec[number])
            read[name] = {field: values[place].decode() for place, field in enumerate(names, 1) if values.get(place)}
    return read


async def _access(authorizer: Authorizer, caller: Caller, spec: dict[str, Any]) -> dict[str, Any]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if isinstance(resource, dict) and not isinstance(path, dict):
        verb = _text(resource, "verb")
        attributes: ResourceAttributes | PathAttributes = ResourceAttributes(
            verb=verb,
            group=_text(resource, "group"),
            version=_text(resource, "version"),
            resource=_text(resource, "resource"),
            subresource=_text(resource, "subresource"),
            namespace=_text(resource, "namespace"),
            name=_text(resource, "name"),
        )
    elif isinstance(path, dict) and not isinstance(resource, dict):
        verb = _text(path, "verb")
        attributes = PathAttributes(verb, _text(path, "path"))
    else:
        raise _not_one(spec)
    if verb not in READ_VERBS:
        return {"allowed": False, "denied": True, "reason": READ_ONLY}
    return _status(await authorizer.authorize(caller, attributes))


def _typed(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec as upstream repeats it: the fields it knows, in its order, without what is empty."""
    typed: dict[str, Any] = {}
    for _, name, names in _ATTRIBUTES:
        given = spec.get(name)
        if isinstance(given, dict):
            kept = {field: _text(given, field) for field in names if _text(given, field)}
            typed[name] = kept | {field: given[field] for field in _SELECTORS if given.get(field)}
    return typed


def _not_one(spec: dict[str, Any]) -> StatusError:
    """422 for a review that asks about nothing, or about two things."""
    path = spec.get("nonResourceAttributes")
    if isinstance(path, dict):
        field = "spec.nonResourceAttributes"
        given = go_json({"Path": _text(path, "path"), "Verb": _text(path, "verb")}).decode()
        fault = f"Invalid value: {given}: cannot be specified in combination with resourceAttributes"
    else:
        field = "spec.resourceAttributes"
        fault = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
    return StatusError(
        422,
        "Invalid",
        f'.authorization.k8s.io "" is invalid: {field}: {fault}',
        {
            "group": "authorization.k8s.io",
            "causes": [{"reason": "FieldValueInvalid", "message": fault, "field": field}],
        },
    )


def _status(decision: Decision) -> dict[str, Any]:
    match decision:
        case Allow():
            return {"allowed": True}
        case Deny(reason=reason):
            return {"allowed": False, "reason": reason} if reason else {"allowed": False}
        case AllowNamespaces():
            return {"allowed": False}


async def _rules(authorizer: Authorizer, rules: Rules | None, caller: Caller, namespace: str) -> dict[str, Any]:
    """What is told as a whole, less what is no reading here; else one rule where everything is allowed, or none."""
    told = await rules.rules(caller, namespace) if rules is not None and caller.grant is None else None
    if told is not None:
        status: dict[str, Any] = {name: _reading(told.get(name), verbs) for name, verbs in _RULES.items()}
        status["incomplete"] = told.get("incomplete") is True
        return {**status, "evaluationError": told["evaluationError"]} if told.get("evaluationError") else status
    asked = [ResourceAttributes(verb, "*", "*", "*", namespace=namespace) for verb in READ_VERBS]
    everything = [isinstance(await authorizer.authorize(caller, each), Allow) for each in asked]
    anywhere = isinstance(await authorizer.authorize(caller, PathAttributes("get", "*")), Allow)
    verbs = [verb for verb, allowed in zip(READ_VERBS, everything, strict=True) if allowed]
    status = {
        "resourceRules": [{"verbs": verbs, "apiGroups": ["*"], "resources": ["*"]}] if verbs else [],
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["*"]}] if anywhere else [],
        "incomplete": not (all(everything) and anywhere),
    }
    return {**status, "evaluationError": _ONE_BY_ONE} if status["incomplete"] else status


def _reading(rules: Any, verbs: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rules that let somebody read, each with those of its verbs that do."""
    kept = []
    for rule in rules if isinstance(rules, list) else ():
        given = rule.get("verbs") or ()
        allowed = list(verbs) if "*" in given else [verb for verb in verbs if verb in given]
        if allowed:
            kept.append({**rule, "verbs": allowed})
    return kept


def _user(caller: Caller) -> dict[str, Any]:
    user: dict[str, Any] = {"username": caller.user}
    if caller.uid:
        user["uid"] = caller.uid
    if caller.groups:
        user["groups"] = list(caller.groups)
    if caller.extra:
        user["extra"] = {name: list(values) for name, values in caller.extra.items()}
    return user


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name, "")
    return value if isinstance(value, str) else ""
