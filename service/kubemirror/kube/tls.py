"""TLS to the API server: whom we trust and who we are, rebuilt when the files behind them change.

A context is immutable once connections use it. So a change makes a new one: connections opened from then on
use it (aiohttp's pool never mixes contexts), and watches that run well on the old one are not cut. What
cannot be loaded (a certificate caught half way through a rotation) changes nothing, and the log says so once.

Trust is Go's, which issued most clusters' certificates: any certificate in the CA bundle is an anchor, be it a
root or not, and a name counts only as a subject alternative name.
"""

from __future__ import annotations

import ssl

import structlog

from kubemirror.errors import ConfigError
from kubemirror.kube.credential_files import Source
from kubemirror.pem import Pair, load_pair

log = structlog.get_logger()


def make_context(*, ca: bytes | None, insecure: bool, certificate: Pair | None) -> ssl.SSLContext:
    """A client context. ca: PEM bundle; None trusts the system's. ValueError says what cannot be loaded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(cadata=ca.decode("ascii", "ignore"))
        except ssl.SSLError:
            raise ValueError("the CA bundle is not PEM (-----BEGIN CERTIFICATE-----)") from None
    if certificate is not None:
        try:
            load_pair(context, certificate)
        except ssl.SSLError as exc:
            if exc.reason == "KEY_VALUES_MISMATCH":
                raise ValueError("the client certificate and the client key do not belong together") from None
            raise ValueError("the client certificate or its key is not PEM") from None
    return context


class TLS:
    """Contexts for one API server.

    server_name: the name to ask for and to verify in place of the URL's host.
    """

    def __init__(
        self,
        *,
        ca: Source | None = None,
        insecure: bool = False,
        certificate: Source | None = None,
        key: Source | None = None,
        server_name: str = "",
    ) -> None:
        """Raises ConfigError when what is given cannot be loaded now."""
        self.server_name = server_name
        self.insecure = insecure
        self._ca = ca
        self._certificate = certificate
        self._key = key
        self._held: dict[bool, tuple[object, ssl.SSLContext]] = {}
        self._refused: object = None
        self.context()

    @property
    def has_certificate(self) -> bool:
        return self._certificate is not None

    def recheck(self) -> None:
        """Look at every file again now: a handshake or a request was refused, so something may have been rotated."""
        for source in (self._ca, self._certificate, self._key):
            if source is not None:
                source.read(recheck=True)

    def context(self, issued: Pair | None = None, *, anonymous: bool = False) -> ssl.SSLContext:
        """The context for the next connection.

        issued: a certificate that an exec plugin has issued; it takes the configured one's place.
        anonymous: without any client certificate, for a request that carries somebody else's token (the API
        server prefers a certificate to a token, so ours would answer for them).
        """
        ca = None if self._ca is None else self._ca.read()
        certificate = None if anonymous else issued
        if certificate is None and not anonymous and self._certificate is not None and self._key is not None:
            certificate = Pair(self._certificate.read(), self._key.read())
        made_of = (ca, certificate)
        held = self._held.get(anonymous)
        if held is not None and (held[0] == made_of or self._refused == made_of):
            return held[1]
        try:
            context = make_context(ca=ca, insecure=self.insecure, certificate=certificate)
        except (ValueError, OSError) as exc:
            names = ", ".join(source.name for source in (self._ca, self._certificate, self._key) if source is not None)
            if held is None:
                raise ConfigError(f"TLS to the API server cannot be set up: {exc}; check {names}") from None
            self._refused = made_of
            log.warning("credentials.kept", file=names, reason=str(exc))
            return held[1]
        self._refused = None
        self._held[anonymous] = (made_of, context)
        return context
