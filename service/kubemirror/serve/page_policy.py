"""The headers of every page: nothing inline runs, nothing comes from elsewhere, and who may frame it."""

from __future__ import annotations

from functools import lru_cache

from kubemirror.serve.sending import Headers

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors {}"
)


@lru_cache(maxsize=8)
def page_headers(ancestors: tuple[str, ...]) -> Headers:
    """ancestors: self, none, or origins.

    X-Frame-Options is for browsers that know no frame-ancestors; it cannot express a list, and is left out then.
    """
    sources = " ".join(f"'{each}'" if each in ("self", "none") else each for each in ancestors or ("none",))
    headers = [
        (b"content-security-policy", _POLICY.format(sources).encode()),
        (b"cross-origin-opener-policy", b"same-origin"),
    ]
    options = {("self",): b"SAMEORIGIN", ("none",): b"DENY", (): b"DENY"}.get(ancestors)
    if options is not None:
        headers.append((b"x-frame-options", options))
    return headers
