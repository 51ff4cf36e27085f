"""What our own paths answer when they cannot answer: errors as Status, in one line that names the remedy.

The words of Kubernetes paths are upstream's (status.py); here are those that only our paths have. JSON readers
get the Status itself, browsers a page, curl's table one line of text: rendering.py chooses.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from kubemirror.errors import ConfigError, ForbiddenError, GoneError, KubemirrorError, NotSyncedError
from kubemirror.serve.status import StatusError, bad_request, from_error

# While a store is not complete: a first list takes a second or two.
RETRY_SECONDS = 1


def not_found(message: str, name: str = "") -> StatusError:
    return StatusError(404, "NotFound", message, {"name": name} if name else None)


def try_later(code: int, reason: str, message: str, *, seconds: int = RETRY_SECONDS) -> StatusError:
    """An error that passes: with Retry-After, in seconds."""
    return StatusError(
        code, reason, message, {"retryAfterSeconds": seconds}, headers=[(b"retry-after", b"%d" % seconds)]
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


def repeated_parameter(name: str) -> StatusError:
    return bad_request(f'parameter "{name}" is given more than once, and counts once: give it once')


class UnknownResourceError(StatusError):
    """The 404 for a resource that is not mirrored. suggestion: the nearest that is, or ""."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.suggestion = nearest_of(name, known, likeness=0.7)
        hint = f': did you mean "{self.suggestion}"?' if self.suggestion else "; / shows what it has, --mirror adds"
        super().__init__(404, "NotFound", f'the mirror has no resource "{name}"{hint}', {"name": name})


def nearest_of(word: str, known: Iterable[str], *, likeness: float = 0.5) -> str:
    """The known word that is nearest to ``word``, "" where none is near. likeness: 0 (any) to 1 (equal)."""
    candidates = {name.lower(): name for name in known}
    close = get_close_matches(word.lower(), candidates, n=1, cutoff=likeness)
    return candidates[close[0]] if close else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """``: did you mean "x"?`` for the nearest known word, "" where none is near."""
    found = nearest_of(word, known)
    return f': did you mean "{found}"?' if found else ""


def unknown_path(path: str, templates: Iterable[str]) -> StatusError:
    """The 404 for a path that no route has; it names those that begin alike."""
    beginnings: dict[str, list[str]] = {}
    for template in templates:
        if template != "/":
            beginnings.setdefault(template.split("/")[1], []).append(template)
    first = path.split("/")[1] if path.startswith("/") else ""
    known = nearest_of(first, filter(None, beginnings), likeness=0.7)
    alike = beginnings[known] if known else []
    hint = f"there are {', '.join(alike)}" if len(alike) > 1 else f"there is {alike[0]}" if alike else ""
    return not_found(f"nothing is at {path}: {hint or '/ shows what there is'}")


def unknown_parameter(name: str, known: Iterable[str]) -> StatusError:
    """The 400 for a query parameter that this path does not have."""
    known = sorted(known)
    hint = nearest(name, known) or (f"; known are {', '.join(known)}" if known else "; this path takes none")
    return bad_request(f'unknown parameter "{name}"{hint}')
