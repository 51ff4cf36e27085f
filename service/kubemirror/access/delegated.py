"""Who asks, in delegated mode: by bearer token, else by a browser's session, else nobody in particular."""

from __future__ import annotations

from kubemirror.access.authorizer import ANONYMOUS, Caller
from kubemirror.access.presented import Presented
from kubemirror.access.session import Sessions
from kubemirror.access.tokens import Tokens


class Delegated:
    """The Authenticator of delegated mode."""

    def __init__(self, tokens: Tokens, sessions: Sessions) -> None:
        self._tokens = tokens
        self._sessions = sessions

    async def authenticate(self, presented: Presented) -> Caller:
        """A header wins over a cookie: a program that is given a browser's cookies means its own token."""
        token = presented.bearer_token or self._sessions.token_of(presented)
        return await self._tokens.caller(token) if token else ANONYMOUS
