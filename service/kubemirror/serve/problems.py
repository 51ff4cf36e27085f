"""What our own paths answer when they cannot answer: errors as Status, in one line that names the remedy.

The words of Kubernetes paths are upstream's (status.py); here are those that only our paths have. JSON readers
get the Status itself, browsers a page, curl's table one line of text: rendering.py chooses.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from kubemirror.access.authorizer import Caller, Deny, PathAttributes, ResourceAttributes
from kubemirror.errors import ConfigError, ForbiddenError, GoneError, KubemirrorError, NotSyncedError
from kubemirror.serve.status import StatusError, bad_request, forbidden, from_error

# While a store is not complete: a first list takes a second or two.
RETRY_SECONDS = 1


def not_found(message: str, name: str = "") -> StatusError:
    return StatusError(404, "NotFound", message, {"name": name} if name else None)


def try_later(code: int, reason: str, message: str, *, seconds: int = RETRY_SECONDS) -> StatusError:
    """An error that passes: with Retry-After, in seconds."""
    return StatusError(
        code, reason, message, {"retryAfterSeconds": seconds}, headers=[(b"retry-after", b"%d" % seconds)]
    )


def denied(caller: Caller, attributes: ResourceAttributes | PathAttributes, decision: Deny) -> StatusError:
    """The Authorizer's no, worded as the API server words it."""
    if isinstance(attributes, PathAttributes):
        return forbidden(f'User "{caller.user}" cannot {attributes.verb} path "{attributes.path}": {decision.reason}')
    where = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    return forbidden(
        f'User "{caller.user}" cannot {attributes.verb} resource "{attributes.resource}" '
        f'in API group "{attributes.group}" {where}: {decision.reason}',
        resource=attributes.resource,
        group=attributes.group,
        name=attributes.name,
    )


def problem_of(error: KubemirrorError) -> StatusError:
    """How an error of ours is answered on our own paths."""
    text = str(error)
    match error:
        case NotSyncedError():
            return try_later(503, "ServiceUnavailable", f"not synced yet: {text}")
        case ForbiddenError():
            return StatusError(403, "Forbidden", text or "the API server refuses this resource to the mirror")
        case GoneError():
            return not_found(text or "the resource is not mirrored any more")
        case ConfigError():
            return bad_request(text)
        case _:
            return from_error(error)


def nearest(word: str, known: Iterable[str]) -> str:
    """``: did you mean "x"?`` for the nearest known word, "" where none is near."""
    candidates = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), candidates, n=1, cutoff=0.5)
    return f': did you mean "{candidates[close[0]]}"?' if close else ""


def unknown_parameter(name: str, known: Iterable[str]) -> StatusError:
    """The 400 for a query parameter that this path does not have."""
    known = sorted(known)
    hint = nearest(name, known) or (f"; known are {', '.join(known)}" if known else "; this path takes none")
    return bad_request(f'unknown parameter "{name}"{hint}')


def unknown_resource(name: str, known: Iterable[str]) -> StatusError:
    """The 404 for a resource that is not mirrored."""
    return not_found(f'the mirror has no resource "{name}"{nearest(name, known)}', name)
