"""The client: reads a running mirror over HTTP, and knows nothing else of this project.

    async with Mirror("https://mirror.example.com", token_file="token") as mirror:
        async for event in mirror.watch("deployments", label_selector="app=web"):
            ...

Names are imported when they are first used, so that the command line starts without an HTTP library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kubemirror.client.errors import MirrorError, NotFoundError, RefusedError, UnreachableError
    from kubemirror.client.events import Added, Bookmark, Deleted, Event, Modified, ObjectEvent, Reset
    from kubemirror.client.mirror import Lost, Mirror, Objects
    from kubemirror.client.watching import Watch

__all__ = [
    "Added",
    "Bookmark",
    "Deleted",
    "Event",
    "Lost",
    "Mirror",
    "MirrorError",
    "Modified",
    "NotFoundError",
    "ObjectEvent",
    "Objects",
    "RefusedError",
    "Reset",
    "UnreachableError",
    "Watch",
]

_HOMES: Final = {
    "errors": "MirrorError NotFoundError RefusedError UnreachableError",
    "events": "Added Bookmark Deleted Event Modified ObjectEvent Reset",
    "mirror": "Lost Mirror Objects",
    "watching": "Watch",
}
_HOME: Final = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
