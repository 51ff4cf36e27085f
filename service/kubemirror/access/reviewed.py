"""The Authorizer that asks the API server: the exact tuple, kept for seconds, asked again for what is open.

What belongs to nobody needs no review: health, the looks of a page, signing in. Everything else is the API server's to
decide. What cannot be asked is not answered (UpstreamUnavailableError, 503): fail closed, and say that it passes.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

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

# Tuples in ten seconds, some 700 bytes each.
DECISIONS = 16_384
# Of rights, some kilobytes each; people ask for one now and then.
LISTS = 256
HEALTH = frozenset({"/health", "/healthz", "/livez", "/readyz"})
SIGN_IN, SIGN_OUT = "/-/sign-in", "/-/sign-out"
# Nothing of the cluster is in them, and the page on which one signs in needs them.
_OPEN_PATHS = HEALTH | {SIGN_IN, SIGN_OUT}
_OPEN_PREFIX = "/-/static/"

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

    def __init__(self, reviewer: Reviewer, *, recheck_seconds: float, outage_seconds: float) -> None:
        self._reviewer = reviewer
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
        """As Authorizer.authorize. Raises UpstreamUnavailableError."""
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
        status = await self._reviewer.rules(caller, namespace)
        return _Listed(status, min(asyncio.get_running_loop().time() + ALLOWED_SECONDS, caller.until))

    async def close(self) -> None:
        await self._rules.close()
        await self._kept.close()
        await self._turns.close()

    # -- one tuple --------------------------------------------------------------------------------------

    async def _decide(self, caller: Caller, attributes: ResourceAttributes | PathAttributes) -> _Decided:
        key = (caller.identity, attributes)
        return await self._kept.get(key, lambda: self._reviewer.may(caller, attributes))

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

        refused: what was said about all of them.
        """
        budget = partial.budget
        matching = sorted(set(partial.matching()) - before)
        if before:
            matching = matching[: max(0, budget.left - len(before))]
        elif len(matching) > budget.left:
            why = f"more than {REVIEWS_A_REQUEST} namespaces would have to be asked about: name one with namespace="
            return Deny(why, refused.until)
        asked = [*sorted(before), *matching]
        decided = await self._all(caller, attributes, asked, partial, decide)
        if not any(isinstance(each, Allow) for each in decided.values()):
            others = sorted(set(partial.others()) - set(asked))[: max(0, budget.left)]
            decided |= await self._all(caller, attributes, others, partial, decide)
        allowed = frozenset(name for name, each in decided.items() if isinstance(each, Allow))
        if not allowed:
            return refused
        return AllowNamespaces(allowed, min(refused.until, *(each.until for each in decided.values())))

    async def _all(
        self,
        caller: Caller,
        attributes: ResourceAttributes,
        namespaces: list[str],
        partial: Candidates,
        decide: _Decide,
    ) -> dict[str, _Decided]:
        partial.budget.left -= len(namespaces)
        decided = await asyncio.gather(
            *(decide(caller, replace(attributes, namespace=namespace)) for namespace in namespaces)
        )
        return dict(zip(namespaces, decided, strict=True))
