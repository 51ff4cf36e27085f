"""Who may see what: one question, asked by every route, transport and stream.

The question is asynchronous because an answer may come from the API server. It names the caller and either
a tuple (verb, group, version, resource, subresource, namespace, name, selectors) or a non-resource path. The
answer holds until a time: a stream asks again then, and a cached response expires with its decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Grant:
    """What an embed token opens (grants.py). namespace, selector: "" for all. expires: seconds since 1970."""

    resource: str  # plural and group: deployments.apps
    namespace: str
    selector: str
    expires: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the API server names users.

    until: the event loop's second until which the credentials are taken to hold; what was answered to them
    is given again until then at most.
    grant: of an embed token, which is all that this caller is shown; part of what makes two callers equal.
    """

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    until: float = field(default=inf, compare=False)
    grant: Grant | None = None


ANONYMOUS = Caller("system:anonymous", groups=("system:unauthenticated",))


@dataclass(frozen=True, slots=True)
class ResourceAttributes:
    """What a request does to a resource: derived once from the parsed request.

    verb: get, list, watch (or a write verb, in an access review).
    namespace: "" asks about all namespaces (or a cluster-scoped resource). name: "" asks about all names.
    """

    verb: str
    group: str
    version: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    label_selector: str = ""
    field_selector: str = ""


@dataclass(frozen=True, slots=True)
class PathAttributes:
    """A non-resource path: /metrics, /-/status, /openapi/v3, /apis."""

    verb: str
    path: str


@dataclass(frozen=True, slots=True)
class Allow:
    """Yes, until ``until`` (the event loop's clock, seconds)."""

    until: float = inf


@dataclass(frozen=True, slots=True)
class Deny:
    """No, and why: the text after upstream's "is forbidden:"."""

    reason: str
    until: float = inf


@dataclass(frozen=True, slots=True)
class AllowNamespaces:
    """Not everywhere, but in these namespaces: for our own views, which show what a caller may see.

    Only answered to a list or watch over all namespaces with ``partial=True``.
    """

    namespaces: frozenset[str]
    until: float = inf


Decision = Allow | Deny | AllowNamespaces


class Authorizer(Protocol):
    """The one place that decides. Fails closed: what cannot be asked is denied, with the reason."""

    async def authorize(
        self, caller: Caller, attributes: ResourceAttributes | PathAttributes, *, partial: bool = False
    ) -> Decision:
        """partial: whether an AllowNamespaces is of use to the caller (never on Kubernetes paths)."""


class Authenticator(Protocol):
    """Who a request is from."""

    async def authenticate(self, headers: Mapping[bytes, bytes], peer: tuple[str, int] | None) -> Caller:
        """The caller; UnauthenticatedError when credentials were given and do not hold."""


class AllowAll:
    """The Authorizer of a loopback bind, or of an explicit ``--access open``."""

    async def authorize(
        self, caller: Caller, attributes: ResourceAttributes | PathAttributes, *, partial: bool = False
    ) -> Decision:
        return Allow()


class NobodyInParticular:
    """The Authenticator that goes with AllowAll: everyone is system:anonymous."""

    async def authenticate(self, headers: Mapping[bytes, bytes], peer: tuple[str, int] | None) -> Caller:
        return ANONYMOUS
