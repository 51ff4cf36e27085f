"""kubemirror: a Kubernetes cluster's state, mirrored in memory, served to everyone who only wants to look.

As a library it is asyncio's reflector: open a ``Connection``, ``discover`` a resource, give a ``Reflector`` a
``Writer``; read through the writer's ``reader``, or take each ``Event`` in a ``sink``. ``Mirror`` does it for
many resources at once, CustomResourceDefinitions followed. Names are imported when they are first used, so
that ``import kubemirror`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from kubemirror.errors import (
        ConfigError,
        ExpiredError,
        ForbiddenError,
        GoneError,
        KubemirrorError,
        NotSyncedError,
        StoreError,
        StreamEndedError,
    )
    from kubemirror.kube.connection import Connection
    from kubemirror.kube.discovery import Discovered, Discovery, DiscoveryError, discover
    from kubemirror.kube.mirror import Mirror
    from kubemirror.kube.reflector import Reflector, ReflectorOptions
    from kubemirror.kube.transport import Response, Transport, TransportError
    from kubemirror.settings import Settings
    from kubemirror.state.catalog import Catalog, Entry, Resource, ServedVersion
    from kubemirror.state.events import (
        Apply,
        Bookmark,
        Columns,
        Delete,
        Event,
        Init,
        InitApply,
        InitDelete,
        InitDone,
        Phase,
        PhaseChange,
    )
    from kubemirror.state.journal import Change, ChangeType, Interest, Position
    from kubemirror.state.objects import Key, Object
    from kubemirror.state.statistics import ReflectorStatistics
    from kubemirror.state.store import Reader, Snapshot, Writer

__all__ = [
    "Apply",
    "Bookmark",
    "Catalog",
    "Change",
    "ChangeType",
    "Columns",
    "ConfigError",
    "Connection",
    "Delete",
    "Discovered",
    "Discovery",
    "DiscoveryError",
    "Entry",
    "Event",
    "ExpiredError",
    "ForbiddenError",
    "GoneError",
    "Init",
    "InitApply",
    "InitDelete",
    "InitDone",
    "Interest",
    "Key",
    "KubemirrorError",
    "Mirror",
    "NotSyncedError",
    "Object",
    "Phase",
    "PhaseChange",
    "Position",
    "Reader",
    "Reflector",
    "ReflectorOptions",
    "ReflectorStatistics",
    "Resource",
    "Response",
    "ServedVersion",
    "Settings",
    "Snapshot",
    "StoreError",
    "StreamEndedError",
    "Transport",
    "TransportError",
    "Writer",
    "discover",
]

_HOMES: Final = {
    "kubemirror.errors": "ConfigError ExpiredError ForbiddenError GoneError KubemirrorError NotSyncedError StoreError "
    "StreamEndedError",
    "kubemirror.kube.connection": "Connection",
    "kubemirror.kube.discovery": "Discovered Discovery DiscoveryError discover",
    "kubemirror.kube.mirror": "Mirror",
    "kubemirror.kube.reflector": "Reflector ReflectorOptions",
    "kubemirror.kube.transport": "Response Transport TransportError",
    "kubemirror.settings": "Settings",
    "kubemirror.state.catalog": "Catalog Entry Resource ServedVersion",
    "kubemirror.state.events": "Apply Bookmark Columns Delete Event Init InitApply InitDelete InitDone Phase "
    "PhaseChange",
    "kubemirror.state.journal": "Change ChangeType Interest Position",
    "kubemirror.state.objects": "Key Object",
    "kubemirror.state.statistics": "ReflectorStatistics",
    "kubemirror.state.store": "Reader Snapshot Writer",
}
_HOME: Final = {name: module for module, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
