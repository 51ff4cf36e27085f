"""The fixed users of the demo cluster: their tokens, and what each may do.

Who comes without a token may do everything, as long as nothing else is said: kubectl sends none over plain http.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kubemirror.access.authorizer import (
    ANONYMOUS,
    Allow,
    Caller,
    Candidates,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.access.presented import Presented
from kubemirror.errors import UnauthenticatedError

_READ = frozenset({"get", "list", "watch"})
# What the roles system:public-info-viewer and system:discovery grant.
_PUBLIC = frozenset({"/healthz", "/livez", "/readyz", "/version", "/version/"})
_DISCOVERY = ("/api", "/openapi", "/version")
_ANYONE_GROUPS = ("selfsubjectaccessreviews", "selfsubjectreviews")


def _user(name: str, uid: str, *groups: str) -> Caller:
    return Caller(name, uid, (*groups, "system:authenticated"))


ADMIN_TOKEN = "admin-token"  # noqa: S105 - the demo's tokens are public
TOKENS: Mapping[str, Caller] = {
    ADMIN_TOKEN: _user("admin", "1", "system:masters"),
    "mirror-token": _user("mirror", "2", "mirrors"),
    "reader-token": _user("reader", "3", "readers"),
    "shop-token": _user("shop-reader", "4", "shop-readers"),
    "nobody-token": _user("nobody", "5"),
}


@dataclass(slots=True)
class Users:
    """Authenticator and Authorizer of the demo cluster.

    tokens: what is accepted now; replace it to rotate. anonymous: whether requests without credentials may do
    everything (else nothing but discovery). forbidden: resources refused to all but system:masters, as if a role had
    been cut. namespaces: what groups may read beside, by group.
    """

    tokens: dict[str, Caller] = field(default_factory=lambda: dict(TOKENS))
    anonymous: bool = True
    forbidden: set[str] = field(default_factory=set)
    namespaces: dict[str, set[str]] = field(default_factory=lambda: {"shop-readers": {"shop"}})

    async def authenticate(self, presented: Presented) -> Caller:
        """By bearer token; anything else is anonymous, as upstream has it."""
        return self.caller(presented.get(b"authorization").decode("latin-1"))

    def caller(self, authorization: str) -> Caller:
        """Raises UnauthenticatedError for a token that is not accepted."""
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            return ANONYMOUS
        if token not in self.tokens:
            raise UnauthenticatedError("the token is not accepted")
        return self.tokens[token]

    async def authorize(
        self,
        caller: Caller,
        attributes: ResourceAttributes | PathAttributes,
        *,
        partial: Candidates | None = None,
        held: Decision | None = None,
    ) -> Decision:
        return self.decide(caller, attributes)

    def decide(self, caller: Caller, attributes: ResourceAttributes | PathAttributes) -> Decision:
        """What RBAC would say: an empty reason is all it tells of a no."""
        groups = set(caller.groups)
        everything = "system:masters" in groups or (self.anonymous and caller.user == ANONYMOUS.user)
        if isinstance(attributes, PathAttributes):
            reads = attributes.verb in ("get", "head")
            known = "system:authenticated" in groups and attributes.path.startswith(_DISCOVERY)
            allowed = attributes.path in _PUBLIC or known or groups & {"readers", "mirrors"}
            return Allow() if everything or (reads and allowed) else Deny("")
        name = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
        if name in self.forbidden and "system:masters" not in groups:
            return Deny("")
        if everything:
            return Allow()
        if attributes.verb == "create" and attributes.resource in _ANYONE_GROUPS and "system:authenticated" in groups:
            return Allow()
        if "mirrors" in groups and attributes.verb == "create" and attributes.resource.endswith("reviews"):
            return Allow()
        if attributes.verb in _READ:
            if groups & {"readers", "mirrors"}:
                return Allow()
            if any(attributes.namespace in self.namespaces.get(group, ()) for group in groups):
                return Allow()
        return Deny("")
