"""Entries for what ``--mirror`` names and the API server does not have: status shows what is missing, and why."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

import structlog

from kubemirror.kube.selection import Missing
from kubemirror.state.catalog import ALL_NAMESPACES, Catalog, Entry, Resource
from kubemirror.state.events import Phase, PhaseChange
from kubemirror.state.store import Writer

log = structlog.get_logger(__name__)


class Placeholders:
    """Catalog entries under the name as it was given, without versions: no path of the read API leads to them.

    GONE once discovery says so, INIT while it cannot tell; required, as everything that is named.
    """

    def __init__(self, catalog: Catalog, clock: Callable[[], float]) -> None:
        self._catalog = catalog
        self._clock = clock
        self._writers: dict[str, Writer] = {}

    def __bool__(self) -> bool:
        return bool(self._writers)

    @property
    def groups(self) -> set[str]:
        """What may be the groups of the names."""
        return {name.lower().partition(".")[2] for name in self._writers}

    def show(self, missing: Iterable[Missing], mirrored: Container[str]) -> None:
        """These and no others; an entry whose name is mirrored by now belongs to that."""
        absent = {each.name: each for each in missing}
        for name in self._writers.keys() - absent.keys():
            del self._writers[name]
            if name not in mirrored:
                self._catalog.remove(name)
        for name, each in absent.items():
            writer = self._writers.get(name)
            if writer is None:
                writer = self._writers[name] = Writer(clock=self._clock)
                resource = Resource(
                    group="", version="", plural=name, singular=name, kind=name, namespaced=False, versions=()
                )
                self._catalog.put(Entry(resource, {ALL_NAMESPACES: writer.reader}, required=True))
            phase = Phase.GONE if each.certain else Phase.INIT
            if (phase, each.reason) != (writer.reader.phase, writer.reader.reason):
                if each.certain:
                    log.warning("resource.missing", name=name, reason=each.reason)
                writer.handle(PhaseChange(phase, each.reason))
