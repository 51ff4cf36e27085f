"""The API server's own answers about access, and with whose rights they are asked for.

With the right to create TokenReviews and SubjectAccessReviews (system:auth-delegator) the mirror asks in its own name.
Without it, it asks with each caller's own token: SelfSubjectReview tells who that is, SelfSubjectAccessReview what they
may. Which of the two is asked at the start, each minute, and at once where a review is refused.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import structlog

from kubemirror.access.authorizer import (
    ANONYMOUS,
    Allow,
    Caller,
    Deny,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.errors import ImpersonationError, ReviewRefusedError, UnauthenticatedError, UpstreamUnavailableError
from kubemirror.state.upstream import Reviews

AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io", "authorization.k8s.io"
# As in Kubernetes' own delegated authorisation; a no is worth half of that, since it is what gets mended.
ALLOWED_SECONDS = 10.0
REFUSED_SECONDS = 5.0
# Rights come and go by someone's hand.
RIGHTS_SECONDS = 60.0

NOT_FOR_OTHERS = (
    "nobody can be impersonated here: this mirror may not create subjectaccessreviews.authorization.k8s.io,"
    " so it can ask about access with a caller's own token only"
)

log = structlog.get_logger(__name__)


class Reviewer:
    """Asks; keeps nothing. audiences: for which tokens must be meant; empty: the API server's own."""

    def __init__(self, reviews: Reviews, audiences: Sequence[str] = (), *, tokens: bool = True) -> None:
        """tokens: whether TokenReviews are needed at all."""
        self._reviews = reviews
        self._audiences = list(audiences)
        self._needed = {"subjectaccessreviews": AUTHORIZATION, **({"tokenreviews": AUTHENTICATION} if tokens else {})}
        self._tokens = tokens
        self.own = True  # whether reviews are created in our own name

    # -- rights ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Find out about our rights, for as long as the process lives."""
        while True:
            await self.probe()
            await asyncio.sleep(RIGHTS_SECONDS)

    async def probe(self) -> None:
        """Ask whether we may create reviews; what cannot be asked changes nothing."""
        try:
            refused = [name for name, group in self._needed.items() if not await self._may_create(group, name)]
        except UpstreamUnavailableError as error:
            log.warning("access.rights_unknown", reason=str(error))
            return
        self._settle(own=not refused, why=f"create {', '.join(refused)} is not granted" if refused else "")

    async def _may_create(self, group: str, resource: str) -> bool:
        attributes = {"verb": "create", "group": group, "resource": resource}
        spec = {"resourceAttributes": attributes}
        return bool((await self._reviews.create(AUTHORIZATION, "SelfSubjectAccessReview", spec)).get("allowed"))

    def _settle(self, *, own: bool, why: str) -> None:
        if own is self.own:
            return
        self.own = own
        if own:
            log.info("access.reviews", asked_with="the mirror's own rights")
        elif self._tokens:
            log.warning("access.reviews", asked_with="each caller's own token", reason=why)
        else:
            log.error("access.reviews", meaning="nobody is answered", reason=why)

    # -- who ------------------------------------------------------------------------------------------

    async def who(self, token: str) -> Caller:
        """Whose token it is, as the API server names them. Raises UnauthenticatedError."""
        if self.own:
            spec: dict[str, Any] = {"token": token}
            if self._audiences:
                spec["audiences"] = self._audiences
            try:
                status = await self._reviews.create(AUTHENTICATION, "TokenReview", spec)
            except ReviewRefusedError as error:
                self._settle(own=False, why=str(error))
            else:
                return self._reviewed(status)
        if self._audiences:
            # Who may not review tokens cannot tell for whom one is meant.
            raise UpstreamUnavailableError("token audiences can be checked by TokenReview only, which is not granted")
        status = await self._reviews.create(AUTHENTICATION, "SelfSubjectReview", {}, token=token)
        return _user(status.get("userInfo"), token_key=hashlib.sha256(token.encode()).digest())

    def _reviewed(self, status: dict[str, Any]) -> Caller:
        if status.get("authenticated") is not True:
            raise UnauthenticatedError("the API server does not accept the token")
        meant = status.get("audiences")
        if self._audiences and not (isinstance(meant, list) and set(meant) & set(self._audiences)):
            # A webhook that knows nothing of audiences answers without them: then nobody has checked any.
            raise UnauthenticatedError("the token is not meant for this mirror")
        return _user(status.get("user"))

    # -- what -----------------------------------------------------------------------------------------

    async def may(self, caller: Caller, attributes: ResourceAttributes | PathAttributes) -> Allow | Deny:
        """What the API server says, to hold from now on for seconds."""
        asked = _asked(attributes)
        status = None
        if self.own:
            spec = {"user": caller.user, "uid": caller.uid, "groups": list(caller.groups), **asked}
            if caller.extra:
                spec["extra"] = {name: list(values) for name, values in caller.extra.items()}
            try:
                status = await self._reviews.create(AUTHORIZATION, "SubjectAccessReview", spec)
            except ReviewRefusedError as error:
                self._settle(own=False, why=str(error))
        if status is None:
            status = await self._may_self(caller, asked)
        now = asyncio.get_running_loop().time()
        if status.get("allowed") is True and status.get("denied") is not True:
            return Allow(now + ALLOWED_SECONDS)
        return Deny(str(status.get("reason") or ""), now + REFUSED_SECONDS)

    async def _may_self(self, caller: Caller, asked: dict[str, Any]) -> dict[str, Any]:
        if not self._tokens:
            raise UpstreamUnavailableError("the mirror may not create subjectaccessreviews.authorization.k8s.io")
        if caller.credential is None or not caller.token_key:
            if caller == ANONYMOUS:
                return {"allowed": False}  # whom nothing can be asked about
            if caller.credential is not None and not caller.credential.token:
                raise ImpersonationError(NOT_FOR_OTHERS)
            raise UpstreamUnavailableError("the mirror may ask about access with a caller's own token only")
        return await self._reviews.create(
            AUTHORIZATION, "SelfSubjectAccessReview", asked, token=caller.credential.token
        )

    async def rules(self, caller: Caller, namespace: str) -> dict[str, Any] | None:
        """What the API server lists of a caller's rights; it does so for their own token only."""
        token = caller.credential.token if caller.credential is not None else ""
        if not token:
            return None
        spec = {"namespace": namespace}
        try:
            return await self._reviews.create(AUTHORIZATION, "SelfSubjectRulesReview", spec, token=token)
        except (ReviewRefusedError, UnauthenticatedError):
            return None  # they may not ask, or the token is meant for this mirror alone


def _asked(attributes: ResourceAttributes | PathAttributes) -> dict[str, Any]:
    if isinstance(attributes, PathAttributes):
        return {"nonResourceAttributes": {"path": attributes.path, "verb": attributes.verb}}
    fields: dict[str, Any] = {
        "verb": attributes.verb,
        "group": attributes.group,
        "version": attributes.version,
        "resource": attributes.resource,
        "subresource": attributes.subresource,
        "namespace": attributes.namespace,
        "name": attributes.name,
    }
    asked = {name: value for name, value in fields.items() if value}
    # The API server takes these apart itself; those before 1.31 know nothing of them, and then neither do their roles.
    if attributes.label_selector:
        asked["labelSelector"] = {"rawSelector": attributes.label_selector}
    if attributes.field_selector:
        asked["fieldSelector"] = {"rawSelector": attributes.field_selector}
    return {"resourceAttributes": asked}


def _user(info: Any, *, token_key: bytes = b"") -> Caller:
    if not isinstance(info, dict) or not info.get("username"):
        raise UnauthenticatedError("the API server names no user for the token")
    extra = info.get("extra") or {}
    return Caller(
        str(info["username"]),
        uid=str(info.get("uid") or ""),
        groups=tuple(map(str, info.get("groups") or ())),
        extra={str(name): tuple(map(str, values or ())) for name, values in extra.items()},
        token_key=token_key,
    )
