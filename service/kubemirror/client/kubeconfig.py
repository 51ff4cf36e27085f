"""A kubeconfig for a running mirror: kubectl and every Kubernetes client read through it unchanged.

The certificate that the mirror is known by is copied in, so that the file works wherever it is taken. A token is
not: it stays in its file, which clients read again as it is renewed. Clients send one over https only, so one for a
plaintext mirror is refused here rather than left out silently there.

Where a mirror made its certificate itself and keeps it in memory, there is no file to trust. ``shown_by`` asks the
mirror for it: trust on first use, as with ssh, with the fingerprint to compare.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import yaml

# A mirror that is there answers a handshake at once; one that is not should not hold up a person.
HANDSHAKE_SECONDS = 10.0
# A user without credentials is one whom kubectl asks for a name and password. API servers take a Basic header for none.
_NOBODY = "anonymous"
_CERTIFICATES = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


def kubeconfig(server: str, *, token_file: str | None = None, ca: str | None = None, name: str = "kubemirror") -> str:
    """YAML. ca: PEM text. name: of the context, the cluster and the user. ValueError says what cannot be."""
    scheme, _, _ = _parted(server)
    cluster: dict[str, object] = {"server": server.rstrip("/")}
    if scheme == "http" and (ca is not None or token_file is not None):
        what = "a certificate" if ca is not None else "a token: clients send none over http"
        raise ValueError(f"{server} has no use for {what}; serve with TLS and write https://")
    if ca is not None:
        # The certificates alone: whoever gives the mirror's own files by mistake must not hand on its key.
        certificates = "".join(_CERTIFICATES.findall(ca))
        if not certificates:
            raise ValueError("the certificate authority is not PEM (-----BEGIN CERTIFICATE-----)")
        cluster["certificate-authority-data"] = b64encode(certificates.encode()).decode()
    user: dict[str, object] = {}
    if token_file is not None:
        user["tokenFile"] = str(Path(token_file).absolute())
    elif scheme == "https":
        user["username"] = _NOBODY
    config: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return yaml.safe_dump(config, sort_keys=False)


def shown_by(server: str) -> tuple[str, str]:
    """The certificate that ``server`` shows now (PEM), and its SHA-256 fingerprint; ValueError where it shows none."""
    scheme, host, port = _parted(server)
    if scheme != "https":
        raise ValueError(f"{server} shows no certificate: write https://")
    try:
        pem = ssl.get_server_certificate((host, port), timeout=HANDSHAKE_SECONDS)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"{server} does not answer: {error.strerror or error}") from None
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    return pem, ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def _parted(server: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    try:
        parts = urlsplit(server)
        port = parts.port
    except ValueError:
        raise ValueError(f"{server!r} is no URL of a mirror: write http://host:port or https://host:port") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{server!r} is no URL of a mirror: write http://host:port or https://host:port")
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80)
