"""A copy of the cluster that stands still: an API server of the same cluster that has fallen behind.

It holds the state and the history of the moment it was made, so reads see the past and watches resume, but nothing
ever arrives.
"""

from __future__ import annotations

from kubemirror.demo.cluster import Cluster
from kubemirror.demo.kinds import discovery_order
from kubemirror.demo.shelf import Shelf
from kubemirror.state.catalog import ALL_NAMESPACES, Catalog, Entry
from kubemirror.state.events import Apply, Bookmark, Columns, Delete, Init, InitApply, InitDone, Phase, PhaseChange
from kubemirror.state.journal import ChangeType
from kubemirror.state.objects import Key, Object
from kubemirror.state.store import Reader, Writer


def standing_still(cluster: Cluster) -> Catalog:
    """A catalog of copies of ``cluster``'s stores as they are now, their journals included."""
    cluster.progress()
    catalog = Catalog()
    catalog.order_by(discovery_order)
    for shelf in cluster.shelves.values():
        catalog.put(Entry(shelf.resource, {ALL_NAMESPACES: _copy(cluster, shelf)}, required=True))
    return catalog


def _copy(cluster: Cluster, shelf: Shelf) -> Reader:
    source = shelf.reader
    journal = source.journal
    earlier: dict[Key, Object] = {held.key: held for held in source.snapshot().objects}
    for change in journal.newest_first():
        if change.old is None:
            del earlier[change.object.key]
        else:
            earlier[change.old.key] = change.old
    writer = Writer(clock=cluster.clock, journal_window=journal.window)
    writer.handle(Columns(source.columns))
    writer.handle(Init())
    for held in earlier.values():
        writer.handle(InitApply(held))
    writer.handle(InitDone(journal.oldest))
    for change in journal:
        gone = change.type is ChangeType.DELETED
        writer.handle(Delete(change.object) if gone else Apply(change.object))
    writer.handle(Bookmark(source.resource_version))
    writer.handle(PhaseChange(Phase.SYNCED))
    return writer.reader
