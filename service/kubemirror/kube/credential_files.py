"""What credentials are made of: bytes given in the kubeconfig, or in a file that somebody rotates.

The kubelet replaces a service account's token about hourly, certificate rotation replaces CA and client
certificate, login tools rewrite token files. A writer may be caught half way: the file is missing, empty or
a lone newline for a moment. Then the value held so far stays, and the log says so once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog

from kubemirror.errors import ConfigError

log = structlog.get_logger()

# Seconds between two looks at a file. client-go re-reads tokens each 10 s (and certificates each 10 s); a
# look is one stat, so all requests of a second share it for free.
RECHECK_SECONDS = 10.0


class Source(Protocol):
    """Bytes that may change."""

    @property
    def name(self) -> str:
        """Where the bytes are from, for messages."""

    def read(self, *, recheck: bool = False) -> bytes:
        """The newest good bytes. recheck: look now, even if somebody has looked a moment ago."""


class Given:
    """Bytes that stand in the kubeconfig itself."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self.name = name

    def read(self, *, recheck: bool = False) -> bytes:
        return self._data


class CredentialFile:
    """A file that is looked at again every RECHECK_SECONDS, and read again when it changed.

    The first read must succeed (ConfigError); after that the last good content is kept through anything.
    """

    def __init__(self, path: Path, what: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """what: the file's part, for messages, such as "token file". clock: seconds, monotonic."""
        self.path = path
        self.name = f"{what} {path}"
        self._clock = clock
        self._complained = False
        self._signature: tuple[int, int, int] | None = None
        try:
            self._signature, self._data = self._load()
        except (OSError, ValueError) as exc:
            raise ConfigError(f"cannot read the {self.name}: {_reason(exc)}") from None
        self._checked = clock()

    def __repr__(self) -> str:
        return f"CredentialFile({str(self.path)!r})"

    def _load(self) -> tuple[tuple[int, int, int], bytes]:
        stat = self.path.stat()
        data = self.path.read_bytes()
        if not data.strip():
            raise ValueError("it is empty")
        return (stat.st_mtime_ns, stat.st_size, stat.st_ino), data

    def read(self, *, recheck: bool = False) -> bytes:
        now = self._clock()
        if not recheck and now - self._checked < RECHECK_SECONDS:
            return self._data
        self._checked = now
        try:
            stat = self.path.stat()
            if recheck or (stat.st_mtime_ns, stat.st_size, stat.st_ino) != self._signature:
                signature, data = self._load()
                if data != self._data:
                    log.info("credentials.reread", file=self.name)
                self._signature, self._data = signature, data
        except (OSError, ValueError) as exc:
            if not self._complained:
                self._complained = True
                log.warning("credentials.kept", file=self.name, reason=_reason(exc))
        else:
            self._complained = False
        return self._data


def _reason(exc: Exception) -> str:
    return (exc.strerror or type(exc).__name__) if isinstance(exc, OSError) else str(exc)
