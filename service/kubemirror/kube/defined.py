"""The CustomResourceDefinitions as the mirror knows them: read from their store, remembered when it is lost."""

from __future__ import annotations

import structlog

from kubemirror.kube.definitions import Definition, definition
from kubemirror.kube.discovery import Discovered
from kubemirror.state.events import Phase
from kubemirror.state.objects import Object
from kubemirror.state.store import Reader

log = structlog.get_logger(__name__)


class Definitions:
    """What the definitions' store says, parsed once per version of each.

    readable: whether the store tells them (until it has said otherwise). discovered_since: whether discovery
    was read since it does not.
    """

    def __init__(self, *, readable: bool) -> None:
        self.readable = readable
        self.discovered_since = False
        self._by_name: dict[str, Definition] = {}
        self._parsed: dict[str, tuple[Object, Definition | None]] = {}
        self._version = -1

    def take(self, reader: Reader) -> set[str] | None:
        """Look at the store again; names of definitions that are gone, None when nothing changed.

        Asked at every event and bookmark, so the common case is a comparison of two numbers. What changes
        nothing that is known of a definition (status noise, annotations) is no change.
        """
        if reader.phase is Phase.FORBIDDEN or reader.phase is Phase.GONE:
            if not self.readable:
                return None
            self.readable = self.discovered_since = False
            return set()
        if not reader.synced or reader.version() == self._version:
            return None
        self._version = reader.version()
        before, self._by_name = self._by_name, self._read(reader)
        if self.readable and self._by_name == before:
            return None
        self.readable = True
        return before.keys() - self._by_name.keys()

    def known(self, discovered: Discovered | None) -> dict[str, Definition]:
        """By name; while the store cannot tell, those that discovery has not contradicted since."""
        if self.readable or discovered is None or not self.discovered_since:
            return self._by_name
        listed = {resource.name for resource in discovered.resources}
        stale = {group for group, _ in discovered.stale}
        return {
            name: each
            for name, each in self._by_name.items()
            if name in listed or (each.resource is not None and each.resource.group in stale)
        }

    def _read(self, reader: Reader) -> dict[str, Definition]:
        parsed: dict[str, tuple[Object, Definition | None]] = {}
        for held in reader.snapshot().objects:
            known = self._parsed.get(held.name)
            if known is not None and known[0] is held:
                parsed[held.name] = known
                continue
            try:
                parsed[held.name] = held, definition(held.raw)
            except ValueError as error:
                log.warning("definition.unreadable", name=held.name, error=held.error or str(error))
                parsed[held.name] = held, None
        self._parsed = parsed
        return {name: each for name, (_, each) in parsed.items() if each is not None}
