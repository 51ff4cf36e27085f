"""Who a proxy that has signed people in says is asking: X-Remote-User, -Group, -Uid and -Extra-*.

Anyone can send these fields, so they are believed only from the proxy itself: by a client certificate that the
handshake has verified, of an allowed name, or by a secret that both know; where both are set, by both. From anyone else
they are refused, and not ignored: who sends them believes to be somebody.

A proxy can take away a field that clients send if it knows the field's name. Few can take away all that begin with
X-Remote-Extra-, so of those only the ones that are named here are believed, in the one spelling that the proxy knows,
and any other is refused: what was left out might have narrowed what the user may.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import quote

from kubemirror.access.authorizer import ANONYMOUS, Caller
from kubemirror.access.everyone import with_everyone
from kubemirror.access.presented import Presented
from kubemirror.errors import UnauthenticatedError

SECRET = b"kubemirror-proxy-secret"
_USER, _UID, _GROUP, _EXTRA = b"x-remote-user", b"x-remote-uid", b"x-remote-group", b"x-remote-extra-"
# What a field's name may hold as it is; all else is percent-encoded, as client-go does (transport/round_trippers.go).
_PLAIN = "!#$&'*+-.^_`|~"


class FrontProxy:
    """The Authenticator of proxy mode.

    names: common names of its certificate; empty: any that --client-ca has signed. None: certificates are not asked
    for. secret: b"" for none. extra: the keys of X-Remote-Extra-* that are believed.
    """

    def __init__(self, *, names: Sequence[str] | None, secret: bytes, extra: Sequence[str] = ()) -> None:
        if names is None and not secret:
            raise ValueError("a proxy that anybody could be is none")
        self._names = None if names is None else tuple(names)
        self._secret = secret
        self._extra = {field_of(key): key.lower() for key in extra}

    async def authenticate(self, presented: Presented) -> Caller:
        """The user that the proxy names; anonymous where it names none."""
        told = [name for name in presented.names(b"x-remote-") if name in (_USER, _UID, _GROUP) or _is_extra(name)]
        if not told:
            return ANONYMOUS
        if not self._believed(presented):
            raise UnauthenticatedError("X-Remote-* is believed from the front proxy only")
        users = presented.all(_USER)
        if len(users) != 1 or not users[0] or len(presented.all(_UID)) > 1:
            raise UnauthenticatedError("the front proxy must name one user")
        extra = {self._key_of(name): tuple(presented.all(name)) for name in told if _is_extra(name)}
        groups = with_everyone(users[0], presented.all(_GROUP))
        uid = next(iter(presented.all(_UID)), "")
        return Caller(users[0], uid=uid, groups=groups, extra=extra)

    def _key_of(self, name: bytes) -> str:
        key = self._extra.get(name)
        if key is None:
            shown = name[len(_EXTRA) :].decode("latin-1")
            raise UnauthenticatedError(
                f"X-Remote-Extra-{shown} is not believed here: the front proxy must take it away,"
                " or --proxy-extra name it"
            )
        return key

    def _believed(self, presented: Presented) -> bool:
        if self._names is not None:
            certificate = presented.certificate
            if certificate is None or (self._names and certificate.common_name not in self._names):
                return False
        if not self._secret:
            return True
        given = presented.all(SECRET)
        return len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1"), self._secret)


def field_of(key: str) -> bytes:
    """The field that brings ``key``, in lower case."""
    return _EXTRA + quote(key.lower(), safe=_PLAIN).lower().encode()


def _is_extra(name: bytes) -> bool:
    return name.startswith(_EXTRA) and len(name) > len(_EXTRA)
