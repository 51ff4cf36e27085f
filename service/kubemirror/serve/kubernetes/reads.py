"""GET of an object and LIST of a collection: which state is meant, what of it is selected, one page of it.

resourceVersion, resourceVersionMatch, limit and continue decide which state (KEP-2340, apiserver
pkg/storage/interfaces.go): the newest, one at least as new as N (waited for, up to 3 s), or exactly N, rolled
back through the journal. resourceVersion "" means the newest this mirror knows; for resources set to be read
consistently, upstream's current version is waited for first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

from kubemirror.errors import ExpiredError
from kubemirror.serve import status
from kubemirror.serve.answers import AGES_SECONDS, Validity
from kubemirror.serve.compressed import Runs
from kubemirror.serve.context import Context
from kubemirror.serve.kubernetes import continuation
from kubemirror.serve.kubernetes.answer import NO_CACHE, Answer, Headers, warning
from kubemirror.serve.kubernetes.continuation import Continuation
from kubemirror.serve.kubernetes.forms import Shape, View
from kubemirror.serve.kubernetes.options import EXACT, ListOptions, resource_version
from kubemirror.serve.kubernetes.rollback import EarlierStates
from kubemirror.serve.listing import Listing
from kubemirror.serve.waiting import caught_up, fresh, resumable
from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.events import Phase
from kubemirror.state.objects import Object
from kubemirror.state.selectors import Selection
from kubemirror.state.store import Reader

# Objects matched before others get a turn: about 2 ms.
_STEP = 2000


@dataclass(frozen=True, slots=True)
class Target:
    """What a request reads: one store, one namespace of it (None: all), one view."""

    resource: Resource
    reader: Reader
    namespace: str | None
    view: View


class Reads:
    """Answers of one app; holds what paging needs between pages."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._earlier = EarlierStates()
        self._runs = Runs()

    async def get(self, target: Target, name: str, version_text: str) -> Answer:
        """One object, not older than asked; 404 where there is none."""
        reader, resource = target.reader, target.resource
        reader.require_served()
        await self._freshen(target, version_text, resource_version(version_text, listing=False))
        namespace = target.namespace or ""
        held = reader.get(name, namespace)
        if held is None:
            raise status.not_found(resource.plural, resource.group, name)
        body = target.view.single(held, self._context.wall())
        validity = None
        if self._repeatable(resource, version_text):
            validity = self._validity(target, lambda: reader.get(name, namespace) is held)
        return Answer(200, body, headers=self.headers(target), validity=validity)

    async def collection(self, target: Target, options: ListOptions, selection: Selection) -> Answer:
        """One page, or all."""
        reader = target.reader
        reader.require_served()
        token = _token(options)
        validity: Validity | None = None
        version = resource_version(options.resource_version, listing=True)
        limit = max(options.limit, 0)
        journal = reader.journal
        if token is not None and token.resource_version != continuation.NEWEST:
            version = token.resource_version
            objects = await self._at(target, version, token)
        elif version and (options.resource_version_match == EXACT or (limit and not options.resource_version_match)):
            objects = await self._at(target, version, None)
        else:
            await self._freshen(target, options.resource_version, version)
            await resumable(reader, seconds=self._context.settings.freshness_seconds)
            reader.require_served()
            if options.resource_version and not version:
                limit = 0  # "0" means whatever is at hand, and that is everything (reflector.go relies on it)
            journal = reader.journal
            snapshot = reader.snapshot(target.namespace)
            objects, version = snapshot.objects, snapshot.resource_version
            newest = token is None and self._repeatable(target.resource, options.resource_version)
            if newest and not journal.gap_is_open:
                validity = self._validity(target, _unmoved(reader))
        inside = target.namespace is not None
        if token is None:
            objects = _alone(objects, selection.field.name, target)
        start = _position(objects, token.start, inside_namespace=inside) if token is not None else 0
        page, following = await _page(objects, start, limit, selection)
        page = target.view.ordered(page)
        more = ""
        remaining = None
        if following < len(objects):
            self._earlier.keep(journal, version, target.namespace, objects)
            more = continuation.after(objects[following - 1], version, inside_namespace=inside)
            if selection.empty:
                remaining = len(objects) - following
        # A page that another one follows keeps the state that its token names: that is done once each time.
        whole = selection.empty and token is None and len(page) == len(objects)
        return self._listing(target, page, version, more, remaining, None if more else validity, whole=whole)

    def headers(self, target: Target) -> Headers:
        """What says how this may be cached, how old it may be, and that its version is deprecated."""
        served = target.resource.served(target.view.version)
        return (NO_CACHE, *warnings(target.resource, served, target.reader), *self._freshness(target.reader))

    def _freshness(self, reader: Reader) -> list[tuple[bytes, bytes]]:
        if self._context.authoritative:
            return []
        if reader.phase is not Phase.STALE:
            return [(b"cache-status", b"kubemirror; hit")]  # by this a mirror of this mirror knows it
        age = max(int(self._context.clock() - reader.heard), 0)
        return [(b"cache-status", b"kubemirror; hit; detail=STALE"), (b"age", b"%d" % age)]

    def _repeatable(self, resource: Resource, version_text: str) -> bool:
        """Whether the newest state at hand is all that is asked for."""
        return version_text == "0" or (not version_text and not self.consistent(resource))

    def _validity(self, target: Target, unmoved: Callable[[], bool]) -> Validity:
        """Of an answer made now. unmoved: whether what it shows is still what would be shown."""
        reader, catalog = target.reader, self._context.catalog

        def stamp() -> tuple[object, ...]:
            return catalog.version, reader.phase, reader.epoch, reader.columns_version, reader.warning

        made = stamp()
        ages = target.view.form.shape is Shape.TABLE and target.view.printer is not None and target.view.printer.ages
        return Validity(
            current=lambda: stamp() == made and unmoved(),
            freshness=lambda: self._freshness(reader),
            until=asyncio.get_running_loop().time() + AGES_SECONDS if ages else inf,
            readers=(reader,),
        )

    def _listing(
        self,
        target: Target,
        page: Sequence[Object],
        version: int,
        more: str,
        remaining: int | None,
        validity: Validity | None,
        *,
        whole: bool,
    ) -> Answer:
        """whole: all that the store or the namespace holds, which is asked for again and again."""
        view = target.view
        head, tail = view.frame(version, empty=not page, continue_token=more, remaining=remaining)
        now = self._context.wall()
        size = sum(len(held.raw) for held in page) if view.form.shape is Shape.OBJECT else 1500 * len(page)
        runs = None
        if view.form.shape is Shape.OBJECT and whole:
            asked = target.resource.name, view.version, target.namespace
            runs = partial(self._runs.of, asked, page, partial(view.item, now=now))
        body = Listing(head, partial(_items, view, page, now), tail, size, runs=runs)
        return Answer(200, body, headers=self.headers(target), validity=validity)

    async def _freshen(self, target: Target, text: str, version: int) -> None:
        reader = target.reader
        seconds = self._context.settings.freshness_seconds
        if not text and self.consistent(target.resource):
            await caught_up(self._context, target.resource, target.namespace, reader)
            reader.require_served()
        if version > reader.resource_version:
            await fresh(reader, version, seconds=seconds)
            reader.require_served()

    async def _at(self, target: Target, version: int, token: Continuation | None) -> tuple[Object, ...]:
        await self._freshen(target, str(version), version)
        try:
            return await self._earlier.at(target.reader, version, target.namespace)
        except ExpiredError:
            if token is None:
                raise status.expired(status.LIST_EXPIRED) from None
            raise status.expired(status.CONTINUE_EXPIRED, continue_token=continuation.inconsistent(token)) from None

    def consistent(self, resource: Resource) -> bool:
        """Whether a read of it that names no resourceVersion waits for upstream's newest."""
        for name in self._context.settings.consistent:
            entry = self._context.catalog.find(name)
            if entry is not None and entry.resource.name == resource.name:
                return True
        return False


def warnings(resource: Resource, served: ServedVersion | None, reader: Reader | None) -> Headers:
    """That the version is deprecated: definitions say so of custom resources, upstream itself of its own."""
    if resource.custom:
        return (warning(served.deprecation_warning),) if served is not None and served.deprecation_warning else ()
    return ((b"warning", reader.warning.encode("latin-1")),) if reader is not None and reader.warning else ()


def _unmoved(reader: Reader) -> Callable[[], bool]:
    """Whether a list made now would be made again: it tells the store's resourceVersion, so the store's version."""
    made = reader.version(), reader.resource_version
    return lambda: (reader.version(), reader.resource_version) == made


def _token(options: ListOptions) -> Continuation | None:
    if not options.continue_token:
        return None
    try:
        token = continuation.parse(options.continue_token)
    except ValueError as error:
        raise status.bad_request(f"invalid continue token: {error}") from None
    if options.resource_version not in ("", "0"):
        raise status.bad_request("specifying resource version is not allowed when using continue")
    return token


def _alone(objects: tuple[Object, ...], name: str | None, target: Target) -> tuple[Object, ...]:
    """The one object that a field selector names: upstream looks at no other, so no page can follow."""
    if name is None or (target.namespace is None and target.resource.namespaced):
        return objects
    at = _position(objects, name, inside_namespace=True)
    return objects[at : at + 1]


def _position(objects: tuple[Object, ...], start: str, *, inside_namespace: bool) -> int:
    """Index of the first object whose key is at or after ``start``."""
    low, high = 0, len(objects)
    while low < high:
        middle = (low + high) // 2
        if continuation.storage_key(objects[middle], inside_namespace=inside_namespace) < start:
            low = middle + 1
        else:
            high = middle
    return low


async def _page(objects: tuple[Object, ...], start: int, limit: int, selection: Selection) -> tuple[list[Object], int]:
    """The page from ``start``, and the index after the last object looked at."""
    if selection.empty:
        end = min(start + limit, len(objects)) if limit else len(objects)
        return list(objects[start:end]), end
    page: list[Object] = []
    matches = selection.matches
    for index in range(start, len(objects)):
        held = objects[index]
        if matches(held):
            page.append(held)
            if len(page) == limit:
                return page, index + 1
        if index % _STEP == _STEP - 1:
            await asyncio.sleep(0)
    return page, len(objects)


def _items(view: View, page: Sequence[Object], now: float) -> Iterator[bytes]:
    return (view.item(held, now) for held in page)
