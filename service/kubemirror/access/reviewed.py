"""The Authorizer that asks the API server: the exact tuple, kept for seconds, asked again for what is open.

What belongs to nobody needs no review: health, the looks of a page, signing in. Everything else is the API server's to
decide. What cannot be asked is not answered (UpstreamUnavailableError, 503): fail closed, and say that it passes.
Each caller has an allowance of new questions (TooManyReviewsError, 429); those of open streams are bounded by turns.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from kubemirror.access.allowance import Allowance, owner_of
from kubemirror.access.authorizer import (
    ANONYMOUS,
    REVIEWS_A_REQUEST,
    Allow,
    AllowNamespaces,
    Caller,
    Candidates,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.access.kept import Kept
from kubemirror.access.reviewer import ALLOWED_SECONDS, Reviewer
from kubemirror.access.turns import Turns
from kubemirror.errors import TooManyReviewsError

# Tuples in ten seconds, some 700 bytes each.
DECISIONS = 16_384
# Of rights, some kilobytes each; people ask for one now and then.
LISTS = 256
HEALTH = frozenset({"/health", "/healthz", "/livez", "/readyz"})
SIGN_IN, SIGN_OUT = "/-/sign-in", "/-/sign-out"
# Nothing of the cluster is in them, and the page on which one signs in needs them.
_OPEN_PATHS = HEALTH | {SIGN_IN, SIGN_OUT}
_OPEN_PREFIX = "/-/static/"
# What a no about all namespaces adds, whatever it is for.
NAME_ONE = f"name namespaces that you may see with namespace= (no more than {REVIEWS_A_REQUEST} are looked through)"

_Decided = Allow | Deny
_Decide = Callable[[Caller, ResourceAttributes], Awaitable[_Decided]]


@dataclass(frozen=True, slots=True)
class _Listed:
    """A list of a caller's rights; None where nobody can tell it."""

    status: Mapping[str, Any] | None
    until: float


def open_to_all(path: str) -> bool:
    """Whether a path of ours is answered whoever asks."""
    return path in _OPEN_PATHS or path.startswith(_OPEN_PREFIX)


class Reviewed:
    """See the module."""

    def __init__(
        self, reviewer: Reviewer, allowance: Allowance, *, recheck_seconds: float, outage_seconds: float
    ) -> None:
        self._reviewer = reviewer
        self._allowance = allowance
        self._kept = Kept[_Decided]("access review", DECISIONS, lambda decision: decision.until)
        self._rules = Kept[_Listed]("rules review", LISTS, lambda listed: listed.until)
        self._turns = Turns[Decision]("access review again", seconds=recheck_seconds, outage_seconds=outage_seconds)

    async def authorize(
        self,
        caller: Caller,
        attributes: ResourceAttributes | PathAttributes,
        *,
        partial: Candidates | None = None,
        held: Decision | None = None,
    ) -> Decision:
        """As Authorizer.authorize. Raises UpstreamUnavailableError, TooManyReviewsError."""
        if isinstance(attributes, PathAttributes):
            # The overview shows what its reader may list; a right to the page itself is in no role that people have.
            if open_to_all(attributes.path) or (attributes.path == "/" and caller.user != ANONYMOUS.user):
                return Allow()
            return await self._decide(caller, attributes)
        if held is not None:
            return await self._again(caller, attributes, partial, held)
        decision = await self._decide(caller, attributes)
        if isinstance(decision, Allow) or partial is None:
            return decision
        return await self._parts(caller, attributes, partial, frozenset(), decision, self._decide)

    async def rules(self, caller: Caller, namespace: str) -> Mapping[str, Any] | None:
        """As Rules.rules; held as long as a yes."""
        told = await self._rules.get((caller.identity, namespace), lambda: self._listed(caller, namespace))
        return told.status

    async def _listed(self, caller: Caller, namespace: str) -> _Listed:
        self._spend(caller)
        status = await self._reviewer.rules(caller, namespace)
        return _Listed(status, min(asyncio.get_running_loop().time() + ALLOWED_SECONDS, caller.until))

    async def close(self) -> None:
        await self._rules.close()
        await self._kept.close()
        await self._turns.close()

    # -- one tuple --------------------------------------------------------------------------------------

    async def _decide(self, caller: Caller, attributes: ResourceAttributes | PathAttributes) -> _Decided:
        key = (caller.identity, attributes)
        return await self._kept.get(key, lambda: self._first(caller, attributes))

    async def _first(self, caller: Caller, attributes: ResourceAttributes | PathAttributes) -> _Decided:
        self._spend(caller)
        return await self._reviewer.may(caller, attributes)

    def _spend(self, caller: Caller) -> None:
        owner = owner_of(caller)
        if not self._allowance.take(owner):
            raise TooManyReviewsError(
                f"{owner or 'your address'} causes more access reviews than --review-burst and --review-rate allow:"
                " retry with the same selectors, for whose answers hold for seconds, or name one namespace"
            )

    async def _anew(self, caller: Caller, attributes: ResourceAttributes) -> _Decided:
        key = (caller.identity, attributes)
        return await self._kept.anew(key, lambda: self._reviewer.may(caller, attributes))

    async def _again(
        self, caller: Caller, attributes: ResourceAttributes, partial: Candidates | None, held: Decision
    ) -> Decision:
        async def ask() -> Decision:
            decision = await self._anew(caller, attributes)
            if isinstance(decision, Allow) or partial is None:
                return decision
            before = held.namespaces if isinstance(held, AllowNamespaces) else frozenset()
            return await self._parts(caller, attributes, partial, before, decision, self._anew)

        turn = await self._turns.ask((caller.identity, attributes, partial is not None), ask, held)
        decision = replace(turn.answer, until=turn.until)
        if isinstance(decision, AllowNamespaces) and isinstance(held, AllowNamespaces):
            return await self._with_own(caller, attributes, decision, held)
        return decision

    async def _with_own(
        self, caller: Caller, attributes: ResourceAttributes, decision: AllowNamespaces, held: AllowNamespaces
    ) -> AllowNamespaces:
        """Whoever asked for all may not have known of a namespace that this stream shows, and that is empty by now."""
        for namespace in sorted(held.namespaces - decision.namespaces):
            exact = replace(attributes, namespace=namespace)
            ask = functools.partial(self._anew, caller, exact)
            turn = await self._turns.ask((caller.identity, exact, False), ask, Allow())
            if isinstance(turn.answer, Allow):
                decision = AllowNamespaces(decision.namespaces | {namespace}, min(decision.until, turn.until))
        return decision

    # -- some namespaces --------------------------------------------------------------------------------

    async def _parts(
        self,
        caller: Caller,
        attributes: ResourceAttributes,
        partial: Candidates,
        before: frozenset[str],
        refused: _Decided,
        decide: _Decide,
    ) -> Decision:
        """The namespaces that may be seen. before: what an open stream shows, which is asked about whatever it holds.

        refused: what was said about all of them. The no is the same whether nothing is granted or too many would have
        to be asked about: which of the two it is depends on namespaces that the caller may not see.
        """
        budget = partial.budget
        asked = before.union(partial.namespaces())
        if len(asked) <= budget.left:
            budget.left -= len(asked)
        else:
            asked = before or frozenset(budget.found) or asked
            if len(asked) > budget.again and not before:
                asked = frozenset()
            budget.again -= len(asked)
        allowed, until = await self._allowed(caller, attributes, asked, decide)
        budget.found |= allowed
        until = min(refused.until, until)
        return AllowNamespaces(allowed, until) if allowed else Deny(_hinted(refused), until)

    async def _allowed(
        self, caller: Caller, attributes: ResourceAttributes, asked: frozenset[str], decide: _Decide
    ) -> tuple[frozenset[str], float]:
        """Those of ``asked`` that may be seen, and until when that holds."""
        names = sorted(asked)
        decided = await asyncio.gather(*(decide(caller, replace(attributes, namespace=each)) for each in names))
        allowed = frozenset(name for name, each in zip(names, decided, strict=True) if isinstance(each, Allow))
        return allowed, min((each.until for each in decided), default=inf)


def _hinted(refused: _Decided) -> str:
    said = f"{refused.reason}: " if isinstance(refused, Deny) and refused.reason else ""
    return f"{said}{NAME_ONE}"
