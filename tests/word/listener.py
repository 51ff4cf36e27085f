"""A reader that believes what it is told, and etcd's nine watch validators over all of that.

    Ordered      cursors never decrease
    Unique       nothing is told twice
    Atomic       a message that was not heard to its end was not heard at all
    Reliable     between the first and the last cursor nothing selected is missing
    Resumable    the first event after a resume lies after its cursor
    Bookmarkable nothing at or below a bookmark follows it, and bookmarks never go back
    Filter       only what is selected is shown, as it was
    PrevKV       a difference is from the state that the reader had
    IsCreate     ADDED is exactly what the reader did not hold

Where a mirror listed again, single steps are not known: there order and outcome hold per object, and what was told of
it before a connection was lost is told again (on Kubernetes paths: its deletion). What only the true history can tell
is kept until that is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson

from kubemirror.state.meaning import comparison
from tests.word.history import History, State, Step

Holdings = dict[str, tuple[str, int]]  # by name: uid and version


class Speech(StrEnum):
    """How a stream is framed."""

    WEBSOCKET = "websocket"
    SSE = "sse"
    NDJSON = "ndjson"
    KUBERNETES = "kubernetes"  # a watch on a Kubernetes path


@dataclass(frozen=True)
class Wish:
    """What one reader asks for. selected: by color, None for all."""

    speech: Speech
    selected: str | None
    parameters: tuple[tuple[str, str], ...] = ()

    def __getitem__(self, name: str) -> str:
        return dict(self.parameters).get(name, "")

    @property
    def whole(self) -> bool:
        """Whether it is told every step of what it selects."""
        return not self["latest"] and not self["changes"]

    def shows(self, state: State | None) -> bool:
        return state is not None and (self.selected is None or state.color == self.selected)

    def of(self, objects: dict[str, State]) -> Holdings:
        """What is selected of them."""
        return {name: (each.uid, each.version) for name, each in objects.items() if self.shows(each)}

    def kind(self, step: Step) -> str:
        """The event that a step is to this reader, "" for none."""
        before, after = self.shows(step.old), self.shows(step.new)
        if after:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else ""


WISHES = [
    Wish(speech, selected, parameters)
    for speech in Speech
    for selected in (None, "red")
    for parameters in (
        (
            (("onExpired", "error"),),
            (("onExpired", "snapshot"), ("batch", "true")),
            (("onExpired", "error"), ("latest", "true")),
            (("onExpired", "snapshot"), ("latest", "true"), ("batch", "true"), ("as", "key")),
            (("onExpired", "snapshot"), ("changes", "image")),
            (("onExpired", "error"), ("as", "diff")),
        )
        if speech is not Speech.KUBERNETES
        else ((), ())  # as often as two of the others
    )
]


def reached(cursor: str) -> int:
    """Up to where everything has been told."""
    return int(cursor.partition("~")[0] or 0)


def never() -> bool:
    """No mirror has listed again."""
    return False


class Listener:
    """See the module. Ask for what ``asks`` says, then ``opened``; ``hear`` what comes; ``lost`` at the end."""

    def __init__(self, wish: Wish, history: History, *, subscription: str = "0") -> None:
        """subscription: the id of what it is told."""
        self.wish = wish
        self.history = history
        self._subscription = subscription
        self.problems: list[str] = []
        self.met: Counter[str] = Counter()
        self.holds: Holdings = {}
        self.cursor = ""
        self.seen = 0  # a cursor that it had: it is never led behind it
        self.told: list[tuple[int, str, str]] = []  # since ``began``: cursor, type, name
        self.began = 0
        self.live = False  # its snapshot is complete
        self.resumed = -1
        self.gaps = False  # single steps are not known any more
        # The outcome of a relist is told under the cursor before it: whoever resumes there hears of that object again,
        # at another mirror of the steps in between too. By uid: until which cursor.
        self.early: dict[str, int] = {}
        self._reached = 0  # the cursor after the present message
        self._relisted: Callable[[], bool] = never
        self._unended = b""  # of a message
        # For the history to judge: objects shown, differences, snapshots, and whole stretches that were followed.
        self._shown: list[tuple[dict[str, Any], int]] = []
        self._differences: list[tuple[dict[str, Any], int]] = []
        self._snapshots: list[tuple[int, Holdings]] = []
        self._stretches: list[tuple[int, int, list[tuple[int, str, str]]]] = []

    # -- the connection -------------------------------------------------------------------------------

    def asks(self) -> dict[str, str]:
        """The parameters of the next connection."""
        if self.wish.speech is Speech.KUBERNETES:
            given = {"watch": "1", "allowWatchBookmarks": "true"}
            if self.cursor:
                given["resourceVersion"] = self.cursor
            else:
                given |= {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
                given |= {"resourceVersion": str(self.seen)} if self.seen else {}
        else:
            given = {"resource": "deploy", **dict(self.wish.parameters)}
            if self.cursor:
                given["resourceVersion"] = self.cursor
            elif self.seen:
                given |= {"resourceVersion": str(self.seen), "snapshot": "true"}
        if self.wish.selected:
            given["labelSelector"] = f"color={self.wish.selected}"
        return given

    def opened(self, relisted: Callable[[], bool] = never, *, gaps: bool = False) -> None:
        """A connection begins. relisted: whether the mirror has listed again since. gaps: or had before."""
        self._relisted = relisted
        self._unended = b""
        self.met["resumed" if self.cursor else "snapshot"] += 1
        self.gaps = self.gaps or (gaps and bool(self.cursor))
        self._begin(resuming=bool(self.cursor))

    def refused(self, code: int) -> None:
        """There was no connection: the cursor is of no use (410), or the mirror is behind (504), or not there."""
        if code == 410:
            self.met["expired"] += 1
            self._forget()
        elif code == 504:
            self.met["behind"] += 1
        elif code not in (429, 503):
            self.problems.append(f"refused with {code}: {self.asks()}")

    def lost(self) -> None:
        """The connection is no more, with what was on its way."""
        if not self.live:
            self._forget()

    # -- what it hears --------------------------------------------------------------------------------

    def hear(self, wire: bytes) -> None:
        """More bytes of an HTTP body, or more messages of a WebSocket's wire. What has no end yet is not heard yet."""
        self.gaps = self.gaps or self._relisted()
        wire = self._unended + wire
        match self.wish.speech:
            case Speech.NDJSON | Speech.KUBERNETES:
                *lines, self._unended = wire.split(b"\n")
                for line in lines:
                    self.take(orjson.loads(line))
            case Speech.SSE:
                *blocks, self._unended = wire.split(b"\n\n")
                for block in blocks:
                    self._dispatch(block)
            case Speech.WEBSOCKET:
                messages, self._unended = _messages(wire)
                for message in messages:
                    self.take(orjson.loads(message))

    def _dispatch(self, block: bytes) -> None:
        """As the standard says: an event is dispatched by an empty line, and its id is kept then."""
        id_, data = None, None
        for line in block.split(b"\n"):
            name, _, value = line.partition(b":")
            if name == b"id":
                id_ = value.strip().decode()
            elif name == b"data":
                data = value.strip()
        if data is not None:
            message = orjson.loads(data)
            self.take(message)
            if id_ is not None and id_ != self.cursor:
                self.problems.append(f"the id {id_!r} is not the cursor {self.cursor!r}")
            last = (message.get("events") or [message])[-1]
            if id_ is None and self.live and last["type"] != "ERROR":  # which leaves the last one as it is
                self.problems.append(f"an event without an id: {data!r}")

    def take(self, message: dict[str, Any]) -> None:
        """One whole message."""
        self.gaps = self.gaps or self._relisted()
        if self.wish.speech is Speech.KUBERNETES:
            self._cursor_of_kubernetes(message)
        events = message.get("events")
        if (events is not None) != bool(self.wish["batch"]):
            if events is None or not self.wish["latest"]:
                self.problems.append(f"a batch, or none: {message}")
            self.met["compacted"] += 1
        events = events or [message]
        self._reached = reached(events[-1].get("resourceVersion", ""))
        for event in events:
            self._event(event)
        self.early = {uid: version for uid, version in self.early.items() if version > self.seen}

    def _cursor_of_kubernetes(self, event: dict[str, Any]) -> None:
        """The resourceVersion inside is the cursor, but of what is listed before the bookmark that ends it."""
        event["id"] = self._subscription
        metadata = event["object"].get("metadata", {})
        if event["type"] != "ERROR" and (self.live or ("annotations" in metadata and event["type"] == "BOOKMARK")):
            event["resourceVersion"] = metadata["resourceVersion"]

    def _event(self, event: dict[str, Any]) -> None:
        kind, cursor = event["type"], event.get("resourceVersion", "")
        if event["id"] != self._subscription:
            self.problems.append(f"of another subscription: {event}")
        self.met[kind] += 1
        if kind == "RESET" or (kind == "ERROR" and event["object"]["code"] == 410):
            self.met["expired"] += 1
            self._forget()
            if kind == "RESET":
                self._begin(resuming=False)
                self.gaps = self._relisted()
            return
        if kind == "ERROR" and event["object"]["code"] not in (503, 504):
            self.problems.append(f"an error that nobody made: {event}")
        if cursor:
            if reached(cursor) < self.seen:
                self.problems.append(f"a step back from {self.seen}: {event}")
            if "~" in cursor and not self.gaps:
                self.problems.append(f"some of an outcome, where no mirror listed again: {event}")
            self.cursor, self.seen = cursor, reached(cursor)
        if kind == "BOOKMARK":
            if "annotations" in event["object"]["metadata"] and not self.live:
                self.live = True
                self.began, self.told = reached(cursor), []
                self._snapshots.append((reached(cursor), dict(self.holds)))
            return
        if kind != "ERROR":
            self._change(kind, event, cursor)

    def _change(self, kind: str, event: dict[str, Any], cursor: str) -> None:
        metadata = event["object"]["metadata"]
        name, uid, version = metadata["name"], metadata["uid"], int(metadata["resourceVersion"])
        held = self.holds.get(name)
        again = uid in self.early
        if kind == "ADDED" and not again and held is not None:
            self.problems.append(f"created, but held: {event} (held {held})")
        if kind == "MODIFIED" and not again and (held is None or held[0] != uid or version <= held[1]):
            self.problems.append(f"changed, but not from what is held: {event} (held {held})")
        if kind == "DELETED" and not again and (held is None or held[0] != uid):
            self.problems.append(f"deleted, but not held: {event} (held {held})")
        if self.live and cursor and reached(cursor) <= self.resumed and not self.gaps:
            self.problems.append(f"not after the cursor {self.resumed}: {event}")
        if "diff" in event and held is not None and not self.gaps:
            self._differences.append((event, held[1]))
        if self.gaps and self.live and (kind == "DELETED" or version > self._reached):
            self.early[uid] = version if kind != "DELETED" else 1 << 62
        if kind == "DELETED":
            self.holds.pop(name, None)
        else:
            self.holds[name] = (uid, version)
            self._shown.append((event, version))
        if self.live:
            self.told.append((reached(cursor), kind, name))

    def _begin(self, *, resuming: bool) -> None:
        if not resuming:
            self._leave()
            self.holds, self.told, self.gaps = {}, [], False
        self.live = resuming
        self.resumed = reached(self.cursor) if resuming else -1

    def _forget(self) -> None:
        """The cursor is of no use."""
        self._leave()
        self.cursor = ""
        self.live = False

    def _leave(self) -> None:
        """What was followed up to here in one piece is whole."""
        if self.seen > self.began and not self.gaps:
            self._stretches.append((self.began, self.seen, self.told))
        self.told, self.began = [], self.seen

    # -- what the history says to that ----------------------------------------------------------------

    @property
    def equal(self) -> bool:
        """Whether it holds what there is."""
        true = self.wish.of(self.history.objects)
        if self.wish["changes"]:  # states that do not mean what it wants are not told
            return {name: uid for name, (uid, _) in self.holds.items()} == {
                name: uid for name, (uid, _) in true.items()
            }
        return self.holds == true

    def judge(self) -> None:
        """Hold everything against the history, which is complete."""
        self._leave()
        for event, version in self._shown:
            self._judge_shown(event, version)
        for event, before in self._differences:
            self._judge_difference(event, before)
        for version, holds in self._snapshots:
            true = self.wish.of(self.history.at(version))
            if holds != true:
                self.problems.append(f"the snapshot at {version} is {holds}, not {true}")
        for began, seen, told in self._stretches if self.wish.whole else ():
            expected = [
                (step.version, self.wish.kind(step), step.name)
                for step in self.history.steps
                if began < step.version <= seen and self.wish.kind(step)
            ]
            if told != expected:
                self.problems.append(f"after {began}, up to {seen}: told {told}, not {expected}")
            self.met["judged"] += len(told)
        if not self.equal:
            self.problems.append(f"at the end it holds {self.holds}, not {self.wish.of(self.history.objects)}")

    def _judge_shown(self, event: dict[str, Any], version: int) -> None:
        state = self.history.states.get((event["object"]["metadata"]["name"], version))
        if not self.wish.shows(state):
            self.problems.append(f"not selected: {event}")
        labels = event["object"]["metadata"].get("labels")
        if state is not None and labels is not None and labels != {"color": state.color}:
            self.problems.append(f"not as it was: {event}")

    def _judge_difference(self, event: dict[str, Any], before: int) -> None:
        metadata = event["object"]["metadata"]
        bodies = [self.history.states[metadata["name"], at].body for at in (before, int(metadata["resourceVersion"]))]
        old, new = map(orjson.loads, bodies)
        expected = [each.told for each in comparison(old, new).differences]
        if event["diff"] != expected:
            self.problems.append(f"not the difference from {before}: {event}, but {expected}")


def _messages(wire: bytes) -> tuple[list[bytes], bytes]:
    """The messages of a WebSocket that came to their end (RFC 6455, 5.2), and what has none yet."""
    found: list[bytes] = []
    while len(wire) >= 2:
        assert wire[0] == 0x81
        extended = {126: 2, 127: 8}.get(wire[1], 0)
        start = 2 + extended
        if len(wire) < start:
            break
        size = int.from_bytes(wire[2:start], "big") if extended else wire[1]
        if len(wire) < start + size:
            break
        found.append(wire[start : start + size])
        wire = wire[start + size :]
    return found, wire
