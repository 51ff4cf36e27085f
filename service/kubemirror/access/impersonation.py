"""Impersonate-* fields: honoured as kube-apiserver does, or refused; never ignored.

Each field is a right of its own (verb ``impersonate`` on users, serviceaccounts, groups, uids, userextras), asked about
for whoever really sends the request (apiserver pkg/endpoints/filters/impersonation.go).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from kubemirror.access.authorizer import (
    ANONYMOUS,
    Allow,
    Authenticator,
    Authorizer,
    Caller,
    Decision,
    Deny,
    RefusedError,
    ResourceAttributes,
)
from kubemirror.access.everyone import UNAUTHENTICATED, with_everyone
from kubemirror.access.presented import Presented
from kubemirror.access.reviewer import NOT_FOR_OTHERS, Reviewer
from kubemirror.errors import ImpersonationError

_PREFIX = b"impersonate-"
_USER, _UID, _GROUP, _EXTRA = b"impersonate-user", b"impersonate-uid", b"impersonate-group", b"impersonate-extra-"
_ACCOUNT = "system:serviceaccount:"
AUTHENTICATION = "authentication.k8s.io"


class Impersonating:
    """An Authenticator that lets callers act as others, where the Authorizer lets them."""

    def __init__(self, inner: Authenticator, authorizer: Authorizer, reviewer: Reviewer | None = None) -> None:
        """reviewer: who may have to ask with callers' own tokens; None where anybody can be asked about."""
        self._inner = inner
        self._authorizer = authorizer
        self._reviewer = reviewer

    async def authenticate(self, presented: Presented) -> Caller:
        """Raises RefusedError for what the caller may not, ImpersonationError for what cannot be meant."""
        caller = await self._inner.authenticate(presented)
        wanted = wanted_of(presented)
        if wanted is None:
            return caller
        acting = _Acting(self._authorizer, caller, wanted)
        until = caller.until
        for attributes in wanted.rights():
            decision = await self._authorizer.authorize(caller, attributes)
            _require(caller, attributes, decision)
            until = min(until, decision.until)
        if self._reviewer is not None and not self._reviewer.own:
            raise ImpersonationError(NOT_FOR_OTHERS)
        return acting.caller(until)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom a request wants to act as."""

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = field(default=())

    @property
    def account(self) -> tuple[str, str] | None:
        """Namespace and name, for a service account."""
        namespace, _, name = self.user.removeprefix(_ACCOUNT).partition(":")
        return (namespace, name) if self.user.startswith(_ACCOUNT) and namespace and name else None

    def rights(self) -> Iterator[ResourceAttributes]:
        """What the real caller must be allowed."""
        account = self.account
        if account is not None:
            namespace, name = account
            yield ResourceAttributes("impersonate", "", "v1", "serviceaccounts", namespace=namespace, name=name)
        else:
            yield ResourceAttributes("impersonate", "", "v1", "users", name=self.user)
        for group in self.groups:
            yield ResourceAttributes("impersonate", "", "v1", "groups", name=group)
        for key, values in self.extra:
            for value in values:
                yield ResourceAttributes("impersonate", AUTHENTICATION, "v1", "userextras", subresource=key, name=value)
        if self.uid:
            yield ResourceAttributes("impersonate", AUTHENTICATION, "v1", "uids", name=self.uid)

    @property
    def meant(self) -> Caller:
        """The caller that it makes, with the groups that everyone of the kind has."""
        groups = list(self.groups)
        account = self.account
        if account is not None and not groups:
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{account[0]}"]
        if self.user == ANONYMOUS.user and UNAUTHENTICATED not in groups:
            groups.append(UNAUTHENTICATED)
        return Caller(self.user, uid=self.uid, groups=with_everyone(self.user, groups), extra=dict(self.extra))


def wanted_of(presented: Presented) -> Wanted | None:
    """None where nobody is to be acted as. Raises ImpersonationError."""
    names = [name for name in presented.names(_PREFIX) if any(presented.all(name))]
    if not names:
        return None
    unknown = [name for name in names if name not in (_USER, _UID, _GROUP) and not name.startswith(_EXTRA)]
    if unknown:
        # Upstream ignores it; what was meant by it would be ignored too.
        field = "-".join(part.capitalize() for part in unknown[0].decode("latin-1").split("-"))
        raise ImpersonationError(f"{field} is none of Impersonate-User, -Uid, -Group and -Extra-*: leave it away")
    user = presented.get(_USER).decode("latin-1")
    if not user:
        raise ImpersonationError("Impersonate-Group, -Uid or -Extra-* without Impersonate-User")
    extra = [
        (unquote(name[len(_EXTRA) :].decode("latin-1")).lower(), tuple(presented.all(name)))
        for name in names
        if name.startswith(_EXTRA)
    ]
    return Wanted(user, presented.get(_UID).decode("latin-1"), tuple(presented.all(_GROUP)), tuple(sorted(extra)))


class _Acting:
    """The Credential of somebody who acts as somebody else."""

    def __init__(self, authorizer: Authorizer, real: Caller, wanted: Wanted) -> None:
        self._authorizer = authorizer
        self._real = real
        self._wanted = wanted

    token = ""  # nothing can be asked with one: it would be asked about the other

    def caller(self, until: float) -> Caller:
        return replace(self._wanted.meant, until=until, credential=self)

    async def now(self) -> Caller:
        real = await self._real.credential.now() if self._real.credential is not None else self._real
        return await self._decided(real, held=None)

    async def again(self) -> Caller:
        real = await self._real.credential.again() if self._real.credential is not None else self._real
        return await self._decided(real, held=Allow())

    async def _decided(self, real: Caller, held: Decision | None) -> Caller:
        until = real.until
        for attributes in self._wanted.rights():
            decision = await self._authorizer.authorize(real, attributes, held=held)
            _require(real, attributes, decision)
            until = min(until, decision.until)
        return self.caller(until)


def _require(caller: Caller, attributes: ResourceAttributes, decision: Decision) -> None:
    if not isinstance(decision, Allow):
        raise RefusedError(caller, attributes, decision.reason if isinstance(decision, Deny) else "")
