"""Whether we may still watch what we watch: upstream authorises a watch once, when it opens, and never again.

A right that was taken away would be noticed when the watch ends or at the next audit, minutes later, and until then we
would show what we may no longer see. So the same watch is asked for once more every minute, from where we are, for one
second: it moves nothing but the events of that second, needs no right that we do not use anyway, and leaves its
connection in the pool.
"""

from __future__ import annotations

import asyncio

from kubemirror.kube.transport import Transport, TransportError
from kubemirror.kube.watcher import Watcher, Watching

# The whole of it: an answer, and the second for which the watch is open.
ANSWER_SECONDS = 15.0
ACCEPT = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, application/json"


class Rights:
    """Of one watch."""

    def __init__(self, *, transport: Transport, path: str, watcher: Watcher) -> None:
        self._transport = transport
        self._path = path
        self._watcher = watcher

    async def lost(self) -> bool:
        """Whether upstream says so (401 or 403); not for anything else that happens to the question."""
        watcher = self._watcher
        if not isinstance(watcher.state, Watching) or watcher.reached is None:
            return False  # whatever is asked next will tell
        query = [("watch", "1"), ("timeoutSeconds", "1"), ("resourceVersion", str(watcher.reached))]
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                response = await self._transport.request(
                    "GET", self._path, query=query, headers={"accept": ACCEPT}, seconds=ANSWER_SECONDS
                )
                try:
                    while await response.body.read():
                        pass
                finally:
                    await response.body.close()
        except (TransportError, TimeoutError):
            return False
        return response.status in (401, 403)
