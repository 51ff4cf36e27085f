"""Who may see what: one question, asked by every route, transport and stream.

The question is asynchronous because an answer may come from the API server. It names the caller and either
a tuple (verb, group, version, resource, subresource, namespace, name, selectors) or a non-resource path. The
answer holds until a time: a stream asks again then, and a cached response expires with its decision.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

from kubemirror.access.everyone import ANONYMOUS_USER, UNAUTHENTICATED
from kubemirror.access.presented import Presented
from kubemirror.errors import ImpersonationError, KubemirrorError

# One request of a caller who may see some namespaces only costs the API server at most so many reviews.
REVIEWS_A_REQUEST = 200


class Credential(Protocol):
    """What a caller came with, for as long as a connection of theirs lasts. Both raise UnauthenticatedError."""

    @property
    def token(self) -> str:
        """The bearer token."""

    async def now(self) -> Caller:
        """Who it is, for another question on the same connection: as sure as for a new request."""

    async def again(self) -> Caller:
        """Who it is, for what is open already: asked anew each turn, for all who came with it."""


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
    is given again until then at most. credential: None where there is nothing to ask again (a proxy's word, nobody).
    token_key: of the token, where decisions belong to it and not to the user it names. grant: of an embed token, which
    is all that this caller is shown.
    """

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    until: float = field(default=inf, compare=False)
    credential: Credential | None = field(default=None, compare=False, repr=False)
    token_key: bytes = field(default=b"", repr=False)
    grant: Grant | None = None

    @property
    def identity(self) -> Hashable:
        """Equal for callers to whom the same is answered."""
        return (self.user, self.uid, self.groups, tuple(sorted(self.extra.items())), self.token_key, self.grant)


ANONYMOUS = Caller(ANONYMOUS_USER, groups=(UNAUTHENTICATED,))


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
    """A non-resource path: /metrics, /-/status, /openapi/v3, /apis.

    wanted: the caller asks for the path itself, so that a no is a denial; else it only decides what else is told.
    """

    verb: str
    path: str
    wanted: bool = field(default=True, compare=False)


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

    Only answered to a list or watch over all namespaces that names ``partial`` candidates.
    """

    namespaces: frozenset[str]
    until: float = inf


Decision = Allow | Deny | AllowNamespaces


@dataclass(slots=True)
class Budget:
    """Reviews that one request may still cost, whatever it shows.

    left: to look in all namespaces. again: where that is too little for a further resource, to look in those where
    something of the request was found before (found); while there is none, in all once more. known: the namespaces
    that there are, once somebody has looked.
    """

    left: int = REVIEWS_A_REQUEST
    again: int = REVIEWS_A_REQUEST
    found: set[str] = field(default_factory=set)
    known: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class Candidates:
    """Namespaces that are asked about, one by one, for a caller who may not see all of them.

    They depend on nothing that is selected: how many reviews an answer takes, and which answer it is, would else tell
    a caller without rights whether something is there.
    """

    namespaces: Callable[[], Collection[str]]
    budget: Budget = field(default_factory=Budget)


class RefusedError(KubemirrorError):
    """The Authorizer's no, as an error: serve/ words it as the API server does."""

    def __init__(self, caller: Caller, attributes: ResourceAttributes | PathAttributes, reason: str) -> None:
        super().__init__(reason)
        self.caller = caller
        self.attributes = attributes
        self.reason = reason


class Authorizer(Protocol):
    """The one place that decides. Fails closed: what cannot be asked is no answer (UpstreamUnavailableError)."""

    async def authorize(
        self,
        caller: Caller,
        attributes: ResourceAttributes | PathAttributes,
        *,
        partial: Candidates | None = None,
        held: Decision | None = None,
    ) -> Decision:
        """partial: an AllowNamespaces is of use to the caller (never on Kubernetes paths).

        held: what an open stream goes by, which asks again: not answered from what is kept for new requests.
        """


class Authenticator(Protocol):
    """Who a request is from."""

    async def authenticate(self, presented: Presented) -> Caller:
        """The caller; UnauthenticatedError when credentials were given and do not hold."""


class Rules(Protocol):
    """What is granted as a whole, for whoever asks for a list of it (SelfSubjectRulesReview)."""

    async def rules(self, caller: Caller, namespace: str) -> Mapping[str, Any] | None:
        """The review's status as the API server writes it; None where there is nobody to ask for this caller.

        Raises UpstreamUnavailableError.
        """


class AllowAll:
    """The Authorizer of a loopback bind."""

    async def authorize(
        self,
        caller: Caller,
        attributes: ResourceAttributes | PathAttributes,
        *,
        partial: Candidates | None = None,
        held: Decision | None = None,
    ) -> Decision:
        return Allow()


class NobodyInParticular:
    """The Authenticator where credentials mean nothing: everyone is system:anonymous."""

    async def authenticate(self, presented: Presented) -> Caller:
        """Raises ImpersonationError for Impersonate-*: who acts as somebody would be given a false answer."""
        if any(presented.names(b"impersonate-")):
            raise ImpersonationError("impersonation is not supported by this read-only mirror")
        return ANONYMOUS
