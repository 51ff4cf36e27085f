"""What comes with a write: metav1's CreateOptions, UpdateOptions, PatchOptions and DeleteOptions, as far as used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """Of a create, update or patch.

    manager: the field manager. version: the version it is written in, "" for the stored one. strict: unknown
    fields of custom resources are refused instead of pruned.
    """

    manager: str = "kubemirror-demo"
    dry_run: bool = False
    version: str = ""
    strict: bool = False


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """Of a delete. propagation: Background, Foreground or Orphan. grace: seconds, None for the kind's own.

    uid, resource_version: preconditions.
    """

    propagation: str = "Background"
    grace: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: bool = False
    version: str = ""


OPTIONS = Options()
DELETE_OPTIONS = DeleteOptions()
