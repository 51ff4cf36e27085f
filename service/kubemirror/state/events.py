"""What a reflector tells a store, one event at a time: kube-rs' contract.

A (re)list is ``Init``, one ``InitApply`` per object, ``InitDone``: only then may a store replace what it
holds, in one step, and what was not named in the round is gone. Between lists there are ``Apply`` and
``Delete``. A reflector's stream never raises: what went wrong upstream is told by ``PhaseChange`` and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from kubemirror.state.objects import Object


@dataclass(frozen=True, slots=True)
class Init:
    """A list begins; what follows is collected beside what is held."""


@dataclass(frozen=True, slots=True)
class InitApply:
    """One object of the list."""

    object: Object


@dataclass(frozen=True, slots=True)
class InitDelete:
    """An object of the list was deleted while the list was still arriving (a streamed list goes on living)."""

    object: Object


@dataclass(frozen=True, slots=True)
class InitDone:
    """The list is complete and stands for ``resource_version``.

    rollback: upstream went back in time (etcd restored): every reader starts over, nothing is diffed.
    """

    resource_version: int
    rollback: bool = False


@dataclass(frozen=True, slots=True)
class Apply:
    """An object was added or changed; the store decides which by what it holds."""

    object: Object


@dataclass(frozen=True, slots=True)
class Delete:
    """An object was deleted; ``object`` is its last state under the deletion's resourceVersion."""

    object: Object


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to ``resource_version`` has been told.

    gap: what follows, up to the next Bookmark, is the outcome of a stretch that was not watched.
    """

    resource_version: int
    gap: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """The Table's columnDefinitions, as JSON bytes, that the cells from here on are under."""

    definitions: bytes


class Phase(StrEnum):
    """Where a store stands; what /-/status, /readyz and the metrics show."""

    INIT = "INIT"  # never complete so far
    SYNCED = "SYNCED"  # complete, and upstream is being heard
    STALE = "STALE"  # complete as of some time ago: upstream is lost; still served
    FORBIDDEN = "FORBIDDEN"  # upstream refuses this resource to us: nothing is served, streams have ended
    GONE = "GONE"  # the resource is not there upstream (any more)


@dataclass(frozen=True, slots=True)
class PhaseChange:
    """The reflector's phase changed, and why: one line, no credentials, the remedy where there is one."""

    phase: Phase
    reason: str = ""


Event = Init | InitApply | InitDelete | InitDone | Apply | Delete | Bookmark | Columns | PhaseChange
