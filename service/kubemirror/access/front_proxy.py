"""Who a proxy that has signed people in says is asking: X-Remote-User, -Group, -Uid and -Extra-*.

Anyone can send these fields, so they are believed only from the proxy itself: by a client certificate that the
handshake has verified, of an allowed name, or by a secret that both know; where both are set, by both. From anyone else
they are refused, and not ignored: who sends them believes to be somebody.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from urllib.parse import unquote

from kubemirror.access.authorizer import ANONYMOUS, Caller
from kubemirror.access.presented import Presented
from kubemirror.errors import UnauthenticatedError

SECRET = b"kubemirror-proxy-secret"
_USER, _UID, _GROUP, _EXTRA = b"x-remote-user", b"x-remote-uid", b"x-remote-group", b"x-remote-extra-"


class FrontProxy:
    """The Authenticator of proxy mode.

    names: common names of its certificate; empty: any that --client-ca has signed. None: certificates are not asked
    for. secret: b"" for none.
    """

    def __init__(self, *, names: Sequence[str] | None, secret: bytes) -> None:
        if names is None and not secret:
            raise ValueError("a proxy that anybody could be is none")
        self._names = None if names is None else tuple(names)
        self._secret = secret

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
        extra = {
            unquote(name[len(_EXTRA) :].decode("latin-1")): tuple(presented.all(name))
            for name in told
            if _is_extra(name)
        }
        groups = tuple(presented.all(_GROUP))
        uid = next(iter(presented.all(_UID)), "")
        return Caller(users[0], uid=uid, groups=groups, extra=extra)

    def _believed(self, presented: Presented) -> bool:
        if self._names is not None:
            certificate = presented.certificate
            if certificate is None or (self._names and certificate.common_name not in self._names):
                return False
        if not self._secret:
            return True
        given = presented.all(SECRET)
        return len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1"), self._secret)


def _is_extra(name: bytes) -> bool:
    return name.startswith(_EXTRA) and len(name) > len(_EXTRA)
