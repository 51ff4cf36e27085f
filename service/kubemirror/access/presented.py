"""What a request presents of who sends it, before anybody believes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


class PeerCertificate(Protocol):
    """A client certificate that the handshake has verified."""

    @property
    def common_name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Presented:
    """headers: names in lower case, as often as they were sent. certificate: None where none was verified.

    secure: whether what is sent back cannot be read on the way (TLS, or a trusted proxy says so).
    """

    headers: Sequence[tuple[bytes, bytes]]
    peer: tuple[str, int] | None = None
    certificate: PeerCertificate | None = None
    secure: bool = False

    def get(self, name: bytes) -> bytes:
        """The first value of a field, b"" without one: what is repeated is read as the API server reads it."""
        return next((value for each, value in self.headers if each == name), b"")

    def all(self, name: bytes) -> list[str]:
        """Every value of a field."""
        return [value.decode("latin-1") for each, value in self.headers if each == name]

    def names(self, prefix: bytes) -> Iterable[bytes]:
        """Names of the fields that begin with ``prefix``, each once."""
        return dict.fromkeys(each for each, _ in self.headers if each.startswith(prefix))

    @property
    def bearer_token(self) -> str:
        """As kube-apiserver reads it (authentication/request/bearertoken); "" for none: that is anonymous."""
        scheme, _, rest = self.get(b"authorization").strip().decode("latin-1").partition(" ")
        return rest.split(" ", 1)[0] if scheme.lower() == "bearer" else ""
