"""The certificate that readers are shown, read again when its files change.

A context is immutable once connections use it, and OpenSSL keeps the old certificate beside a new one of another key
type; so a change makes a new context. The one that listens hands each handshake on to the newest (``sni_callback``,
which OpenSSL calls with or without a server name): connections that are open stay as they are. A pair that cannot be
loaded (caught half way through a rotation, or wrong) changes nothing: the log says so once, /-/status and a metric
for as long as it lasts.

HTTP/2 is not spoken, and said so in the handshake.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import structlog

from kubemirror.errors import ConfigError
from kubemirror.pem import Pair, load_pair
from kubemirror.settings import Settings

# Issuers renew days before the end, and kubelet takes a minute to bring files: this is soon enough, and two small
# reads cost nothing.
LOOK_SECONDS = 10.0

log = structlog.get_logger()


class Certificate:
    """What is shown now, and where it comes from: two files, or memory (``files`` is None)."""

    def __init__(self, pair: Pair, files: tuple[Path, Path] | None = None, *, client_ca: Path | None = None) -> None:
        """client_ca: issuers of the certificates that clients may show. Raises ValueError for what cannot be loaded."""
        self.files = files
        self.client_ca = client_ca
        self.loads: Counter[str] = Counter(loaded=0, refused=0)
        self.refused: str | None = None  # why what the files hold now is not what is shown
        self._seen: Pair | None = None  # what the files held when they were looked at last
        self.context = _context()  # the one that listens
        self.context.sni_callback = self._hand_on
        if client_ca is not None:
            self.context.verify_mode = ssl.CERT_OPTIONAL  # a connection keeps the mode it began with
        self._take(pair)

    async def run(self, *, look_seconds: float = LOOK_SECONDS) -> None:
        """Follow the files for as long as the process lives."""
        while self.files is not None:
            await asyncio.sleep(look_seconds)
            await self.look()
        await asyncio.get_running_loop().create_future()  # in memory: there is nothing to follow

    async def look(self) -> None:
        """Take the files' new pair, if it is one."""
        assert self.files is not None  # noqa: S101 - run() has asked
        try:
            pair = await asyncio.to_thread(read_pair, *self.files)
            if pair == self._seen and await asyncio.to_thread(self._issuers) == self._seen_issuers:
                return
            self._take(pair)
        except (OSError, ValueError) as error:
            if str(error) != self.refused:
                self.loads["refused"] += 1
                log.error("tls.kept", reason=str(error), meaning="the certificate before this one is still shown")
            self.refused = str(error)
            return
        log.info("tls.reloaded", **self.told)

    @property
    def told(self) -> dict[str, str]:
        """For the log: what to compare with what a client is shown."""
        return {"fingerprint": self.fingerprint, "not_after": self.not_after.isoformat()}

    def _take(self, pair: Pair) -> None:
        self._seen = None  # a pair that is refused is looked at again: its other half may come
        current = _context()
        try:
            load_pair(current, pair)
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise ValueError("the certificate and the key do not belong together") from None
            raise ValueError("the certificate or the key is not PEM") from None
        issuers = self._issuers()
        if issuers:
            try:
                current.load_verify_locations(cadata=issuers.decode("ascii", "replace"))
            except ssl.SSLError:
                raise ValueError(f"{self.client_ca} holds no certificate") from None
            current.verify_mode = ssl.CERT_OPTIONAL  # who shows none is asked for a token
        self._seen_issuers = issuers
        self._describe(pair.chain)
        self._current = current
        self._seen = pair
        self.refused = None
        self.loads["loaded"] += 1

    def _issuers(self) -> bytes:
        return self.client_ca.read_bytes() if self.client_ca is not None else b""

    def _describe(self, chain: bytes) -> None:
        from cryptography import x509  # here: 11 MB that a mirror without TLS never needs
        from cryptography.hazmat.primitives import hashes

        leaf = x509.load_pem_x509_certificate(chain)
        digest = leaf.fingerprint(hashes.SHA256())
        self.not_after: datetime = leaf.not_valid_after_utc.astimezone(UTC)
        self.fingerprint = digest.hex(":").upper()

    def _hand_on(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current


def certificate_of(settings: Settings) -> Certificate | None:
    """What ``settings`` say to serve with, None for plaintext; ConfigError where that cannot be."""
    certificate, key = settings.tls_cert, settings.tls_key
    if (certificate is None) is not (key is None):
        raise ConfigError("--tls-cert and --tls-key go together: give both or none")
    if settings.client_ca is not None and certificate is None and not settings.tls_self_signed:
        raise ConfigError("--client-ca: clients show certificates over TLS only: give --tls-cert and --tls-key")
    if settings.tls_self_signed:
        from kubemirror.serve import self_signed  # as above

        names = self_signed.names_of(settings.host, settings.allow_host)
        if certificate is None or key is None:
            return Certificate(self_signed.make(names), client_ca=settings.client_ca)
        self_signed.keep(certificate, key, names)
    if certificate is None or key is None:
        return None
    try:
        return Certificate(read_pair(certificate, key), (certificate, key), client_ca=settings.client_ca)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot serve TLS with {certificate} and {key}: {error}") from None


def read_pair(certificate: Path, key: Path) -> Pair:
    return Pair(certificate.read_bytes(), key.read_bytes())


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
