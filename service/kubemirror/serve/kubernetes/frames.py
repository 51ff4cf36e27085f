"""Watch events encoded once for all readers of one form.

A change is dispatched to its readers within moments, so only the last ones are kept: an entry is dropped when
newer ones need its room, never because it went stale: a change, a form and its printer never change.
"""

from __future__ import annotations

from collections import OrderedDict

from kubemirror.serve.kubernetes.forms import View
from kubemirror.state.journal import Change
from kubemirror.state.objects import Object, with_resource_version

# Enough for a burst in a few forms at a few kilobytes each; beyond it events are encoded again, not lost.
_KEPT_BYTES = 8 * 1024 * 1024


class Frames:
    """The lines of recent changes, by form."""

    def __init__(self) -> None:
        self._lines: OrderedDict[tuple[Change, str, object, object, int], bytes] = OrderedDict()
        self._size = 0
        self.encoded = 0  # how many lines were really encoded

    def line(self, type_: str, change: Change, view: View, identity: object, now: float, *, columns: bool) -> bytes:
        """The event of ``change`` that a reader hears as ``type_``. identity: equal for equal views.

        A change that leaves a selection is DELETED with the object as it was, under the change's RV.
        """
        if columns:  # only each Table stream's first event: not worth its room
            return view.event(type_, _told(type_, change), now, columns=True)
        # Ages are of the second in which they are told, also to one who reads of old changes.
        second = int(now) if view.printer is not None and view.printer.ages else 0
        key = (change, type_, identity, view.printer, second)
        line = self._lines.get(key)
        if line is None:
            line = view.event(type_, _told(type_, change), now, columns=False)
            self.encoded += 1
            self._lines[key] = line
            self._size += len(line)
            while self._size > _KEPT_BYTES and len(self._lines) > 1:
                self._size -= len(self._lines.popitem(last=False)[1])
        return line


def _told(type_: str, change: Change) -> Object:
    if type_ == "DELETED" and change.new is not None and change.old is not None:
        return with_resource_version(change.old, change.object.resource_version)
    return change.object
