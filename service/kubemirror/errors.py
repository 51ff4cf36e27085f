"""Every error this project raises on purpose.

    KubemirrorError
    ├── ConfigError            a setting, kubeconfig or credential that cannot work; names the remedy
    ├── SelectorError          a label or field selector that upstream would refuse, in upstream's words
    ├── StoreError             a store cannot answer
    │   ├── NotSyncedError     the store has never been complete
    │   ├── ForbiddenError     upstream refuses this resource to us: nothing of it is served
    │   ├── StreamEndedError   a position in the journal that cannot be read any further
    │   │   ├── ExpiredError   its resourceVersion is older than what is kept (410)
    │   │   │   ├── UnwatchedError   it is inside a gap that was never watched (410)
    │   │   │   └── ForeignError   it is ahead of all that upstream has: of another history (410)
    │   │   ├── DeniedError    the store turned FORBIDDEN under an open stream (403)
    │   │   └── GoneError      the resource itself is no longer there (stream ends, 404 afterwards)
    │   └── TooLargeResourceVersionError   the asked resourceVersion did not arrive in time (504)
    ├── UnauthenticatedError   credentials were given and do not hold (401)
    ├── ImpersonationError     nobody can be acted as in this way, or here (403)
    ├── TooManyReviewsError    somebody causes more questions about access than their share (429)
    └── UpstreamUnavailableError   the API server could not be asked for what only it can tell
        └── ReviewRefusedError     it refuses us (or a caller's own token) the right to ask about access

access/authorizer.py adds RefusedError, a no of the Authorizer's, and serve/status.py StatusError.

Errors that upstream causes while a reflector runs are *values* (kube/watcher.py), never raised out of
the stream; HTTP answers are rendered from these classes once, in serve/.
"""


class KubemirrorError(Exception):
    """Anything this project raises on purpose."""


class ConfigError(KubemirrorError):
    """A setting, kubeconfig or credential cannot work; the message is one line and names the remedy."""

    def __init__(self, message: str) -> None:
        # What it quotes (a path, a name) may hold anything.
        super().__init__(" ".join(message.splitlines()))


class SelectorError(KubemirrorError):
    """A selector does not parse or names a field that cannot be selected; text as upstream's."""


class StoreError(KubemirrorError):
    """A store cannot answer."""


class NotSyncedError(StoreError):
    """The store has not been complete yet; ask again."""


class ForbiddenError(StoreError):
    """Upstream refuses this resource to the mirror, so the mirror refuses it to everyone."""


class StreamEndedError(StoreError):
    """A journal position cannot be read any further."""


class ExpiredError(StreamEndedError):
    """The resourceVersion is older than the journal, or lies inside a gap that was never watched (410)."""

    def __init__(self, requested: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {requested} ({oldest})")
        self.requested = requested
        self.oldest = oldest


class UnwatchedError(ExpiredError):
    """The resourceVersion lies inside a stretch that was never watched here, between two lists."""

    def __init__(self, requested: int, oldest: int) -> None:
        super().__init__(requested, oldest)
        self.args = (f"too old resource version: {requested}: what followed it was not watched here",)


class ForeignError(ExpiredError):
    """The resourceVersion is ahead of upstream itself: it is of a history that has ended, or of another cluster."""

    def __init__(self, requested: int, newest: int) -> None:
        super().__init__(requested, newest)
        self.args = (f"resource version {requested} is of another history: the API server is at {newest}",)


class DeniedError(StreamEndedError):
    """The store turned FORBIDDEN while the stream was open (403)."""


class GoneError(StreamEndedError):
    """The resource is no longer mirrored: its definition was deleted or replaced."""


class TooLargeResourceVersionError(StoreError):
    """The store did not reach the asked resourceVersion within the deadline (504)."""

    def __init__(self, requested: int, current: int) -> None:
        super().__init__(f"Too large resource version: {requested}, current: {current}")
        self.requested = requested
        self.current = current


class UnauthenticatedError(KubemirrorError):
    """Credentials were given and do not hold."""


class ImpersonationError(KubemirrorError):
    """Impersonate-* fields that are not honoured."""


class TooManyReviewsError(KubemirrorError):
    """Somebody causes more new questions about access than their share; the message names the remedy."""


class UpstreamUnavailableError(KubemirrorError):
    """The API server could not be asked; message is one line without credentials."""


class ReviewRefusedError(UpstreamUnavailableError):
    """The API server refuses the right to create this kind of review."""
