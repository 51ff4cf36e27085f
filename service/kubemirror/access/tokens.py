"""Who a bearer token is from: kept for seconds by the token's hash, and never past its own end.

A JSON Web Token says when it ends, and nobody need be asked about one that has. No token is kept but by those who are
asked about again: an open stream's caller.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import orjson

from kubemirror.access.allowance import address
from kubemirror.access.authorizer import Caller
from kubemirror.access.kept import Kept
from kubemirror.access.reviewer import ALLOWED_SECONDS, REFUSED_SECONDS, Reviewer
from kubemirror.access.strangers import Strangers
from kubemirror.access.turns import Turns
from kubemirror.errors import UnauthenticatedError

# Callers at a time in ten seconds; each is some 600 bytes.
TOKENS = 8192
# A token that is longer is none: the API server's own limit for all headers together is 1 MB, etcd's for a Secret too,
# and an identity provider's tokens are 4 kB.
LONGEST_TOKEN = 16 * 1024


@dataclass(frozen=True, slots=True)
class _Known:
    """caller: None where the token does not hold, ``reason`` then tells why."""

    caller: Caller | None
    until: float
    reason: str = ""


class Tokens:
    """The callers behind tokens. wall: seconds since 1970."""

    def __init__(
        self,
        reviewer: Reviewer,
        strangers: Strangers,
        *,
        wall: Callable[[], float],
        recheck_seconds: float,
        outage_seconds: float,
    ) -> None:
        self._reviewer = reviewer
        self._strangers = strangers
        self._held: OrderedDict[bytes, None] = OrderedDict()  # keys of tokens that held when last asked about
        self._wall = wall
        self._kept = Kept[_Known]("token review", TOKENS, lambda known: known.until)
        self._turns = Turns[_Known]("token review again", seconds=recheck_seconds, outage_seconds=outage_seconds)

    async def caller(self, token: str) -> Caller:
        """Who it is. Raises UnauthenticatedError; UpstreamUnavailableError where that cannot be asked.

        TooManyReviewsError, where too many tokens from where it comes from did not hold.
        """
        key = self._key(token)
        return self._from(await self._kept.get(key, lambda: self._first(key, token)), token)

    async def again(self, token: str, caller: Caller) -> Caller:
        """As ``caller``, for an open stream: this turn's answer."""
        key = self._key(token)
        held = _Known(caller, inf)
        turn = await self._turns.ask(key, lambda: self._kept.anew(key, lambda: self._ask(key, token)), held)
        again = self._from(turn.answer, token)
        return replace(again, until=min(turn.until, self._end_of(token)))

    async def close(self) -> None:
        await self._kept.close()
        await self._turns.close()

    def _key(self, token: str) -> bytes:
        if len(token) > LONGEST_TOKEN:
            raise UnauthenticatedError("the bearer token is too long to be one")
        if self._end_of(token) <= asyncio.get_running_loop().time():
            raise UnauthenticatedError("the bearer token has expired")
        return hashlib.sha256(token.encode()).digest() + (b"own" if self._reviewer.own else b"self")

    async def _first(self, key: bytes, token: str) -> _Known:
        if key in self._held:
            return await self._ask(key, token)
        return await self._strangers.ask(
            address(), lambda: self._ask(key, token), held=lambda known: known.caller is not None
        )

    async def _ask(self, key: bytes, token: str) -> _Known:
        now = asyncio.get_running_loop().time()
        try:
            caller = await self._reviewer.who(token)
        except UnauthenticatedError as error:
            self._held.pop(key, None)
            return _Known(None, now + REFUSED_SECONDS, str(error))
        self._held[key] = None
        self._held.move_to_end(key)
        while len(self._held) > TOKENS:
            self._held.popitem(last=False)
        return _Known(caller, min(now + ALLOWED_SECONDS, self._end_of(token)))

    def _from(self, known: _Known, token: str) -> Caller:
        if known.caller is None:
            raise UnauthenticatedError(known.reason)
        return replace(known.caller, until=known.until, credential=Presence(self, token, known.caller))

    def _end_of(self, token: str) -> float:
        """The loop's second at which it ends; infinite where it does not say."""
        expiry = expiry_of(token)
        return inf if expiry is None else asyncio.get_running_loop().time() + expiry - self._wall()


class Presence:
    """The Credential of a caller who came with a token."""

    __slots__ = ("_caller", "_tokens", "token")

    def __init__(self, tokens: Tokens, token: str, caller: Caller) -> None:
        self._tokens = tokens
        self._caller = caller
        self.token = token

    async def now(self) -> Caller:
        return await self._tokens.caller(self.token)

    async def again(self) -> Caller:
        return await self._tokens.again(self.token, self._caller)


def expiry_of(token: str) -> float | None:
    """When a JSON Web Token says that it ends, in seconds since 1970; None for any other token.

    Not verified: it can only make a token end sooner than whoever verifies it would.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return None
    expiry = claims.get("exp") if isinstance(claims, dict) else None
    return float(expiry) if isinstance(expiry, int | float) and not isinstance(expiry, bool) else None
