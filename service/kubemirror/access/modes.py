"""The four modes of access: what each needs, and what it is made of.

local      loopback only: whoever can reach the port may read; Host and Origin are checked by serve/
delegated  bearer token -> TokenReview -> SubjectAccessReview, by the API server
proxy      a front proxy names the user -> SubjectAccessReview
open       everyone may read the resources that are listed
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from kubemirror.access import listed
from kubemirror.access.allowance import Allowance
from kubemirror.access.authorizer import AllowAll, Authenticator, Authorizer, NobodyInParticular, Rules
from kubemirror.access.delegated import Delegated
from kubemirror.access.front_proxy import FrontProxy
from kubemirror.access.impersonation import Impersonating
from kubemirror.access.listed import Listed
from kubemirror.access.reviewed import Reviewed
from kubemirror.access.reviewer import Reviewer
from kubemirror.access.session import Sessions, secret_of
from kubemirror.access.strangers import Strangers
from kubemirror.access.tokens import Tokens
from kubemirror.errors import ConfigError
from kubemirror.settings import Access, Settings
from kubemirror.state.catalog import Catalog
from kubemirror.state.upstream import Reviews


@dataclass(frozen=True, slots=True)
class SignIn:
    """What the sign-in page needs: to check a token, and to keep it."""

    tokens: Tokens
    sessions: Sessions


@dataclass(frozen=True, slots=True)
class Mode:
    """One mode at work. meaning: for the log and people. run: a task that must live as long as the process.

    rules: lists what a caller may; None where everything is open.
    """

    access: Access
    meaning: str
    authenticator: Authenticator
    authorizer: Authorizer
    rules: Rules | None = None
    sign_in: SignIn | None = None
    run: Callable[[], Coroutine[Any, Any, None]] | None = None
    closing: tuple[Callable[[], Awaitable[None]], ...] = field(default=())

    async def close(self) -> None:
        for close in self.closing:
            await close()


# Settings that decide who is answered in these modes, and mean nothing in any other.
_MEANT_FOR = {
    "token_audience": (Access.DELEGATED,),
    "session_key_file": (Access.DELEGATED,),
    "review_server": (Access.DELEGATED, Access.PROXY),
    "proxy_name": (Access.PROXY,),
    "proxy_secret_file": (Access.PROXY,),
    "proxy_extra": (Access.PROXY,),
    "open_resource": (Access.OPEN,),
}


def check(settings: Settings) -> None:
    """Raise ConfigError for a mode that lacks what it needs, or is told what it would not heed."""
    access = settings.access or Access.LOCAL
    for name, modes in _MEANT_FOR.items():
        if getattr(settings, name) and access not in modes:
            raise ConfigError(
                f"--{name.replace('_', '-')} (or KUBEMIRROR_{name.upper()}) is for"
                f" {' or '.join(f'--access {mode}' for mode in modes)}, and this is {access}: leave one of the two away"
            )
    match access:
        case Access.OPEN:
            listed.check(settings.open_resource)
        case Access.PROXY if settings.client_ca is None and settings.proxy_secret_file is None:
            raise ConfigError(
                "--access proxy believes what a proxy says of its users: say how that proxy is known, by its client "
                "certificate (--client-ca, and --proxy-name for its common name) or by a secret (--proxy-secret-file)"
            )
        case Access.PROXY if (
            settings.client_ca is not None and settings.tls_cert is None and not settings.tls_self_signed
        ):
            raise ConfigError("--client-ca: client certificates come with TLS only: give --tls-cert and --tls-key too")


def mode_of(settings: Settings, reviews: Reviews, catalog: Catalog, *, wall: Callable[[], float]) -> Mode:
    """The mode that ``settings.access`` names (local where it names none). Raises ConfigError."""
    check(settings)
    match settings.access:
        case Access.DELEGATED:
            return _delegated(settings, reviews, wall)
        case Access.PROXY:
            return _proxy(settings, reviews)
        case Access.OPEN:
            opened = Listed(catalog, settings.open_resource)
            return Mode(
                Access.OPEN,
                f"whoever can reach this address may read what is mirrored of {', '.join(settings.open_resource)}",
                NobodyInParticular(),
                opened,
                rules=opened,
                run=opened.run,
            )
        case _:
            return Mode(
                Access.LOCAL,
                "this machine's users and programs may read everything that is mirrored",
                NobodyInParticular(),
                AllowAll(),
            )


def _delegated(settings: Settings, reviews: Reviews, wall: Callable[[], float]) -> Mode:
    seconds = {"recheck_seconds": settings.recheck_seconds, "outage_seconds": settings.outage_seconds}
    reviewer = Reviewer(reviews, settings.token_audience)
    # One address has never more than half of what is asked at a time.
    strangers = Strangers(at_once=max(1, settings.max_reviews // 2), failures=settings.max_token_failures)
    tokens = Tokens(reviewer, strangers, wall=wall, **seconds)
    authorizer = Reviewed(reviewer, _allowance(settings), **seconds)
    sessions = Sessions(secret_of(settings.session_key_file, "--session-key-file"), wall=wall)
    return Mode(
        Access.DELEGATED,
        "the API server says who a token is from, and what that user may see",
        Impersonating(Delegated(tokens, sessions), authorizer, reviewer),
        authorizer,
        rules=authorizer,
        sign_in=SignIn(tokens, sessions),
        run=reviewer.run,
        closing=(tokens.close, authorizer.close),
    )


def _proxy(settings: Settings, reviews: Reviews) -> Mode:
    names = settings.proxy_name if settings.client_ca is not None else None
    secret = b""
    if settings.proxy_secret_file is not None:
        secret = secret_of(settings.proxy_secret_file, "--proxy-secret-file")
    reviewer = Reviewer(reviews, tokens=False)
    authorizer = Reviewed(
        reviewer,
        _allowance(settings),
        recheck_seconds=settings.recheck_seconds,
        outage_seconds=settings.outage_seconds,
    )
    return Mode(
        Access.PROXY,
        "a front proxy says who asks, and the API server what that user may see",
        Impersonating(FrontProxy(names=names, secret=secret, extra=settings.proxy_extra), authorizer, reviewer),
        authorizer,
        rules=authorizer,
        run=reviewer.run,
        closing=(authorizer.close,),
    )


def _allowance(settings: Settings) -> Allowance:
    return Allowance(burst=settings.review_burst, per_second=settings.review_rate)
