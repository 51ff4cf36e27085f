"""The certificate that a client showed in its handshake, and that the server has verified against --client-ca."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from hashlib import sha256


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """Who it was issued to.

    common_name, organizations: the API server's user name and groups. names: DNS names, for a proxy's own.
    fingerprint: SHA-256 of the whole, in hexadecimal.
    """

    common_name: str
    organizations: tuple[str, ...]
    names: tuple[str, ...]
    fingerprint: str


def certificate_of(connection: ssl.SSLObject | ssl.SSLSocket | None) -> ClientCertificate | None:
    """The verified certificate of the other side; None where it showed none, or nobody asked for one."""
    if connection is None:
        return None
    # Without verification OpenSSL's wrapper gives an empty one: what is not empty was verified.
    told = connection.getpeercert()
    whole = connection.getpeercert(binary_form=True)
    if not told or whole is None:
        return None
    subject: list[tuple[str, str]] = [pair for part in told.get("subject", ()) for pair in part]  # type: ignore[misc]
    names: list[tuple[str, str]] = list(told.get("subjectAltName", ()))  # type: ignore[arg-type]
    return ClientCertificate(
        common_name=next((value for name, value in subject if name == "commonName"), ""),
        organizations=tuple(value for name, value in subject if name == "organizationName"),
        names=tuple(value for kind, value in names if kind == "DNS"),
        fingerprint=sha256(whole).hexdigest(),
    )
