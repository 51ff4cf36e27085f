"""A model of an API server's storage, simple enough to be believed: one resource, its true history.

``Truth`` is etcd: every write has its own resourceVersion (steps are uneven, because other resources are
written too), deletions have one as well, history is compacted, and a restore goes back in time. ``Cache`` is
what one API server (or a mirror in front of it) shows of it: a prefix, perhaps behind, and of a mirror that
lost its own upstream for a while only the outcome of what it missed.

A restore never gives the same resourceVersion to another content (each timeline has its own residue): no
digest of (uid, resourceVersion) could see that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

TIMELINES = 8


@dataclass(frozen=True)
class Version:
    """One version of one object. ``held`` is what a mirror must hold of it, byte for byte."""

    name: str
    namespace: str
    uid: str
    rv: int
    color: str
    held: str
    sent: str  # with kind and apiVersion, as in events and Tables
    item: str  # without, as in built-in lists

    @property
    def key(self) -> tuple[str, str]:
        return (self.namespace, self.name)

    def cells(self, columns: int) -> str:
        return json.dumps([self.name, self.color, *[self.rv] * columns], separators=(",", ":"))


def version(*, name: str, namespace: str, uid: str, rv: int, color: str, text: str) -> Version:
    metadata = (
        f'"name":{json.dumps(name)},"namespace":{json.dumps(namespace)},"uid":"{uid}","resourceVersion":"{rv}",'
        f'"creationTimestamp":"2026-01-01T00:00:00Z","labels":{{"color":"{color}"}}'
    )
    managed = ',"managedFields":[{"manager":"sim","operation":"Update","time":"2026-01-01T00:00:00Z"}]'
    spec = f'"spec":{{"text":{json.dumps(text, ensure_ascii=False)},"number":1.50}}'
    type_ = '"kind":"Thing","apiVersion":"sim.example/v1",'
    return Version(
        name,
        namespace,
        uid,
        rv,
        color,
        held=f'{{{type_}"metadata":{{{metadata}}},{spec}}}',
        sent=f'{{{type_}"metadata":{{{metadata}{managed}}},{spec}}}',
        item=f'{{"metadata":{{{metadata}{managed}}},{spec}}}',
    )


@dataclass(frozen=True)
class Entry:
    """One line of history. ``gap``: a deletion that a mirror tells at the RV before its own gap."""

    rv: int
    type: str
    version: Version
    gap: bool = False


@dataclass
class Snapshot:
    rv: int
    objects: dict[tuple[str, str], Version]
    history: list[Entry]


@dataclass
class Truth:
    """etcd."""

    random: Random
    rv: int = 100
    timeline: int = 0
    objects: dict[tuple[str, str], Version] = field(default_factory=dict)
    history: list[Entry] = field(default_factory=list)
    compacted: int = 0
    all_time: dict[tuple[str, int], Version] = field(default_factory=dict)  # every version there ever was
    uids: int = 0

    def _next(self) -> int:
        self.rv += self.random.randint(1, 3)
        while self.rv % TIMELINES != self.timeline % TIMELINES:
            self.rv += 1
        return self.rv

    def write(self) -> Entry:
        """Something happens: a creation, a change, a deletion, a deletion followed by a creation."""
        random = self.random
        key = (f"ns{random.randint(0, 2)}", f"thing-{random.randint(0, 24)}")
        held = self.objects.get(key)
        rv = self._next()
        if held is not None and random.random() < 0.3:
            del self.objects[key]
            gone = version(
                name=held.name, namespace=held.namespace, uid=held.uid, rv=rv, color=held.color, text=f"was {held.rv}"
            )
            entry = Entry(rv, "DELETED", gone)
        else:
            self.uids += 1
            new = version(
                name=key[1],
                namespace=key[0],
                uid=held.uid if held is not None else f"uid-{self.uids}",
                rv=rv,
                color=random.choice(["red", "green", "blue"]),
                text=random.choice(["\n", "é", "\\u2028", "☃", '"', "x" * random.randint(0, 3000)]),
            )
            self.objects[key] = new
            entry = Entry(rv, "MODIFIED" if held is not None else "ADDED", new)
        self.all_time[entry.version.uid, rv] = entry.version
        self.history.append(entry)
        return entry

    def elsewhere(self) -> None:
        """Another resource was written: the resourceVersion moves, and nothing of ours."""
        self._next()

    def at(self, rv: int) -> set[tuple[str, int]]:
        """(uid, resourceVersion) of everything there was at ``rv``."""
        objects: dict[tuple[str, str], Version] = {}
        for entry in self.history:
            if entry.rv > rv:
                break
            if entry.type == "DELETED":
                objects.pop(entry.version.key, None)
            else:
                objects[entry.version.key] = entry.version
        return {(held.uid, held.rv) for held in objects.values()}

    def compact(self, rv: int) -> None:
        self.compacted = max(self.compacted, min(rv, self.rv))

    def snapshot(self) -> Snapshot:
        return Snapshot(self.rv, dict(self.objects), list(self.history))

    def restore(self, snapshot: Snapshot) -> None:
        self.timeline += 1
        self.rv, self.objects, self.history = snapshot.rv, dict(snapshot.objects), list(snapshot.history)
        self.compacted = self.rv  # a restored server keeps no history before the restore


@dataclass
class Cache:
    """What one server shows: everything up to ``rv``."""

    truth: Truth
    rv: int = 0
    objects: dict[tuple[str, str], Version] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    frozen: bool = False

    def rebuild(self) -> None:
        """As a server does when it starts."""
        self.rv, self.objects = self.truth.rv, dict(self.truth.objects)
        self.log, self.gaps = list(self.truth.history), []

    def catch_up(self) -> list[Entry]:
        """Show what happened since; the new entries, in order."""
        if self.frozen:
            return []
        new = [entry for entry in self.truth.history if entry.rv > self.rv]
        self._show(new)
        self.rv = max(self.rv, self.truth.rv)
        return new

    def leap(self) -> list[Entry]:
        """Show the outcome of what happened since, as a mirror that had to list again."""
        low, after = self.rv, self.truth.objects
        entries = [
            Entry(low, "DELETED", _under(held, low), gap=True)
            for key, held in self.objects.items()
            if key not in after or after[key].uid != held.uid
        ]
        changed = [new for key, new in after.items() if self.objects.get(key) != new]
        for new in sorted(changed, key=lambda new: new.rv):
            old = self.objects.get(new.key)
            entries.append(Entry(new.rv, "MODIFIED" if old is not None and old.uid == new.uid else "ADDED", new))
        self._show(entries)
        self.rv = max(self.rv, self.truth.rv)
        self.gaps.append((low, self.rv))
        return entries

    def _show(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.log.append(entry)
            if entry.type == "DELETED":
                self.objects.pop(entry.version.key, None)
            else:
                self.objects[entry.version.key] = entry.version

    def after(self, rv: int) -> list[Entry] | None:
        """What a watch that resumes at ``rv`` is told; None where it is too old."""
        if rv < self.truth.compacted or any(low < rv < high for low, high in self.gaps):
            return None
        return [entry for entry in self.log if (entry.rv >= rv if entry.gap else entry.rv > rv)]


def _under(held: Version, rv: int) -> Version:
    text = json.loads(held.held)["spec"]["text"]
    return version(name=held.name, namespace=held.namespace, uid=held.uid, rv=rv, color=held.color, text=text)
