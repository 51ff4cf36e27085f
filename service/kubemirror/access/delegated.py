"""Who asks, in delegated mode: by bearer token, else by a browser's session, else nobody in particular."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kubemirror.access.authorizer import ANONYMOUS, Caller, Credential
from kubemirror.access.presented import Presented
from kubemirror.access.session import Sessions
from kubemirror.access.tokens import Tokens
from kubemirror.errors import UnauthenticatedError


class Delegated:
    """The Authenticator of delegated mode."""

    def __init__(self, tokens: Tokens, sessions: Sessions) -> None:
        self._tokens = tokens
        self._sessions = sessions

    async def authenticate(self, presented: Presented) -> Caller:
        """A header wins over a cookie: a program that is given a browser's cookies means its own token."""
        token = presented.bearer_token
        if token:
            return await self._tokens.caller(token)
        session = self._sessions.of(presented)
        if session is None:
            return ANONYMOUS
        return _signed_in(await self._tokens.caller(session.token), self._sessions, session.id)


@dataclass(frozen=True, slots=True)
class _SignedIn:
    """The Credential of a session: its token, until it is ended."""

    token_: Credential
    sessions: Sessions
    id: bytes

    @property
    def token(self) -> str:
        return self.token_.token

    async def now(self) -> Caller:
        self._require()
        return _signed_in(await self.token_.now(), self.sessions, self.id)

    async def again(self) -> Caller:
        self._require()
        return _signed_in(await self.token_.again(), self.sessions, self.id)

    def _require(self) -> None:
        if self.sessions.ended(self.id):
            raise UnauthenticatedError("signed out")


def _signed_in(caller: Caller, sessions: Sessions, id_: bytes) -> Caller:
    if caller.credential is None:
        raise TypeError("who came with a token has a credential")
    return replace(caller, credential=_SignedIn(caller.credential, sessions, id_))
