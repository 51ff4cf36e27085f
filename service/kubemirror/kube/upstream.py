"""The few things others may ask of the API server, with what keeps them few: caches, single flight, bounds.

Documents (/version, /openapi/...) are kept by path and form, asked again with their ETag after a while, and
served as they were when the API server cannot be asked. Reviews are only passed on, so many at a time: access/ knows
how long their answers hold. The current resourceVersion is never kept, but those who ask at the same time share one
answer that is not older than any of their questions.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from kubemirror.errors import ReviewRefusedError, UnauthenticatedError, UpstreamUnavailableError
from kubemirror.flight import Flights
from kubemirror.kube.reflector import is_mirror
from kubemirror.kube.transport import Response, Transport, TransportError
from kubemirror.kube.wire import WireError, identities
from kubemirror.state.catalog import Resource
from kubemirror.state.store import DIGEST_MODULUS, identity_digest
from kubemirror.state.upstream import Document, Refresh

# The only documents that are passed on: nothing a reader writes may reach another path upstream.
_DOCUMENT = re.compile(r"/version|/openapi/v2|/openapi/v3(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)*")

# A held document is believed this long before it is revalidated; a CRD's new schema is seen no later.
FRESH_SECONDS = 10.0
# A reader who names a hash we do not hold may have seen a newer index: ask again, but not more often than this.
HASH_SECONDS = 1.0
# All documents together: /openapi/v2 is about 5 MB of JSON, the v3 documents of a large cluster 20 MB.
DOCUMENT_BYTES = 64 * 1024 * 1024
# At most this many documents are asked for at a time: they are the most expensive answers upstream has.
DOCUMENT_REQUESTS = 4
# The API server's own limit for a request is 60 s; a merged OpenAPI document takes it seconds.
DOCUMENT_SECONDS = 30.0
# At most so many reviews are asked for at a time (--max-reviews); the others wait, within the same limit.
REVIEW_REQUESTS = 32
REVIEW_SECONDS = 10.0
REVIEW_BYTES = 1024 * 1024
CURRENT_SECONDS = 10.0
CURRENT_BYTES = 1024 * 1024
# Thousands that come from a replica that was ahead share one question, and there are two in a second at most.
GATHER_SECONDS = 0.5
# Of a page of metadata: an object's is 1 to 4 kB, managedFields included; client-go's page size.
DIGEST_PAGE = 500
DIGEST_BYTES = 16 * 1024 * 1024

_METADATA_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


@dataclass(slots=True)
class _Held:
    document: Document
    checked: float  # clock seconds of the last answer about it


@dataclass(frozen=True, slots=True)
class _Newest:
    """A list's resourceVersion. of_mirror: it is what a mirror knows, and not what there is."""

    version: int
    of_mirror: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


class ApiServer:
    """Implements state.upstream.Upstream over a Transport; refresh is passed to ``refresh``."""

    def __init__(
        self,
        transport: Transport,
        refresh: Refresh,
        *,
        clock: Callable[[], float] = time.monotonic,
        reviews: int = REVIEW_REQUESTS,
    ) -> None:
        """clock: seconds, monotonic. reviews: so many at a time."""
        self._transport = transport
        self._refresh = refresh
        self._clock = clock
        self._documents: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._document_bytes = 0
        self._document_slots = asyncio.Semaphore(DOCUMENT_REQUESTS)
        self._fetching = Flights[Document]("fetch document", ended=_ended)
        self._review_slots = asyncio.Semaphore(reviews)
        self._asking = Flights[int]("current resourceVersion", ended=_ended)
        self._looking = Flights[_Newest]("horizon", ended=_ended)
        self._summing = Flights[int]("digest", ended=_ended)
        self._refreshing = Flights[list[str]]("refresh", ended=_ended)

    async def close(self) -> None:
        """End what is under way."""
        for flights in (self._fetching, self._asking, self._looking, self._summing, self._refreshing):
            await flights.close()

    # -- Documents ----------------------------------------------------------------------------------

    async def fetch(self, path: str, *, query: str = "", accept: str = "application/json") -> Document:
        """As Documents.fetch. Only ``hash`` of ``query`` means anything: the content a reader expects.

        A 404 Document for every path that is not one of the API server's documents.
        """
        if not _DOCUMENT.fullmatch(path):
            return _not_found(path)
        key = (path, " ".join(accept.split()) or "application/json")
        held = self._documents.get(key)
        if held is not None:
            self._documents.move_to_end(key)
            age = self._clock() - held.checked
            expected = dict(parse_qsl(query)).get("hash")
            current = expected is None or expected == held.document.etag.removeprefix("W/").strip('"')
            if age < (FRESH_SECONDS if current else HASH_SECONDS):
                return held.document
        return await self._fetching.join(key, lambda: self._fetch(key))

    async def _fetch(self, key: tuple[str, str]) -> Document:
        path, accept = key
        held = self._documents.get(key)
        headers = {"accept": accept}
        if held is not None and held.document.etag:
            headers["if-none-match"] = held.document.etag
        try:
            async with self._document_slots:
                answer = await self._ask("GET", path, headers=headers, seconds=DOCUMENT_SECONDS, limit=DOCUMENT_BYTES)
            if answer.status == 429 or answer.status >= 500:
                raise UpstreamUnavailableError(f"the API server answered {path} with status {answer.status}")
        except UpstreamUnavailableError:
            if held is None:
                raise
            # Stale, but asked for again only after a while: an outage must not make every reader wait.
            held.checked = self._clock()
            return held.document
        if answer.status == 304 and held is not None:
            held.checked = self._clock()
            return held.document
        document = Document(
            answer.status,
            answer.headers.get("content-type", ""),
            answer.body,
            answer.headers.get("etag") or f'"{hashlib.sha256(answer.body).hexdigest()}"',
            answer.headers.get("vary", ""),
        )
        self._keep(key, document)
        return document

    def _keep(self, key: tuple[str, str], document: Document) -> None:
        replaced = self._documents.pop(key, None)
        if replaced is not None:
            self._document_bytes -= len(replaced.document.body)
        self._documents[key] = _Held(document, self._clock())
        self._document_bytes += len(document.body)
        # A thousand forms of one small document are as much of a nuisance as one that is too large.
        while len(self._documents) > 1 and (self._document_bytes > DOCUMENT_BYTES or len(self._documents) > 1024):
            _, oldest = self._documents.popitem(last=False)
            self._document_bytes -= len(oldest.document.body)

    # -- Reviews ------------------------------------------------------------------------------------

    async def create(self, group: str, kind: str, spec: dict[str, Any], *, token: str | None = None) -> dict[str, Any]:
        """As Reviews.create. Raises UpstreamUnavailableError (ReviewRefusedError is one) within REVIEW_SECONDS.

        UnauthenticatedError when ``token`` is refused.
        """
        if token is not None and not printable(token):
            raise UnauthenticatedError("the bearer token is not one line of printable text")
        try:
            async with asyncio.timeout(REVIEW_SECONDS):
                async with self._review_slots:
                    return await self._create(group, kind, spec, token)
        except TimeoutError:
            raise UpstreamUnavailableError(f"no {kind} could be had within {REVIEW_SECONDS:g} s") from None

    async def _create(self, group: str, kind: str, spec: dict[str, Any], token: str | None) -> dict[str, Any]:
        body = msgspec.json.encode({"apiVersion": f"{group}/v1", "kind": kind, "metadata": {}, "spec": spec})
        headers = {"accept": "application/json", "content-type": "application/json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        path = f"/apis/{group}/v1/{kind.lower()}s"
        answer = await self._ask("POST", path, headers=headers, body=body, seconds=REVIEW_SECONDS, limit=REVIEW_BYTES)
        if token is not None and answer.status == 401:
            raise UnauthenticatedError("the API server refused the bearer token")
        if answer.status == 403:
            raise ReviewRefusedError(f"the API server refused a {kind}: {_message(answer)}")
        if answer.status not in {200, 201}:
            raise UpstreamUnavailableError(f"the API server refused a {kind}: {_message(answer)}")
        status = _decode(answer, kind).get("status")
        if not isinstance(status, dict):
            raise UpstreamUnavailableError(f"the API server answered a {kind} without a status")
        return status

    # -- Current resourceVersion and refresh --------------------------------------------------------

    async def current(self, resource: Resource, namespace: str = "") -> int:
        """As CurrentVersion.current; as new as the moment of the call. Raises UpstreamUnavailableError."""
        return await self._asking.join_next((resource.name, namespace), lambda: self._current(resource, namespace))

    async def horizon(self, resource: Resource, namespace: str = "") -> int | None:
        """As CurrentVersion.horizon. Raises UpstreamUnavailableError."""
        key = resource.name, namespace
        newest = await self._looking.join_next(key, lambda: self._look(resource, namespace))
        return None if newest.of_mirror else newest.version

    async def _look(self, resource: Resource, namespace: str) -> _Newest:
        await asyncio.sleep(GATHER_SECONDS)
        return await self._newest(resource, namespace)

    async def _current(self, resource: Resource, namespace: str) -> int:
        return (await self._newest(resource, namespace)).version

    async def _newest(self, resource: Resource, namespace: str) -> _Newest:
        answer = await self._metadata(resource, namespace, (("limit", "1"),), limit=CURRENT_BYTES)
        metadata = _decode(answer, resource.name).get("metadata")
        version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
        if not isinstance(version, str) or not version.isascii() or not version.isdigit():
            raise UpstreamUnavailableError(f"the API server listed {resource.name} without a resourceVersion")
        return _Newest(int(version), is_mirror(answer.headers))

    async def digest(self, resource: Resource, namespace: str = "") -> int:
        """As CurrentVersion.digest; as new as the moment of the call. Raises UpstreamUnavailableError."""
        return await self._summing.join_next((resource.name, namespace), lambda: self._digest(resource, namespace))

    async def _digest(self, resource: Resource, namespace: str) -> int:
        total = 0
        token = ""
        while True:
            query = (("limit", str(DIGEST_PAGE)), *((("continue", token),) if token else ()))
            answer = await self._metadata(resource, namespace, query, limit=DIGEST_BYTES)
            try:
                page = identities(answer.body)
            except WireError as error:
                raise UpstreamUnavailableError(f"the API server's list of {resource.name} is {error}") from None
            total += sum(identity_digest(uid, version) for uid, version in page.items)
            token = page.continue_
            if not token:
                return total % DIGEST_MODULUS

    async def _metadata(
        self, resource: Resource, namespace: str, query: tuple[tuple[str, str], ...], *, limit: int
    ) -> _Answer:
        where = f"/namespaces/{namespace}" if namespace else ""
        answer = await self._ask(
            "GET",
            f"{resource.path}{where}/{resource.plural}",
            query=query,
            headers={"accept": _METADATA_LIST},
            seconds=CURRENT_SECONDS,
            limit=limit,
        )
        if answer.status != 200:
            raise UpstreamUnavailableError(f"the API server refused to list {resource.name}: {_message(answer)}")
        return answer

    async def refresh(self, name: str | None) -> list[str]:
        """As Refresh.refresh."""
        return await self._refreshing.join(name, lambda: self._refresh.refresh(name))

    # -- One request --------------------------------------------------------------------------------

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str],
        query: tuple[tuple[str, str], ...] = (),
        body: bytes = b"",
        seconds: float,
        limit: int,
    ) -> _Answer:
        """A whole answer, of at most ``limit`` bytes within ``seconds``. Raises UpstreamUnavailableError.

        A pooled connection that the API server had just closed is replaced once: nothing asked here changes anything.
        """

        async def send() -> Response:
            return await self._transport.request(method, path, query=query, headers=headers, body=body, seconds=seconds)

        try:
            async with asyncio.timeout(seconds):
                try:
                    response = await send()
                except TransportError as exc:
                    if exc.kind != "reset":
                        raise
                    response = await send()
                chunks, size = [], 0
                try:
                    while chunk := await response.body.read():
                        size += len(chunk)
                        if size > limit:
                            raise UpstreamUnavailableError(f"the API server's {path} is larger than {limit} bytes")
                        chunks.append(chunk)
                finally:
                    await response.body.close()
        except TransportError as exc:
            raise UpstreamUnavailableError(str(exc)) from None
        except TimeoutError:
            raise UpstreamUnavailableError(f"the API server took longer than {seconds:g} s for {path}") from None
        return _Answer(response.status, response.headers, b"".join(chunks))


def printable(token: str) -> bool:
    """Whether a header can hold it."""
    return bool(token) and all("!" <= character <= "~" for character in token)


def _ended() -> UpstreamUnavailableError:
    return UpstreamUnavailableError("the API server is not asked any more: stopping")


def _not_found(path: str) -> Document:
    body = msgspec.json.encode(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": "the server could not find the requested resource",
            "reason": "NotFound",
            "details": {},
            "code": 404,
        }
    )
    return Document(404, "application/json", body)


def _decode(answer: _Answer, what: str) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        decoded = None
    if not isinstance(decoded, dict):
        raise UpstreamUnavailableError(f"the API server's answer about {what} is not a JSON object")
    return decoded


def _message(answer: _Answer) -> str:
    """What a Status says, or only the number: other bodies (a proxy's page) are not repeated."""
    try:
        decoded = msgspec.json.decode(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        decoded = None
    if isinstance(decoded, dict) and decoded.get("kind") == "Status" and decoded.get("message"):
        return f"{str(decoded['message'])[:300]} ({answer.status})"
    return f"status {answer.status}"
