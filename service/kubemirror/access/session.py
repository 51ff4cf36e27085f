"""A browser's session: its token, sealed into a cookie that no script can read, no longer than the token lives.

``__Host-`` makes browsers refuse the cookie from anything but this host over TLS, for any path. It is SameSite=Lax and
not Strict, so that a link in a chat or a portal opens the page and not the sign-in page: what crosses sites then are
GETs at the top level, which change nothing here, and every POST names its Origin. The key is derived from a secret that
replicas share, or is the process' own; then its end ends all sessions.

The cookie is all that there is of a session, so a copy of it would outlive signing out: each process remembers which
sessions were ended at it. Other replicas are not told: whoever fears a copy takes the token back.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import orjson

from kubemirror.access.presented import Presented
from kubemirror.access.tokens import expiry_of
from kubemirror.errors import ConfigError

COOKIE = "__Host-kubemirror-session"
# A working day: a token that does not say when it ends is typed in again in the morning.
LONGEST_SECONDS = 12 * 3600.0
# Browsers drop a cookie beyond 4096 bytes with its name and attributes.
LONGEST_COOKIE = 3900
_NONCE_BYTES = 12
_PURPOSE = b"kubemirror session cookie 1"
# Below this a secret can be guessed.
_LEAST_SECRET = 32
# Sessions that were ended and are not over yet; some 200 bytes each. Beyond it the oldest are forgotten: to get there
# takes as many reviewed sign-ins within twelve hours.
MOST_ENDED = 20_000


@dataclass(frozen=True, slots=True)
class Session:
    """What a cookie holds. id: of this sign-in alone. until: seconds since 1970."""

    id: bytes
    token: str
    until: float


class Sessions:
    """Seals tokens into cookies and opens them. wall: seconds since 1970."""

    def __init__(self, secret: bytes, *, wall: Callable[[], float]) -> None:
        from cryptography.hazmat.primitives import hashes  # here: 11 MB that other modes never need
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        key = HKDF(hashes.SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret)
        self._cipher = AESGCM(key)
        self._wall = wall
        self._ended: OrderedDict[bytes, float] = OrderedDict()  # until when each would have held

    def seal(self, token: str) -> tuple[str, int]:
        """The cookie's value, and for how many seconds it holds. Raises ValueError where no cookie can hold it."""
        now = self._wall()
        expiry = expiry_of(token)
        seconds = min(LONGEST_SECONDS, (expiry or now + LONGEST_SECONDS) - now)
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, orjson.dumps([int(now + seconds), token]), _PURPOSE)
        value = base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()
        if len(value) > LONGEST_COOKIE:
            raise ValueError(f"the token is too long for a cookie ({len(token)} bytes): browsers keep some 2,900 of it")
        return value, int(seconds)

    def of(self, presented: Presented) -> Session | None:
        """This browser's session; None without one: what was changed, or is over, is none."""
        value = _cookie(presented)
        if not value:
            return None
        from cryptography.exceptions import InvalidTag

        try:
            raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
            nonce = raw[:_NONCE_BYTES]
            until, token = orjson.loads(self._cipher.decrypt(nonce, raw[_NONCE_BYTES:], _PURPOSE))
        except (binascii.Error, ValueError, InvalidTag):
            return None
        return Session(nonce, str(token), until) if self._wall() < until and not self.ended(nonce) else None

    def ended(self, id_: bytes) -> bool:
        """Whether a session was ended here."""
        return id_ in self._ended

    def end(self, session: Session) -> None:
        """Take its cookie no more, for as long as it would have held."""
        now = self._wall()
        for id_ in [id_ for id_, until in self._ended.items() if until <= now]:
            del self._ended[id_]
        self._ended[session.id] = session.until
        while len(self._ended) > MOST_ENDED:
            self._ended.popitem(last=False)


def set_cookie(value: str, seconds: int) -> tuple[bytes, bytes]:
    """The header that begins a session."""
    text = f"{COOKIE}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"
    return b"set-cookie", text.encode()


def end_cookie() -> tuple[bytes, bytes]:
    """The header that ends it."""
    return set_cookie("", 0)


def secret_of(path: Path | None, flag: str) -> bytes:
    """What ``path`` holds, or a secret of this process alone. Raises ConfigError."""
    if path is None:
        return os.urandom(_LEAST_SECRET)
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"{flag} {path}: {error.strerror}") from None
    if len(secret) < _LEAST_SECRET:
        raise ConfigError(f"{flag} {path}: at least {_LEAST_SECRET} bytes are needed; head -c 32 /dev/urandom | base64")
    return secret


def _cookie(presented: Presented) -> str:
    for header in presented.all(b"cookie"):
        for part in header.split(";"):
            name, _, value = part.strip().partition("=")
            if name == COOKIE:
                return value
    return ""
