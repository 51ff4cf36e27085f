"""The few things that serving may ask of the API server, as Protocols.

kube/ implements them, app.py hands them to serve/: so serve/ never knows a connection, and a test can
count what is asked. All but reviews are cached by their implementer; reviews are by access/, since only there is known
how long an answer about access holds. None is asked by an ordinary read of the same caller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from kubemirror.state.catalog import Resource


@dataclass(frozen=True, slots=True)
class Document:
    """A document fetched from upstream and kept by its ETag. vary: what upstream says its form depends on."""

    status: int
    content_type: str
    body: bytes
    etag: str = ""
    vary: str = ""


class Documents(Protocol):
    """/version and /openapi/*: what the mirror passes on and does not make itself."""

    async def fetch(self, path: str, *, query: str = "", accept: str = "application/json") -> Document:
        """The document at ``path``. Raises UpstreamUnavailableError when it is not held and cannot be had."""


class Reviews(Protocol):
    """authentication.k8s.io and authorization.k8s.io reviews."""

    async def create(self, group: str, kind: str, spec: dict[str, Any], *, token: str | None = None) -> dict[str, Any]:
        """POST a review of ``kind`` (TokenReview, SubjectAccessReview, ...); its ``status``. Nothing is cached.

        token: send it with the caller's own bearer token in place of ours (SelfSubjectAccessReview).
        """


class CurrentVersion(Protocol):
    """For the opt-in consistent read, and for readers that are ahead of the mirror."""

    async def current(self, resource: Resource, namespace: str = "") -> int:
        """Upstream's newest resourceVersion, told by one LIST of ``resource`` with limit=1.

        namespace: where only that may be read.
        """

    async def horizon(self, resource: Resource, namespace: str = "") -> int | None:
        """As ``current``, where nobody can have got a greater one before this call.

        None where upstream cannot tell: a mirror may be behind its own readers, as this one is.
        """

    async def digest(self, resource: Resource, namespace: str = "") -> int:
        """What ``Reader.digest`` is of a store that holds what upstream holds now: one LIST of metadata."""


class Refresh(Protocol):
    """For POST /-/refresh."""

    async def refresh(self, name: str | None) -> list[str]:
        """List the named resource (None: all) again now; the names that will be. Single flight each."""


class Upstream(Documents, Reviews, CurrentVersion, Refresh, Protocol):
    """All of it."""
