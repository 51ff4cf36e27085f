"""Embed tokens: one view of one resource, shown elsewhere, by a signature instead of credentials.

``embed=`` in a URL names a user, a resource, a namespace, a selector and an expiry, signed with a key that the replicas
share (HMAC-SHA256). It is worth no more than that user's own rights at the moment of each use (the Authorizer is asked
as ever), less all that it does not name. A cluster's token in a URL would be worth everything, wherever the URL leaks.
"""

from __future__ import annotations

import asyncio
import binascii
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any

import orjson
import structlog

from kubemirror.access.authorizer import (
    Allow,
    AllowNamespaces,
    Authorizer,
    Caller,
    Candidates,
    Decision,
    Deny,
    Grant,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.access.everyone import with_everyone
from kubemirror.access.grantable import check, is_resource
from kubemirror.errors import ConfigError, UnauthenticatedError

# As long as the digest: a shorter key is the weakest part.
LEAST_KEY_BYTES = 32
# A page that stands somewhere for longer should be given a new one by whoever shows it.
LONGEST_SECONDS = 366 * 24 * 3600
# Kubelet takes a minute to bring a changed file; looking costs a read of some bytes.
LOOK_SECONDS = 10.0
# Signed too, so that a later form is not taken for this one.
_FORM = "k1"
_VERBS = frozenset({"get", "list", "watch"})

log = structlog.get_logger()


def read_keys(file: Path) -> tuple[bytes, ...]:
    """The keys in a file, one a line: the first signs, all are believed, so that keys can be changed. ConfigError."""
    try:
        keys = tuple(line.strip() for line in file.read_bytes().splitlines() if line.strip())
    except OSError as error:
        raise ConfigError(f"--embed-key-file {file}: {error.strerror}") from None
    if not keys or any(len(key) < LEAST_KEY_BYTES for key in keys):
        raise ConfigError(
            f"--embed-key-file {file}: a line of at least {LEAST_KEY_BYTES} bytes is needed:"
            " head -c 32 /dev/urandom | base64 makes one"
        )
    return keys


def issue(key: bytes, grant: Grant, *, user: str, groups: Sequence[str] = ()) -> str:
    """A token of ``grant`` for ``user``. ConfigError for one that could never open anything."""
    check(grant, user=user, groups=groups)
    named: dict[str, Any] = {
        "u": user,
        "g": list(groups),
        "r": grant.resource,
        "n": grant.namespace,
        "s": grant.selector,
        "e": grant.expires,
    }
    body = urlsafe_b64encode(orjson.dumps({name: value for name, value in named.items() if value})).rstrip(b"=")
    signed = _FORM.encode() + b"." + body
    return (signed + b"." + _signature(key, signed)).decode()


def issued(
    key: bytes,
    *,
    resource: str,
    namespace: str = "",
    selector: str = "",
    user: str,
    groups: Sequence[str] = (),
    seconds: int,
    now: float | None = None,
) -> str:
    """A token that holds for ``seconds``. ConfigError for what no token may be of. now: seconds since 1970."""
    if not 0 < seconds <= LONGEST_SECONDS:
        raise ConfigError(f"an embed token holds for at most {LONGEST_SECONDS // 86_400} days, and for some seconds")
    expires = int((time() if now is None else now) + seconds)
    return issue(key, Grant(resource, namespace, selector.strip(), expires), user=user, groups=groups)


def seconds_of(text: str) -> int:
    """``90``, ``15m``, ``12h`` or ``7d`` as seconds."""
    match = re.fullmatch(r"(\d{1,9})([smhd]?)", text)
    if match is None:
        raise ConfigError(f'"{text}" is no duration: write seconds, or a number with m, h or d')
    return int(match[1]) * {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]]


class Grants:
    """Reads tokens. ``keys`` are asked for each time: they may change while the process lives."""

    def __init__(self, keys: Callable[[], Sequence[bytes]], *, wall: Callable[[], float]) -> None:
        self._keys = keys
        self._wall = wall

    def caller(self, token: str, now: float) -> Caller:
        """Whom it speaks for, within what; UnauthenticatedError where it does not hold. now: the loop's second."""
        signed, _, signature = token.rpartition(".")
        form, _, body = signed.partition(".")
        try:
            data, shown = signed.encode("ascii"), signature.encode("ascii")
        except UnicodeEncodeError:
            raise _NO_TOKEN from None
        if form != _FORM or not any(hmac.compare_digest(_signature(key, data), shown) for key in self._keys()):
            raise _NO_TOKEN
        told = _told(body)
        remaining = told.grant.expires - self._wall()
        if remaining <= 0:
            raise UnauthenticatedError("the embed token has expired: whoever shows this page makes a new one")
        return Caller(told.user, groups=with_everyone(told.user, told.groups), until=now + remaining, grant=told.grant)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a token says."""

    user: str
    groups: tuple[str, ...]
    grant: Grant


def _told(body: str) -> _Told:
    """What a signed body says. Whoever has the key may have signed anything: UnauthenticatedError for what is none."""
    try:
        told = orjson.loads(urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error):
        raise _NO_TOKEN from None
    match told:
        case {"u": str(user), "r": str(resource), "e": int(expires)} if user and is_resource(resource):
            namespace, selector, groups = told.get("n", ""), told.get("s", ""), told.get("g", [])
            texts = (namespace, selector, *groups) if isinstance(groups, list) else (None,)
            if all(isinstance(each, str) for each in texts) and not isinstance(expires, bool):
                return _Told(user, tuple(groups), Grant(resource, namespace, selector, expires))
    raise UnauthenticatedError("the embed token names nothing that could be shown: kubemirror embed-token makes others")


class Granted:
    """An Authorizer that keeps callers with a grant within it, and then asks the one that decides."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def authorize(
        self,
        caller: Caller,
        attributes: ResourceAttributes | PathAttributes,
        *,
        partial: Candidates | None = None,
        held: Decision | None = None,
    ) -> Decision:
        grant = caller.grant
        if grant is None:
            return await self._authorizer.authorize(caller, attributes, partial=partial, held=held)
        beyond = _beyond(grant, attributes)
        if asyncio.get_running_loop().time() >= caller.until:
            beyond = "the embed token has expired"
        if beyond:
            return Deny(beyond)
        # As the user, so that its reviews are shared with whatever else that user does.
        user = replace(caller, grant=None)
        decision = await self._authorizer.authorize(user, attributes, partial=partial, held=held)
        if isinstance(decision, Allow | AllowNamespaces):
            return replace(decision, until=min(decision.until, caller.until))
        return decision


def _beyond(grant: Grant, attributes: ResourceAttributes | PathAttributes) -> str:
    """Why ``attributes`` are not within ``grant``; "" where they are."""
    if isinstance(attributes, PathAttributes):
        if attributes.verb in ("get", "head") and attributes.path.startswith("/-/static/"):
            return ""
        return f"this embed token opens {grant.resource} alone"
    name = f"{attributes.resource}.{attributes.group}" if attributes.group else attributes.resource
    if name != grant.resource or attributes.subresource or attributes.verb not in _VERBS:
        return f"this embed token opens {grant.resource} alone, to look at"
    if grant.namespace and _namespace_of(attributes) != grant.namespace:
        return f"this embed token opens the namespace {grant.namespace} alone"
    if grant.selector and attributes.label_selector.strip() != grant.selector:
        return f"this embed token opens what is selected by {grant.selector} alone"
    return ""


def _namespace_of(attributes: ResourceAttributes) -> str:
    """A namespace is in itself, also where a list selects it by its name."""
    if (attributes.group, attributes.resource) == ("", "namespaces"):
        return attributes.name
    return attributes.namespace


def _signature(key: bytes, data: bytes) -> bytes:
    return urlsafe_b64encode(hmac.new(key, data, sha256).digest()).rstrip(b"=")


_NO_TOKEN = UnauthenticatedError("the embed token is none of ours")


class KeyFile:
    """The keys of a file, read again when it changes; a file that cannot be read any more changes nothing."""

    def __init__(self, file: Path, clock: Callable[[], float]) -> None:
        """Raises ConfigError. clock: seconds."""
        self._file = file
        self._clock = clock
        self._keys = read_keys(file)
        self._looked = clock()

    def __call__(self) -> Sequence[bytes]:
        now = self._clock()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            try:
                self._keys = read_keys(self._file)
            except ConfigError as error:
                log.error("embed.keys_kept", reason=str(error))
        return self._keys
