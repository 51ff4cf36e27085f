"""A key and a certificate of our own making, for whoever has none: on request, and named as such.

Whoever trusts it trusts this one certificate and nothing it could sign: it is no authority. It names what the mirror
can be reached by on this machine (localhost, the address it listens on, the host's name) and what --allow-host adds.

Where files are named the pair is kept there and used again, so that a client's trust outlives a restart; it is made
anew when it nears its end or misses a name, and never in place of files that somebody else put there.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kubemirror.errors import ConfigError
from kubemirror.pem import Pair

# A year, as the API server's own self-signed certificate; kept files are replaced a month before that is over.
VALIDITY = timedelta(days=365)
LEAST_LEFT = timedelta(days=30)
# Clocks differ: a certificate made this moment must hold on a machine that is a little behind.
BACKDATED = timedelta(hours=1)
# In every certificate made here: how kept files are known as ours.
_WHO = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubemirror (self-signed)")])


def names_of(host: str, further: Iterable[str]) -> tuple[str, ...]:
    """What the certificate of a mirror that listens on ``host`` is for."""
    names = ["localhost", "127.0.0.1", "::1", socket.gethostname()]
    if host not in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        names.append(host)
    names += [_without_port(name) for name in further]
    return tuple(dict.fromkeys(name for name in names if name))


def make(names: Iterable[str]) -> Pair:
    """A new pair for ``names``."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_WHO)
        .issuer_name(_WHO)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


def keep(certificate: Path, key: Path, names: tuple[str, ...]) -> None:
    """See to it that the files hold a pair for ``names``. ConfigError where that cannot be."""
    there = [path for path in (certificate, key) if path.exists()]
    if len(there) == 1:
        raise ConfigError(
            f"--tls-self-signed: {there[0]} is there and the other file is not: remove it, or give the whole pair"
        )
    try:
        if there and not _to_be_made_anew(certificate.read_bytes(), names):
            return
        pair = make(names)
        _write(key, pair.key, mode=0o600)
        _write(certificate, pair.chain, mode=0o644)
    except OSError as error:
        raise ConfigError(
            f"--tls-self-signed: the pair cannot be kept in {certificate} and {key}: {error.strerror}; leave "
            "--tls-cert and --tls-key out to have it in memory only"
        ) from None


def _to_be_made_anew(chain: bytes, names: tuple[str, ...]) -> bool:
    """Whether a kept certificate is ours, and used up or for too few names."""
    try:
        certificate = x509.load_pem_x509_certificate(chain)
    except ValueError:
        return False  # not ours; loading it says what is wrong
    if certificate.subject != _WHO or certificate.issuer != _WHO:
        return False
    if certificate.not_valid_after_utc - datetime.now(UTC) < LEAST_LEFT:
        return True
    named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return not {_general_name(name) for name in names} <= set(named)


def _write(path: Path, data: bytes, *, mode: int) -> None:
    """Whole or not at all, and never readable by others meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
        Path(unfinished).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(unfinished).unlink()
        raise


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name.strip("[]")))
    except ValueError:
        return x509.DNSName(name)


def _without_port(host: str) -> str:
    """The name in a Host header: ``mirror.example.com:8080``, ``[fd00::1]:8080``."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() and ":" not in name else host
