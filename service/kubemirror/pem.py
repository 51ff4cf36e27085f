"""PEM where OpenSSL can read it.

OpenSSL takes a certificate and its key from files only. Both are read once, as bytes, and given to it in memory: so
what is loaded is what was looked at, a key never meets a disk, and a read-only root file system is no obstacle.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain and its key, PEM."""

    chain: bytes = field(repr=False)
    key: bytes = field(repr=False)


def load_pair(context: ssl.SSLContext, pair: Pair) -> None:
    """Give ``context`` a certificate chain and its key; ssl.SSLError, or ValueError for a key that is encrypted."""
    with _as_file(pair.chain.rstrip() + b"\n" + pair.key) as path:
        context.load_cert_chain(path, password=_no_password)


@contextlib.contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """A path under which OpenSSL can read ``data``: in memory where the system can."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            yield file.name


def _no_password() -> str:
    raise ValueError("the key is encrypted; decrypt it (openssl pkey -in key.pem -out plain.pem)")
