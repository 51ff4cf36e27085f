"""A request that writes, read from its ASGI scope: where it goes, who sends it, what it carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from kubemirror.access.authorizer import Caller
from kubemirror.demo.options import DeleteOptions, Options
from kubemirror.demo.protobuf import MEDIA_TYPE as PROTOBUF
from kubemirror.demo.protobuf import ProtobufError, decode
from kubemirror.demo.refusal import Refusal, bad_request, invalid, unsupported
from kubemirror.serve.kubernetes.options import parse_query
from kubemirror.serve.kubernetes.path import Path, parse_path

# The API server's own limit for request bodies.
MOST_BYTES = 3 * 1024 * 1024
_BODIES = f"application/json, application/yaml, {PROTOBUF}"


@dataclass(frozen=True, slots=True)
class Request:
    """headers: names in lower case. query: the first value of each parameter. body: as sent."""

    method: str
    path: Path
    query: Mapping[str, str]
    headers: Mapping[bytes, bytes]
    caller: Caller
    body: bytes

    @property
    def media_type(self) -> str:
        """Of the body, without parameters."""
        return self.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()

    @property
    def manager(self) -> str:
        """The field manager: as asked, else the User-Agent up to its first slash (apiserver handlers/create.go)."""
        agent = self.headers.get(b"user-agent", b"").decode("latin-1")
        return self.query.get("fieldManager") or agent.partition("/")[0][:128] or "unknown"

    def decoded(self, kind: str) -> dict[str, Any]:
        """The object in the body. Refusal 400 where it is none, 415 for a media type that is not read."""
        value: Any
        match self.media_type:
            case "application/json" | "":
                try:
                    value = orjson.loads(self.body)
                except orjson.JSONDecodeError as error:
                    raise self._unrecognized(kind, f"json parse error: {error}") from error
            case "application/yaml":
                try:
                    value = yaml.safe_load(self.body)
                except yaml.YAMLError as error:
                    raise self._unrecognized(kind, f"yaml parse error: {error}") from error
            case media_type if media_type == PROTOBUF:
                try:
                    value = decode(self.body)
                except ProtobufError as error:
                    raise self._unrecognized(kind, str(error)) from error
            case _:
                message = f"the body of the request was in an unknown format - accepted media types include: {_BODIES}"
                raise Refusal(415, "UnsupportedMediaType", message)
        if not isinstance(value, dict):
            raise self._unrecognized(kind, "json parse error: not an object")
        return value

    def _unrecognized(self, kind: str, why: str) -> Refusal:
        shown = self.body[:30].decode(errors="replace")
        return bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; {why} ({shown})"
        )

    def options(self, version: str, what: str) -> Options:
        """what: CreateOptions, UpdateOptions or PatchOptions, for the refusal of a wrong one."""
        return Options(
            manager=self.manager,
            dry_run=_dry_run(self.query.get("dryRun", ""), what),
            version=version,
            strict=self.query.get("fieldValidation", "") == "Strict",
        )

    def delete_options(self, version: str) -> DeleteOptions:
        """From the body where there is one, else from the query."""
        given: dict[str, Any] = self.decoded("DeleteOptions") if self.body.strip() else {}
        preconditions = given.get("preconditions") or {}
        propagation = given.get("propagationPolicy") or self.query.get("propagationPolicy") or "Background"
        if given.get("orphanDependents") is True or self.query.get("orphanDependents") == "true":
            propagation = "Orphan"
        if propagation not in ("Foreground", "Background", "Orphan"):
            supported = ("Foreground", "Background", "Orphan", "nil")
            raise _invalid_options("DeleteOptions", "propagationPolicy", propagation, supported)
        grace = given.get("gracePeriodSeconds", self.query.get("gracePeriodSeconds"))
        dry_run = "".join(given.get("dryRun") or ()) or self.query.get("dryRun", "")
        return DeleteOptions(
            propagation=propagation,
            grace=None if grace is None else int(grace),
            uid=preconditions.get("uid"),
            resource_version=preconditions.get("resourceVersion"),
            dry_run=_dry_run(dry_run, "DeleteOptions"),
            version=version,
        )


async def read_request(scope: Mapping[str, Any], receive: Callable[[], Awaitable[Any]], caller: Caller) -> Request:
    """Read it whole. Refusal 413 beyond MOST_BYTES; StatusError for a path that is refused outright."""
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ConnectionResetError("the client left before its request was complete")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_BYTES:
            message_text = f"Request entity is too large: limit is {MOST_BYTES}"
            raise Refusal(413, "RequestEntityTooLarge", message_text)
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    return Request(
        method=scope["method"],
        path=parse_path(raw_path.partition(b"?")[0]),
        query=parse_query(scope["query_string"]),
        headers=dict(scope["headers"]),
        caller=caller,
        body=bytes(body),
    )


def _dry_run(value: str, what: str) -> bool:
    if value not in ("", "All"):
        raise _invalid_options(what, "dryRun", [value], ("All",))
    return value == "All"


def _invalid_options(kind: str, field: str, value: Any, supported: tuple[str, ...]) -> Refusal:
    return invalid("meta.k8s.io", kind, "", [unsupported(field, value, supported)])
