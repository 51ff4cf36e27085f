"""The links of a page's header that lead to non-resource paths: for whoever may open them, and for no one else."""

from __future__ import annotations

import asyncio

from kubemirror.access.authorizer import Allow, PathAttributes
from kubemirror.errors import KubemirrorError
from kubemirror.serve.asked import Asked
from kubemirror.serve.context import Context

DOCS, STATUS = "/-/docs", "/-/status"
# A page is not worth waiting for them: while nobody can be asked it has none.
WAIT_SECONDS = 1.0


async def offer(context: Context, asked: Asked) -> None:
    """Find out which of them the page of this request may show. Kept pages are their caller's, and end with it."""
    decide = context.authorizer.authorize
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            decisions = await asyncio.gather(
                *(decide(asked.caller, PathAttributes("get", path, wanted=False)) for path in (DOCS, STATUS))
            )
    except (KubemirrorError, TimeoutError):
        return
    found = zip((DOCS, STATUS), decisions, strict=True)
    asked.shortcuts = frozenset(path for path, decision in found if isinstance(decision, Allow))
    asked.shortcuts_until = min(decision.until for decision in decisions)
