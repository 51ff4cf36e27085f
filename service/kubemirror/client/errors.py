"""What a mirror's client raises.

    KubemirrorError
    └── MirrorError            asking a mirror came to nothing; the message names the remedy
        ├── UnreachableError   nobody answers there, or not as a mirror does
        └── RefusedError       it answered, and will not: a Status with its code
            └── NotFoundError  no such object or resource (404)

A watch raises them only where trying again cannot help. A connection that breaks, a mirror that restarts or is
full, a cursor that is too old: it deals with those itself.
"""

from __future__ import annotations

from kubemirror.errors import KubemirrorError

# What an answer of somebody else (a proxy's page) is quoted up to.
_QUOTED = 200


class MirrorError(KubemirrorError):
    """Asking a mirror came to nothing."""


class UnreachableError(MirrorError):
    """Nobody answers at that address, or not as a mirror does. happened: without the remedy."""

    def __init__(self, happened: str, remedy: str = "") -> None:
        super().__init__(f"{happened}; {remedy}" if remedy else happened)
        self.happened = happened


class RefusedError(MirrorError):
    """The mirror's answer is an error. retry_after: seconds after which it may be another, if it said so."""

    def __init__(self, message: str, *, code: int, reason: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.retry_after = retry_after

    @property
    def passing(self) -> bool:
        """Whether the same may be answered otherwise in a while."""
        return self.code in (408, 425, 429) or self.code >= 500


class NotFoundError(RefusedError):
    """There is no such object, resource or path."""


_REMEDIES = {
    401: "give the token that this mirror asks for (token=, token_file=, --token-file)",
    403: "ask whoever runs the mirror for the right, or ask for less",
}


def refused(code: int, status: object, *, text: str = "", retry_after: str | None = None) -> RefusedError:
    """The error for an answer. status: its body, where that was JSON. text: the body as it came."""
    fields = status if isinstance(status, dict) and status.get("kind") == "Status" else {}
    message = str(fields.get("message") or " ".join(text[:_QUOTED].split()) or "without a word")
    remedy = _REMEDIES.get(code)
    said = f"the mirror answers {code}: {message}" + (f" ({remedy})" if remedy else "")
    details = fields.get("details")
    seconds = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    after = _seconds(seconds if seconds is not None else retry_after)
    kind = NotFoundError if code == 404 else RefusedError
    return kind(said, code=code, reason=str(fields.get("reason", "")), retry_after=after)


def _seconds(told: object) -> float | None:
    try:
        return max(0.0, float(str(told)))
    except ValueError:  # a date, or nothing
        return None
