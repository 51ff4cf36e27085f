"""What every request passes before anybody is asked who it is from and whether it may.

Head and path: one reading only. Host: which name it was led here by. Query: no credentials. Origin: whose page made it,
where it upgrades, opens a stream or is no plain read; of a plain read the browser shows a foreign page nothing (CORS).
"""

from __future__ import annotations

from kubemirror.access import origins
from kubemirror.serve import health
from kubemirror.serve.asked import Asked
from kubemirror.serve.context import Context
from kubemirror.serve.paths import check_path, check_query
from kubemirror.serve.status import StatusError, bad_request, forbidden

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Guards:
    """Of one process."""

    def __init__(self, context: Context) -> None:
        self._audit = context.audit
        self._settings = context.settings

    def check(self, asked: Asked, raw_path: bytes, *, ours: bool, stream: bool) -> None:
        """Raise what turns the request away. ours: not a Kubernetes path. stream: an upgrade, a watch, or push."""
        try:
            if asked.ambiguous:
                raise bad_request(asked.ambiguous)
            self._check_host(asked)
            check_query(asked.query)
            if ours:
                check_path(raw_path)
            if stream or asked.method not in SAFE:
                self._check_origin(asked, stream=stream)
        except StatusError as error:
            self._audit.refused(error.message)
            raise

    def _check_host(self, asked: Asked) -> None:
        """A loopback bind answers to its own names only, others to those that are listed, if any are.

        Probes name the address they were told, so health paths answer to any.
        """
        settings = self._settings
        loopback = settings.on_loopback
        if not (loopback or settings.allow_host) or asked.path in health.PATHS:
            return
        host = asked.headers.get("host", "")
        if not origins.named(host, (settings.host, *settings.allow_host), loopback=loopback):
            shown = host[:100]
            where = "on a loopback bind" if loopback else "here"
            raise forbidden(f'Host "{shown}" is not answered {where}: allow it with --allow-host {shown}')

    def _check_origin(self, asked: Asked, *, stream: bool) -> None:
        origin = asked.headers.get("origin")
        if origins.foreign(origin, asked.site, asked.origin, self._settings.allow_origin):
            what = "streams" if stream else f"{asked.method} requests"
            shown = (origin or "another site")[:200]
            raise forbidden(f'{what} from origin "{shown}" are refused: allow it with --allow-origin {shown}')
