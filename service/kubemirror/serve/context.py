"""What every handler is given: the mirror's readers, the one Authorizer, and what may be asked upstream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from kubemirror.access.audit import Audit
from kubemirror.access.authorizer import Authenticator, Authorizer, Rules
from kubemirror.access.grants import Grants
from kubemirror.access.modes import SignIn
from kubemirror.serve.certificate import Certificate
from kubemirror.serve.lag import LoopLag
from kubemirror.settings import Settings
from kubemirror.state.catalog import Catalog
from kubemirror.state.upstream import Upstream


@dataclass(slots=True)
class Lifecycle:
    """Where the process stands; read by readiness and by every stream."""

    stopping: bool = False  # SIGTERM came: readiness fails, new requests are still answered for a while
    closing: bool = False  # streams end now, each at a moment of its own within ``spread_seconds``
    spread_seconds: float = 0.0
    pressed: bool = False  # memory is nearly used up: no new streams
    tasks: dict[str, asyncio.Task[object]] = field(default_factory=dict)  # must live as long as the process
    _listeners: dict[object, Callable[[], None]] = field(default_factory=dict)

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call ``listener`` when either moved, until the returned function is called."""
        token = object()
        self._listeners[token] = listener
        return lambda: self._listeners.pop(token, None) and None

    def stop(self) -> None:
        self.stopping = True
        self._moved()

    def close(self, *, spread_seconds: float = 0.0) -> None:
        self.spread_seconds = spread_seconds
        self.stopping = self.closing = True
        self._moved()

    def _moved(self) -> None:
        for listener in list(self._listeners.values()):
            listener()


@dataclass(frozen=True, slots=True)
class Context:
    """Handed to every app in serve/ when it is built.

    clock: the stores' clock (monotonic seconds). wall: seconds since 1970.
    authoritative: the stores are the cluster itself (the demo's), so no answer is called a mirror's.
    certificate: what readers are shown; None in plaintext. sign_in: None where nobody can. grants: reads embed tokens;
        None where none are taken. rules: lists a caller's rights; None where only single ones can be asked about.
    """

    catalog: Catalog
    authorizer: Authorizer
    authenticator: Authenticator
    upstream: Upstream
    settings: Settings
    clock: Callable[[], float]
    wall: Callable[[], float]
    authoritative: bool = False
    certificate: Certificate | None = None
    audit: Audit = field(default_factory=lambda: Audit(None, wall=time.time))
    grants: Grants | None = None
    sign_in: SignIn | None = None
    rules: Rules | None = None
    lifecycle: Lifecycle = field(default_factory=Lifecycle)
    lag: LoopLag = field(default_factory=LoopLag)
