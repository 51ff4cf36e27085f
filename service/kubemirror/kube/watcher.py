"""The list/watch state machine, without I/O: ``step(input) -> outputs``.

    Start ── WatchList opened ──> InitialWatch ── initial-events-end ──> Watching
      │                                                                   │    ▲
      └── page opened ──> InitialList ── last page ──> Listed ── opened ──┼────┘
                                                         ▲                │
                                                         └── stream ended ┘

Each state says what ``Resume`` will ask for. Inputs are what happened upstream; outputs are the store's events
and at most one effect at the end: an effect (open something, or wait) means that what was open is over.
Everything upstream can do wrong is an input, so nothing is ever raised but for a broken contract.

The rules are client-go's (tools/cache/reflector.go): an ordinary end, a 429 and a lost connection keep the
resourceVersion and never relist; 410 in any form relists; an unknown ERROR relists; the resourceVersion does
not advance during the unordered initial events; a partial list is never installed. Ours are added: progress
alone resets the backoff (kube-rs' resets at each attempt and so never grows); an event at or below the
resourceVersion reached is ignored, but for the deletion of something held; what an upstream that is itself a
mirror tells out of its own gap is published when all of it has been told, in one step, as a list is; going
back in time is believed to a consistent LIST alone, asked twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Final, assert_never

from kubemirror.kube.backoff import Backoff
from kubemirror.kube.wire import (
    Added,
    Deleted,
    Failure,
    Modified,
    Progress,
    Skipped,
    Status,
    WatchEvent,
)
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
from kubemirror.state.objects import Object
from kubemirror.state.store import Reader

SHORT_WATCH_SECONDS = 1.0  # client-go's VeryShortWatchError: below this, with nothing told, an end is an error
GONE_SECONDS = 120.0  # a definition that returns is noticed by whoever follows definitions, long before
CONFIRM_SECONDS = 1.0  # before a 403 or 404 for something we serve is asked about once more, and then believed
SOON_SECONDS = 60.0  # a second list for the same sort of reason within this time takes the backoff's step
INTERNAL_ERROR_SECONDS = 30.0  # client-go's figure for an API server that has lost its etcd leader
SERVER_ERRORS_BEFORE_RELIST = 5  # a 5xx storm is ridden out first: a relist costs a sick server more
SAME_SPOT_FAILURES = 3  # the same undecodable line thrice: it will not get better by asking again
OUT_OF_ORDER_STREAK = 8  # a few are an upstream's hiccup, a streak means that our place in its history is wrong
WATCH_LIST_ATTEMPTS = 2  # failed streams before the initial list is fetched in pages instead
TURNS_AWAY = 10  # 429s in a row at whose own pace we come back, as client-go's REST client does; then the backoff's
TURN_JITTER = 0.25  # up to this share of it is added, so that those turned away together do not come back so
PROBE_SECONDS = 4.0  # with the 85 s of silence before: dead upstreams are known as such within 90 s
PAGE_ATTEMPTS = 5  # failed pages before the list is begun anew

# -- inputs: what happened upstream ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Resume:
    """The wait is over, or the machine is started."""


@dataclass(frozen=True, slots=True)
class Opened:
    """200, and JSON: the stream or the page that was asked for begins. ``mirror``: upstream is one of us."""

    mirror: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Any other answer."""

    status: Status


@dataclass(frozen=True, slots=True)
class Lost:
    """The network, a deadline, or bytes that cannot be read. kind: a closed set for metrics."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The stream ended at a line's end, as watches do every few minutes."""


@dataclass(frozen=True, slots=True)
class Item:
    """One object of a page."""

    object: Object


@dataclass(frozen=True, slots=True)
class PageDone:
    """All objects of a page were handed in. ``continue_`` is "" after the last."""

    resource_version: int
    continue_: str


@dataclass(frozen=True, slots=True)
class Relist:
    """Someone asks for a new list.

    consistent: from upstream's newest state, whatever it costs. rollback: an audit has seen twice that
    upstream went back in time.
    """

    reason: str
    consistent: bool = False
    rollback: bool = False


@dataclass(frozen=True, slots=True)
class Back:
    """Upstream was away and is ready again: a wait for that is over, and what made it grow is past."""


Input = WatchEvent | Resume | Opened | Refused | Lost | Ended | Item | PageDone | Relist | Back

# -- effects: what is to be done ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing for this many seconds, then ``Resume``; or, where upstream is ``away``, ``Back`` as soon as it is."""

    seconds: float
    away: bool = False


@dataclass(frozen=True, slots=True)
class OpenWatch:
    """Open a WATCH after ``resource_version``; ``initial``: a WatchList, not older than it (None: newest).

    probing: to learn whether upstream is there at all: its answer is waited for no longer than PROBE_SECONDS.
    """

    resource_version: int | None
    initial: bool = False
    probing: bool = False


@dataclass(frozen=True, slots=True)
class OpenPage:
    """Fetch a page: of a list not older than ``resource_version`` (None: consistent), or after ``continue_``."""

    resource_version: int | None
    continue_: str = ""
    whole: bool = False  # all in one answer: the pages' history was compacted away under the first attempt


Effect = Wait | OpenWatch | OpenPage
Output = Event | Effect

# -- states ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Nothing is open and a list is needed: Resume asks for one.

    at: the resourceVersion it must not be older than; None: upstream's newest.
    paged: by LIST, whatever WatchList could do. confirming: a list went back in time; this one decides.
    """

    reason: str
    at: int | None = None
    paged: bool = False
    confirming: bool = False


@dataclass(frozen=True, slots=True)
class InitialWatch:
    """A WatchList is open or being opened; its objects are collected until initial-events-end."""

    start: Start


@dataclass(frozen=True, slots=True)
class InitialList:
    """Pages are fetched one after the other; Resume asks for the one after ``continue_``."""

    start: Start
    continue_: str = ""
    whole: bool = False
    resource_version: int | None = None  # the first page's


@dataclass(frozen=True, slots=True)
class Listed:
    """Everything up to the resourceVersion reached is known: Resume asks for a WATCH after it."""


@dataclass(frozen=True, slots=True)
class Watching:
    """A WATCH is open."""


State = Start | InitialWatch | InitialList | Listed | Watching
LISTED: Final = Listed()
WATCHING: Final = Watching()
_IGNORED: Sequence[Output] = ()


class Watcher:
    """One resource's machine. Reads what the store holds through ``reader``; never changes it."""

    def __init__(
        self,
        *,
        reader: Reader,
        clock: Callable[[], float],
        random: Random,
        name: str,
        watch_list: bool = True,
        paged_start: bool = False,
        mirror_patience: float = 450.0,
        forbidden_seconds: float = 60.0,
    ) -> None:
        """name: the resource's, for messages. paged_start: the first list is fetched in pages.

        mirror_patience: seconds for which an upstream that is itself a mirror must refuse our resourceVersion before
        we believe that time went back. forbidden_seconds: between two attempts at what is FORBIDDEN; rights come by
        someone's hand.
        """
        self.state: State = Start("start", paged=paged_start)
        self.reached: int | None = None  # everything up to here has been told
        self.mirror = False
        self.lists = 0  # lists installed; moves whenever what is held was replaced
        self._reader = reader
        self._clock = clock
        self._name = name
        self._statistics = reader.statistics
        self._random = random
        self._backoff = Backoff(random)
        self._watch_list = watch_list
        self._mirror_patience = mirror_patience
        self._forbidden_seconds = forbidden_seconds
        self._columns: bytes | None = None
        self._tolerated: bytes | None = None
        self._deleted: set[str] = set()
        self._gap: list[Apply | Delete] | None = None  # told so far of a mirror's gap; None outside of one
        self._relisting = ""
        self._soon_at = float("-inf")
        self._began = 0.0
        self._opened = 0.0
        self._opened_at = -1
        self._answered = False
        self._seen = 0
        self._spot = -1
        self._streak = 0
        self._initial_failures = 0
        self._spot_failures = 0
        self._server_errors = 0
        self._denials = 0
        self._turned_away = 0
        self._short = False
        self._went_back = False
        self._internal_since: float | None = None
        self._ahead_since: float | None = None

    def step(self, input: Input) -> Sequence[Output]:  # noqa: A002 - a machine's input
        """Take one input; the events to hand to the store, then at most one effect."""
        match input:
            case Added() | Modified() | Deleted() | Progress():
                return self._told(input)
            case Item(listed):
                self._statistics.list_items += 1
                self._look_back(listed)
                return (InitApply(listed),)
            case Columns(definitions):
                return self._told_columns(definitions)
            case Skipped(kind, message):
                return self._skip(kind, message)
            case Resume():
                return (self._resume(),)
            case Opened(mirror):
                return self._open(mirror=mirror)
            case PageDone():
                return self._page_done(input)
            case Ended():
                return self._end()
            case Failure(status):
                self._count("ERROR")
                return self._refuse(status)
            case Refused(status):
                return self._refuse(status)
            case Lost():
                return self._lose(input)
            case Relist():
                return self._relist_asked(input)
            case Back():
                self._backoff.reset()
                return (self._resume(),)
            case _:
                assert_never(input)

    # -- asking ---------------------------------------------------------------------------------------

    def _resume(self) -> Effect:
        now = self._clock()
        self._began = now
        self._answered = False
        match self.state:
            case Start() as start:
                self._statistics.lists += 1
                if self._relisting != start.reason:  # counted once, however many attempts it takes
                    self._relisting = start.reason
                    self._statistics.relists[start.reason] += 1
                if self._watch_list and not start.paged:
                    self.state = InitialWatch(start)
                    return OpenWatch(start.at, initial=True)
                self.state = InitialList(start)
                return OpenPage(start.at)
            case InitialList(start, continue_, whole):
                return OpenPage(None if whole or continue_ else start.at, continue_, whole)
            case Listed():
                return self._resume_watch()
            case InitialWatch() | Watching():
                raise RuntimeError(f"Resume in {self.state}: what is open was not ended")
            case _:
                assert_never(self.state)

    def _resume_watch(self) -> OpenWatch:
        self._began = self._clock()
        self._answered = False
        self._statistics.watches += 1
        return OpenWatch(self.reached)

    def _open(self, *, mirror: bool) -> Sequence[Output]:
        self.mirror = self.mirror or mirror
        self._opened = self._clock()
        self._answered = True
        self._denials = 0
        self._turned_away = 0
        match self.state:
            case InitialWatch():
                self._deleted.clear()
                self._columns = None
                self._went_back = False
                self._seen = 0
                return (Init(),)
            case InitialList(resource_version=None):
                self._columns = None
                self._went_back = False
                return (Init(),)
            case InitialList():
                return _IGNORED
            case Listed():
                self.state = WATCHING
                self._seen = 0
                self._opened_at = self.reached or 0
                # A server that accepts and hangs up is not heard again before it has told something.
                return () if self._short else self._healthy()
            case Start() | Watching():
                raise RuntimeError(f"Opened in {self.state}: nothing was asked for")
            case _:
                assert_never(self.state)

    # -- what a stream tells --------------------------------------------------------------------------

    def _told(self, event: Added | Modified | Deleted | Progress) -> Sequence[Output]:
        match self.state:
            case Watching():
                return self._told_live(event)
            case InitialWatch():
                return self._told_initially(event)
            case Start() | InitialList() | Listed():
                raise RuntimeError(f"a watch event in {self.state}")
            case _:
                assert_never(self.state)

    def _told_live(self, event: Added | Modified | Deleted | Progress) -> Sequence[Output]:
        reached = self.reached or 0
        match event:
            case Added(changed) | Modified(changed):
                self._count("ADDED" if isinstance(event, Added) else "MODIFIED")
                if self._gap is not None:
                    # At or below what was reached, too: a relist there has found what had been lost long before.
                    self._gap.append(Apply(changed))
                    return _IGNORED
                if changed.resource_version <= reached:
                    return self._out_of_order()
                self._advance(changed.resource_version)
                return self._with_health(Apply(changed))
            case Deleted(final):
                self._count("DELETED")
                if self._gap is not None:
                    self._gap.append(Delete(final))  # of what is not held the store makes nothing
                    return _IGNORED
                if final.resource_version <= reached:
                    held = self._reader.get(final.name, final.namespace)
                    if held is None or held.uid != final.uid:
                        # A mirror may tell its gap's deletions once more.
                        return _IGNORED if self.mirror else self._out_of_order()
                    if not self.mirror:
                        # Told late by a server that has no gaps of its own: the store's is closed at once.
                        self._statistics.out_of_order += 1
                        return (Delete(final), Bookmark(reached))
                self._advance(final.resource_version)
                return self._with_health(Delete(final))
            case Progress(resource_version, gap=gap):
                self._count("BOOKMARK")
                if resource_version < reached:
                    return _IGNORED  # an upstream that lags; whether time went back is the audit's question
                if gap:
                    self._gap = []
                    self._advance(resource_version)
                    return self._with_health(Bookmark(resource_version))
                told, self._gap = self._gap, None
                self._advance(resource_version)
                if told is None:
                    return self._with_health(Bookmark(resource_version))
                return (Bookmark(reached, gap=True), *told, *self._with_health(Bookmark(resource_version)))
            case _:
                assert_never(event)

    def _advance(self, resource_version: int) -> None:
        if self.reached is None or resource_version > self.reached:
            self.reached = resource_version
        self._streak = 0
        self._short = False
        self._server_errors = 0
        self._internal_since = None
        self._backoff.progress(self._clock())

    def _out_of_order(self) -> Sequence[Output]:
        self._statistics.out_of_order += 1
        self._streak += 1
        if self._streak < OUT_OF_ORDER_STREAK:
            return _IGNORED
        self._streak = 0
        return self._relist("out_of_order", at=self.reached)

    def _told_initially(self, event: Added | Modified | Deleted | Progress) -> Sequence[Output]:
        match event:
            case Added(changed) | Modified(changed):
                self._count("ADDED" if isinstance(event, Added) else "MODIFIED")
                self._look_back(changed)
                return () if changed.uid in self._deleted else (InitApply(changed),)
            case Deleted(final):
                # The list is alive: what was told may be deleted before its end; a uid never comes back.
                self._count("DELETED")
                self._deleted.add(final.uid)
                return (InitDelete(final),)
            case Progress(resource_version, initial_events_end):
                self._count("BOOKMARK")
                if initial_events_end:
                    return self._installed(resource_version)
                self._watch_list = False  # a server too old for WatchList: it would never end
                return self._retry("no_watch_list", "upstream does not end its initial events", Start("unsupported"))
            case _:
                assert_never(event)

    def _look_back(self, listed: Object) -> None:
        """One object never grows younger: a list that shows it so is of another past, whatever its own RV."""
        held = self._reader.get(listed.name, listed.namespace)
        if held is not None and held.uid == listed.uid and listed.resource_version < held.resource_version:
            self._went_back = True

    def _told_columns(self, definitions: bytes) -> Sequence[Output]:
        if isinstance(self.state, InitialList):
            if self._columns is not None and definitions != self._columns:
                # The columns changed between two pages: the first ones' cells are under the old ones.
                return self._retry("mixed_form", "the columns changed between two pages", self.state.start)
            self._columns = definitions
            return _IGNORED
        if not isinstance(self.state, Watching):
            if self._columns is None or definitions:
                self._columns = definitions
            return _IGNORED
        held = self._reader.columns
        if definitions == held or definitions == self._tolerated:
            return _IGNORED
        if not len(self._reader):
            return (Columns(definitions),)
        # Such a change has no resourceVersion: every held object's cells are fetched again. Once: a server
        # whose LIST and WATCH disagree for good would have us list for ever.
        self._tolerated = definitions
        return self._relist("columns", at=self.reached)

    def _skip(self, kind: str, message: str) -> Sequence[Output]:
        self._statistics.errors[kind] += 1
        self._note(message)
        if kind == "unknown_type":
            self._statistics.events["unknown"] += 1
        return _IGNORED

    # -- lists ----------------------------------------------------------------------------------------

    def _page_done(self, page: PageDone) -> Sequence[Output]:
        state = self.state
        if not isinstance(state, InitialList):
            raise RuntimeError(f"a page in {state}")
        first = page.resource_version if state.resource_version is None else state.resource_version
        # Pages stand for one resourceVersion; of a server that breaks this, the smallest is safe to resume at.
        first = min(first, page.resource_version)
        if page.continue_:
            self.state = replace(state, continue_=page.continue_, resource_version=first)
            return (self._resume(),)
        return self._installed(first)

    def _installed(self, resource_version: int) -> Sequence[Output]:
        """A list is complete; publish it, unless it would take us back in time unconfirmed."""
        state = self.state
        if not isinstance(state, InitialWatch | InitialList):
            raise RuntimeError(f"a list's end in {state}")
        streamed = isinstance(state, InitialWatch)
        start = state.start
        rollback = self._went_back or (self.reached is not None and resource_version < self.reached)
        if rollback and not start.confirming:
            # Consistent, paged, and then once more: only that is believed. A mirror has no consistent read: it
            # is asked for what is not older, and its refusal must last.
            confirming = self._went_back if self.mirror else not streamed and start.at is None
            told = "holds older objects" if self._went_back else "is older"
            why = f"a list at {resource_version} {told} than what was told before (at {self.reached})"
            at = self.reached if self.mirror else None
            return self._retry("back_in_time", why, Start("rollback", at, paged=True, confirming=confirming))
        now = self._clock()
        statistics = self._statistics
        statistics.list_seconds += max(0.0, now - self._began)
        self.lists += 1
        self._relisting = ""
        self.reached = resource_version
        self._initial_failures = 0
        self._spot_failures = 0
        self._ahead_since = None
        self._tolerated = self._tolerated if start.reason == "columns" else None
        self._advance(resource_version)
        self._deleted.clear()
        outputs: list[Output] = []
        if self._columns is not None and self._columns != self._reader.columns:
            outputs.append(Columns(self._columns))
        self._columns = None
        outputs.append(InitDone(resource_version, rollback))
        outputs += self._healthy()
        if streamed:
            self.state = WATCHING
            self._statistics.watches += 1
            self._opened, self._opened_at, self._seen = now, resource_version, 0
        else:
            self.state = LISTED
            outputs.append(self._resume())
        return outputs

    def _relist_asked(self, asked: Relist) -> Sequence[Output]:
        match self.state:
            case InitialWatch() | InitialList():
                return _IGNORED  # a list is on its way
            case Start():
                self.state = replace(self.state, reason=asked.reason)
            case Listed() | Watching():
                self._ended()
                consistent = asked.rollback or (asked.consistent and not self.mirror)
                at = None if consistent else self.reached
                self.state = Start(asked.reason, at, paged=consistent, confirming=asked.rollback)
            case _:
                assert_never(self.state)
        return (self._resume(),)

    def _relist(self, reason: str, *, at: int | None, paged: bool = False) -> Sequence[Output]:
        """A list is needed because of what a healthy upstream said."""
        self._ended()
        self.state = Start(reason, at, paged=paged)
        return self._soon(f"a new list is needed ({reason})")

    def _soon(self, why: str, *, behind: bool = False) -> Sequence[Output]:
        """List now, give or take the jitter that keeps resources apart; but not again and again.

        The backoff's own step would be long after an outage, which is when a restarted API server, whose watch
        cache begins anew, answers 410 to all its watchers. behind: what is held is older than it should be, and
        says so until it has been listed.
        """
        now = self._clock()
        since, self._soon_at = now - self._soon_at, now
        if since < SOON_SECONDS:
            return (*self._stale(why), self._wait())
        return (*(self._stale(why) if behind else ()), Wait(self._random.random()))

    # -- ends and failures ----------------------------------------------------------------------------

    def _end(self) -> Sequence[Output]:
        match self.state:
            case Watching():
                if self._ended():
                    self._short = True
                    self._fail("short_watch", "the watch ended at once, with nothing told")
                    return (*self._stale("the watch ends as soon as it begins"), self._wait())
                return (self._resume(),)
            case InitialWatch():
                return self._lose(Lost("truncated", "the stream ended before the initial events did"))
            case Start() | InitialList() | Listed():
                raise RuntimeError(f"a stream's end in {self.state}")
            case _:
                assert_never(self.state)

    def _ended(self) -> bool:
        """Account for a watch that is over and go back to Listed; whether it was a very short, empty one."""
        if not isinstance(self.state, Watching):
            return False
        self._gap = None  # what was told of it will be told again: where it began is what was reached
        lived = self._clock() - self._opened
        self._statistics.watch_seconds += max(0.0, lived)
        self._statistics.watch_items += self._seen
        self.state = LISTED
        # A bookmark that repeats where we stand is nothing either, or such a server would be asked in a loop.
        short = lived < SHORT_WATCH_SECONDS and (self.reached or 0) == self._opened_at
        if short:
            self._statistics.short_watches += 1
        return short

    def _lose(self, lost: Lost) -> Sequence[Output]:
        self._fail(lost.kind, lost.message)
        if lost.kind == "idle" and isinstance(self.state, Watching):
            # At once, and stale only if nobody answers: of a resource of which it has seen no event at all an API
            # server sends no bookmarks, and a false alarm must cost a new watch and no more.
            self._ended()
            return (replace(self._resume_watch(), probing=True),)
        stale = self._stale(lost.message)
        match self.state:
            case Watching():
                self._ended()
                if lost.kind in ("bad_line", "mixed_form"):
                    return (*stale, *self._bad_spot(lost.kind))
                return (*stale, self._wait(away=True))
            case InitialWatch() | InitialList():
                if self._answered:  # a server that cannot be reached says nothing about how it lists
                    self._initial_failed()
                self._again()
                return (*stale, self._wait(away=True))
            case Start() | Listed():
                return (*stale, self._wait(away=True))
            case _:
                assert_never(self.state)

    def _initial_failed(self) -> None:
        """What Resume will try: the same again, and after some attempts the other way to list."""
        self._initial_failures += 1
        match self.state:
            case InitialWatch(start):
                self.state = start
                if self._initial_failures >= WATCH_LIST_ATTEMPTS:
                    self._initial_failures = 0
                    self.state = replace(start, paged=True)
            case InitialList(start):
                # The same page again; a token that has expired meanwhile is a 410 and handled there.
                if self._initial_failures >= PAGE_ATTEMPTS:
                    self._initial_failures = 0
                    self.state = replace(start, paged=start.confirming)
            case Start() | Listed() | Watching():
                raise RuntimeError(f"a list failed in {self.state}")
            case _:
                assert_never(self.state)

    def _bad_spot(self, kind: str) -> Sequence[Output]:
        """Something undecodable: resume there, and after the third time at the same place list instead."""
        reached = self.reached or 0
        self._spot_failures = self._spot_failures + 1 if self._spot == reached else 1
        self._spot = reached
        if self._spot_failures >= SAME_SPOT_FAILURES:
            self._spot_failures = 0
            self.state = Start(kind, self.reached)
        return (self._wait(),)

    def _refuse(self, status: Status) -> Sequence[Output]:
        """An answer that is not 200, or an ERROR event."""
        said = f"upstream answered {status}"
        in_stream = isinstance(self.state, Watching)
        self._ended()
        if status.expired:
            self._fail("expired", said)
            return self._expired(said)
        if status.too_large:
            self._fail("too_large", said)
            return self._too_large(said)
        kind = {200: "not_kubernetes", 401: "unauthorized", 429: "too_many_requests"}.get(
            status.code, f"http_{status.code}" if 300 <= status.code <= 599 else "error"
        )
        self._fail(kind, said)
        if status.code == 403 and not in_stream:
            return self._deny(Phase.FORBIDDEN, status, self._forbidden_seconds)
        if status.code == 404 and not in_stream:
            return self._deny(Phase.GONE, status, GONE_SECONDS)
        self._denials = 0
        stale = self._stale(said)
        wait = self._wait_after(status)
        if status.code in (401, 429):
            self._again()
            return (*stale, wait)
        match self.state:
            case Listed():
                return (*stale, *self._watch_refused(status, wait, in_stream=in_stream))
            case InitialWatch(start) if status.code < 500:
                # A server without WatchList says 400 or 422; whatever else it is, a LIST may still be answered.
                self._watch_list = self._watch_list and status.code not in (400, 405, 406, 415, 422)
                self.state = replace(start, paged=True)
            case InitialWatch() | InitialList():
                self._initial_failed()
            case Start() | Watching():
                pass
            case _:
                assert_never(self.state)
        return (*stale, wait)

    def _wait_after(self, status: Status) -> Wait:
        if status.code == 429 and status.retry_after and self._turned_away < TURNS_AWAY:
            self._turned_away += 1
            seconds = status.retry_after * (1.0 + TURN_JITTER * self._random.random())
            self._statistics.backoff_seconds = seconds
            return Wait(seconds)
        return self._wait(
            status.retry_after, away=not status.retry_after and (status.code >= 500 or status.code == 401)
        )

    def _watch_refused(self, status: Status, wait: Wait, *, in_stream: bool) -> Sequence[Output]:
        if status.reason == "InternalError" and status.code == 500:
            now = self._clock()
            self._internal_since = now if self._internal_since is None else self._internal_since
            if now - self._internal_since >= INTERNAL_ERROR_SECONDS:
                self._internal_since = None
                self.state = Start("internal_error", self.reached)
            return (wait,)
        if in_stream:
            self.state = Start("error", self.reached)
            return (wait,)
        self._server_errors += 1
        if status.code in (400, 422) or self._server_errors >= SERVER_ERRORS_BEFORE_RELIST:
            self._server_errors = 0
            self.state = Start("error", self.reached)
        return (wait,)

    def _again(self) -> None:
        """Ask the same once more: the answer said nothing about the question."""
        if isinstance(self.state, InitialWatch):
            self.state = self.state.start

    def _expired(self, said: str) -> Sequence[Output]:
        match self.state:
            case InitialList(start, continue_) if continue_:
                self.state = InitialList(start, whole=True)  # this page's history was compacted: all at once
                return (self._wait(),)
            case InitialList(start) | InitialWatch(start):
                self.state = replace(start, at=None)
                return (self._wait(),)
            case Start() | Listed() | Watching():
                self.state = Start("expired", self.reached)
                return self._soon(said, behind=True)
            case _:
                assert_never(self.state)

    def _too_large(self, said: str) -> Sequence[Output]:
        """Upstream has not reached what we have: behind, or back in time."""
        now = self._clock()
        self._ahead_since = now if self._ahead_since is None else self._ahead_since
        stale = self._stale(said)
        match self.state:
            case InitialWatch(start) | InitialList(start):
                if not self.mirror:
                    self.state = Start("too_large", None, paged=True)
                elif now - self._ahead_since >= self._mirror_patience:
                    # A mirror's newest is no consistent read: its refusal for so long is what decides.
                    self.state = Start("rollback", None, paged=True, confirming=True)
                else:
                    self.state = start
            case Start() | Listed() | Watching():
                self.state = Start("too_large", self.reached)
            case _:
                assert_never(self.state)
        return (*stale, self._wait())

    def _deny(self, phase: Phase, status: Status, seconds: float) -> Sequence[Output]:
        """403 or 404. A served store believes the second one: a server that just starts says both for a moment."""
        self._denials += 1
        self._again()
        if self._reader.synced and self._denials < 2:
            confirm = CONFIRM_SECONDS * (1.0 + self._random.random())
            return (*self._stale(f"upstream answered {status}"), Wait(max(confirm, status.retry_after)))
        if isinstance(self.state, Listed | InitialList):
            self.state = Start("forbidden" if phase is Phase.FORBIDDEN else "gone")
        elif isinstance(self.state, Start):
            self.state = replace(self.state, at=None, paged=False, confirming=False)
        self.reached = None
        self._ahead_since = None
        remedy = (
            f"; grant list and watch on {self._name}"
            " (kubemirror rbac | kubectl apply -f -; and bind it, unless deploy/base has)"
            if phase is Phase.FORBIDDEN
            else ""
        )
        self._statistics.backoff_seconds = seconds
        return (*self._phase(phase, f"{status}{remedy}"), Wait(max(seconds, status.retry_after)))

    def _retry(self, kind: str, message: str, start: Start) -> Sequence[Output]:
        self._fail(kind, message)
        self.state = start
        return (*self._stale(message), self._wait())

    def _wait(self, least: float = 0.0, *, away: bool = False) -> Wait:
        seconds = max(least, self._backoff.next(self._clock()))
        self._statistics.backoff_seconds = seconds
        return Wait(seconds, away)

    # -- phases and accounts --------------------------------------------------------------------------

    def _with_health(self, event: Event) -> Sequence[Output]:
        if self._reader.phase is Phase.SYNCED:
            return (event,)
        return (event, *self._healthy())

    def _healthy(self) -> Sequence[Output]:
        self._statistics.backoff_seconds = 0.0
        return self._phase(Phase.SYNCED, "")

    def _stale(self, reason: str) -> Sequence[Output]:
        phase = self._reader.phase
        match phase:
            case Phase.SYNCED | Phase.STALE:
                return self._phase(Phase.STALE, reason)
            case Phase.INIT:
                return self._phase(phase, reason)
            case Phase.FORBIDDEN | Phase.GONE:
                return ()  # still the last thing known; a server that is away has not changed its mind
            case _:
                assert_never(phase)

    def _phase(self, phase: Phase, reason: str) -> Sequence[Output]:
        if phase is self._reader.phase and reason == self._reader.reason:
            return ()
        return (PhaseChange(phase, reason),)

    def _count(self, type_: str) -> None:
        self._statistics.events[type_] += 1
        if type_ != "ERROR":
            self._seen += 1
            if type_ != "BOOKMARK" and isinstance(self.state, InitialWatch):
                self._statistics.list_items += 1

    def _fail(self, kind: str, message: str) -> None:
        self._statistics.errors[kind] += 1
        self._note(message)

    def _note(self, message: str) -> None:
        self._statistics.last_error = message
        self._statistics.last_error_at = self._clock()
