"""As much OpenAPI v3 as kubectl reads before it writes: which operations take ``fieldValidation``.

With it kubectl leaves validation to the server (create, apply, replace); without it, it would want the whole schema
of every kind. Custom resources' documents carry their schemas, so ``kubectl explain`` works on them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from kubemirror.demo.shelf import Shelf

Fields = dict[str, Any]

_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}, "description": description}
    for name, description in (
        ("dryRun", "When present, indicates that modifications should not be persisted."),
        ("fieldManager", "fieldManager is a name associated with the actor making these changes."),
        ("fieldValidation", "fieldValidation tells the server what to do with unknown or duplicate fields."),
    )
]
_VERBS = {"get": "get", "put": "put", "patch": "patch", "delete": "delete"}


def index(shelves: Mapping[str, Shelf]) -> Fields:
    """/openapi/v3: every group version with the URL of its document, a hash of its content inside."""
    paths: Fields = {}
    for shelf in shelves.values():
        for served in shelf.resource.versions:
            path = _path(shelf, served.name)
            if path not in paths:
                paths[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={hash_of(document(shelves, path))}"}
    return {"paths": paths}


def hash_of(content: Fields | None) -> str:
    """The hash in the index, which is the document's ETag too."""
    return hashlib.sha512(orjson.dumps(content)).hexdigest().upper()


def document(shelves: Mapping[str, Shelf], path: str) -> Fields | None:
    """/openapi/v3/{path} for ``apis/apps/v1`` or ``api/v1``; None where nothing is served there."""
    paths: Fields = {}
    schemas: Fields = {}
    for shelf in shelves.values():
        resource = shelf.resource
        for served in resource.versions:
            if _path(shelf, served.name) != path:
                continue
            gvk = {"group": resource.group, "version": served.name, "kind": resource.kind}
            schema = f"{'.'.join(reversed(resource.group.split('.'))) or 'core'}.{served.name}.{resource.kind}"
            schemas[schema] = {
                "type": "object",
                **shelf.schemas.get(served.name, {}),
                "x-kubernetes-group-version-kind": [gvk],
            }
            where = f"/{path}/namespaces/{{namespace}}" if resource.namespaced else f"/{path}"
            collection = {verb: _operation(action, gvk, schema) for verb, action in (("get", "list"), ("post", "post"))}
            paths[f"{where}/{resource.plural}"] = collection
            paths[f"{where}/{resource.plural}/{{name}}"] = {
                verb: _operation(action, gvk, schema) for verb, action in _VERBS.items()
            }
    if not paths:
        return None
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "demo"},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def _path(shelf: Shelf, version: str) -> str:
    return f"apis/{shelf.resource.group}/{version}" if shelf.resource.group else f"api/{version}"


def _operation(action: str, gvk: Fields, schema: str) -> Fields:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk,
        **({"parameters": _PARAMETERS} if action in ("post", "put", "patch") else {}),
    }
