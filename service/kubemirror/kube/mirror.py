"""The mirror: one reflector per wanted resource (and namespace), kept in step with what the API server has.

Three sources move it: discovery, the store of CustomResourceDefinitions (itself one of the mirrored stores),
and the stores' own phases. Each of them only says "ask again": the selection (kube/selection.py) is computed
anew and compared with what runs, so no order of events can leave a difference behind. An event that changes
nothing in the selection (status noise of a definition) does nothing.

What becomes of a running store when its resource changes:

    short names, categories, a version added              entry replaced, streams live on
    printer columns of the mirrored version               so too, and its cells are listed again
    mirrored version, kind, scope, a served version gone  superseded: streams end with 410, a new store
    another definition under the same name (uid)          DELETED for each object, end; a new store
    definition deleted, resource gone                     entry leaves; DELETED for each object, end

An entry leaves the catalog at once, because the catalog is what discovery tells; a name given by ``--mirror``
stays as a placeholder without versions, GONE with the reason, so that status shows what is missing. Its stores
stay a moment: a definition's watch and its instances' are two connections, and the deletions that are under way
on the second carry the RVs at which they happened. What they have not told by then, the store tells itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from functools import partial
from random import Random

import structlog

from kubemirror.kube.defined import Definitions
from kubemirror.kube.discovery import Discovered, Discovery, DiscoveryError
from kubemirror.kube.gate import Gate
from kubemirror.kube.mirrored import MakeReflector, Mirrored, ReflectedStore, Reflecting, merged, replaced_because
from kubemirror.kube.order import discovery_order, group_positions
from kubemirror.kube.placeholders import Placeholders
from kubemirror.kube.reflector import Reflector, ReflectorOptions
from kubemirror.kube.selection import DEFINITIONS, SECRETS, Choice, Wanted
from kubemirror.kube.transport import Transport
from kubemirror.kube.vigil import Vigil
from kubemirror.settings import Settings
from kubemirror.state.catalog import ALL_NAMESPACES, Catalog, Entry, Resource
from kubemirror.state.events import Phase, PhaseChange
from kubemirror.state.store import Reader, Writer

log = structlog.get_logger(__name__)

# Whoever mirrors APIServices hears at once that an aggregated API comes or goes.
API_SERVICES = "apiregistration.k8s.io"
# Discovery is read again after this long (± a fifth): what is not a CRD changes with upgrades and APIServices.
DISCOVERY_SECONDS = 600.0
# While something is missing, stale, or only discovery tells of new custom resources. A 304 costs next to nothing.
IMPATIENT_SECONDS = 30.0
# At least this long between two readings, however many stores turn GONE at once.
LEAST_SECONDS = 5.0
# client-go's numbers: 0.8 s doubling to 30 s, each up to twice as long by chance.
FIRST_BACKOFF_SECONDS, LAST_BACKOFF_SECONDS = 0.8, 30.0
# Reflectors that start together are spread by this much each: 200 requests a second at most.
SPREAD_SECONDS = 0.005
# A definition is Established a moment before its resource is served: until then a LIST is 404 (up to 5 s on other
# API servers of an HA control plane) or 429 "storage is (re)initializing". These are the seconds between asking
# again, in place of the backoff, so that a new resource is there within 2 s.
IMPATIENCE_SECONDS = (0.2, 0.3, 0.5, 0.8, 1.5, 3.0, 5.0, 10.0)
# For how long a store waits for the deletions that the API server made before it deleted the definition: they were
# sent before, so the other connection has to be read, no more. kube-apiserver ends such watches within a second.
FAREWELL_SECONDS = 2.0
# How many of the resources that begin together are named in the log.
NAMED_RESOURCES = 10
# New printer columns reach the API server's handlers a moment after the definition's event, with no other sign.
COLUMNS_SECONDS = (0.0, 1.0, 6.0)


class Mirror:
    """Fills ``catalog`` and keeps it filled. Implements state.upstream.Refresh."""

    def __init__(
        self,
        transport: Transport,
        settings: Settings,
        catalog: Catalog,
        clock: Callable[[], float],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Random | None = None,
        reflector: MakeReflector = Reflector,
    ) -> None:
        """clock: monotonic seconds, the stores'. Raises ConfigError for a name that cannot be one."""
        self._random = random or Random()  # noqa: S311 - jitter, not secrets
        self._vigil = Vigil(transport, self._upstream_is_back, clock=clock, sleep=sleep, random=self._random)
        self._gate = Gate(self._vigil)
        self._settings = settings
        self._catalog = catalog
        catalog.complete = False
        self._clock = clock
        self._sleep = sleep
        self._make_reflector = reflector
        self._choice = Choice(mirror=settings.mirror, exclude=settings.exclude, namespaces=settings.namespace)
        self._options = ReflectorOptions.of(settings)
        self._discovery = Discovery(self._vigil)
        self._discovered: Discovered | None = None
        self._failure = ""
        self._hashes: dict[tuple[str, str], Mapping[str, str]] = {}
        self._definitions = Definitions(readable=self._choice.reads_definitions)
        self._started = False  # whether the custom resources there at start have been seen
        self._mirrored: dict[str, Mirrored] = {}
        self._placeholders = Placeholders(catalog, clock)
        self._look_again = asyncio.Event()
        self._returned = asyncio.Event()
        self._group_order: tuple[tuple[str, ...], frozenset[str]] = ((), frozenset())
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Mirror until cancelled. A dead reflector ends this with that reflector's exception."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._reconcile()  # Deployments and definitions wait for no discovery
                tasks.create_task(self._discover(), name="discovery")
                tasks.create_task(self._vigil.run(), name="vigil")
        except BaseExceptionGroup as died:
            for other in died.exceptions[1:]:
                log.error("mirror.task_died_too", error=repr(other))
            raise died.exceptions[0] from None

    async def refresh(self, name: str | None) -> list[str]:
        """List the named resource (None: everything, discovery included) again now; the names that will be.

        Empty for a name that is not mirrored. Several asks before the list begins are one list.
        """
        if name is None:
            chosen = list(self._mirrored)
            self._look_again.set()
        else:
            entry = self._catalog.find(name)
            chosen = [entry.resource.name] if entry is not None else []
            if entry is not None and entry.resource.name not in self._mirrored:
                self._look_again.set()
        for each in chosen:
            mirrored = self._mirrored.get(each)
            for store in mirrored.stores.values() if mirrored is not None else ():
                store.reflector.refresh("refresh")
        return sorted(chosen)

    async def _upstream_is_back(self) -> None:
        """Everything that waits for it, one after the other."""
        self._returned.set()
        stores = [store for mirrored in self._mirrored.values() for store in mirrored.stores.values()]
        for store in stores:
            store.reflector.upstream_is_back()
            await self._sleep(SPREAD_SECONDS)

    # -- discovery ------------------------------------------------------------------------------------

    async def _discover(self) -> None:
        failures = 0
        while True:
            self._look_again.clear()
            try:
                self._discovered = await self._discovery.read()
            except DiscoveryError as error:
                if str(error) != self._failure:
                    log.warning("discovery.failed", reason=str(error))
                self._failure = str(error)
                pause = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2**failures) * (1 + self._random.random())
                self._reconcile()
                failures = 1 if await self._returns(pause) else min(failures + 1, 10)
                continue
            if failures:
                log.info("discovery.recovered", failures=failures)
            failures, self._failure = 0, ""
            self._definitions.discovered_since = True
            self._reconcile()
            await self._read_hashes()
            await self._pause()

    async def _returns(self, seconds: float) -> bool:
        """Whether an upstream that is away comes back within that time; not waited for any longer."""
        self._returned.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._returned.wait()
        except TimeoutError:
            return False
        return True

    async def _pause(self) -> None:
        wanting = self._placeholders or not self._definitions.readable or self._catalog.stale_groups
        seconds = (IMPATIENT_SECONDS if wanting else DISCOVERY_SECONDS) * self._random.uniform(0.8, 1.2)
        await self._sleep(LEAST_SECONDS)
        try:
            async with asyncio.timeout(seconds - LEAST_SECONDS):
                await self._look_again.wait()
        except TimeoutError:
            pass

    async def _read_hashes(self) -> None:
        """storageVersionHash of what no definition tells it of."""
        wanted = {
            (mirrored.wanted.resource.group, mirrored.wanted.resource.version)
            for mirrored in self._mirrored.values()
            if not mirrored.wanted.resource.uid
        }
        read = {identity: await self._discovery.storage_version_hashes(*identity) for identity in sorted(wanted)}
        if read != self._hashes:
            self._hashes = read
            self._reconcile()

    # -- definitions ----------------------------------------------------------------------------------

    def _definitions_moved(self, reader: Reader) -> None:
        """Called for every event and bookmark of the definitions' store."""
        gone = self._definitions.take(reader)
        if gone is None and (self._started or not reader.synced):
            return
        if self._discovered is not None:
            for name in gone or ():
                self._discovered = self._discovered.without(name)
        if not self._definitions.readable:
            self._look_again.set()
        self._reconcile()

    # -- what runs, made what is wanted ---------------------------------------------------------------

    def _reconcile(self) -> None:
        """Make what runs what is wanted; synchronous, so that no reader sees a step of it."""
        definitions = self._definitions
        selection = self._choice.select(
            self._discovered, definitions.known(self._discovered), complete=definitions.readable, failure=self._failure
        )
        wanted = {each.resource.name: self._with_hashes(each) for each in selection.wanted}
        for name in [name for name in self._mirrored if name not in wanted]:
            self._end(name)
        # Readiness counts the custom resources that are there when they are first known, not those found later.
        customs_known = self._customs_known()
        provisional = customs_known and not self._started
        fresh = [name for name in wanted if name not in self._mirrored]
        for each in wanted.values():
            self._follow(each, spread=len(fresh) * SPREAD_SECONDS, provisional=provisional)
        if fresh:
            named = fresh if len(fresh) <= NAMED_RESOURCES else [*fresh[:NAMED_RESOURCES], "..."]
            log.info("resources.mirrored", count=len(fresh), resources=named)
        self._started = self._started or customs_known
        self._catalog.complete = self._catalog.complete or (self._started and self._discovered is not None)
        self._placeholders.show(selection.missing, self._mirrored)
        self._tell_stale()
        self._tell_order()

    def _customs_known(self) -> bool:
        if not self._definitions.readable:
            return self._discovered is not None
        mirrored = self._mirrored.get(DEFINITIONS.name)
        return mirrored is not None and all(store.writer.reader.synced for store in mirrored.stores.values())

    def _with_hashes(self, wanted: Wanted) -> Wanted:
        resource = wanted.resource
        found = self._hashes.get((resource.group, resource.version), {}).get(resource.plural)
        if resource.uid or not found:
            return wanted
        versions = tuple(replace(served, storage_version_hash=found) for served in resource.versions)
        return replace(wanted, resource=replace(resource, versions=versions))

    def _follow(self, wanted: Wanted, *, spread: float, provisional: bool) -> None:
        name = wanted.resource.name
        mirrored = self._mirrored.get(name)
        if mirrored is not None:
            held = mirrored.wanted.resource
            wanted = replace(wanted, resource=merged(held, wanted.resource))
            if wanted == mirrored.wanted:
                return
            replaced = replaced_because(held, wanted.resource)
            if not replaced:
                self._amend(mirrored, wanted)
                return
            recreated = held.uid != wanted.resource.uid and bool(held.uid)
            log.info("resource.replaced", resource=name, reason=replaced)
            for store in mirrored.stores.values():
                store.stop()
                if recreated:
                    store.writer.handle(PhaseChange(Phase.GONE, replaced))
                else:
                    store.writer.supersede(replaced)
            provisional = False
        self._begin(wanted, spread=spread, provisional=provisional and wanted.resource.custom)

    def _begin(self, wanted: Wanted, *, spread: float, provisional: bool) -> None:
        resource = wanted.resource
        if resource.name == SECRETS:
            log.warning("secrets.mirrored", held="apiVersion, kind and metadata only", reason="named by --mirror")
        stores = {
            namespace: self._reflect(resource, namespace, delay=self._random.uniform(0, spread))
            for namespace in wanted.namespaces
        }
        entry = Entry(
            resource,
            {namespace: store.writer.reader for namespace, store in stores.items()},
            required=wanted.required or provisional,
        )
        mirrored = Mirrored(wanted, entry, stores, provisional)
        self._mirrored[resource.name] = mirrored
        for store in stores.values():
            store.listening.append(store.writer.reader.on_progress(partial(self._moved, mirrored, store)))
            if resource.uid and self._started:  # defined just now, not found at start
                self._hurry(resource.name, store)
            if resource.group == API_SERVICES:
                store.listening.append(store.writer.reader.on_change(lambda _: self._look_again.set()))
        if resource.name == DEFINITIONS.name:
            reader = stores[ALL_NAMESPACES].writer.reader
            stores[ALL_NAMESPACES].listening.append(reader.on_progress(partial(self._definitions_moved, reader)))
        self._catalog.put(entry)
        log.debug("resource.mirrored", resource=resource.name, version=resource.version, namespaces=list(stores))

    def _reflect(self, resource: Resource, namespace: str, *, delay: float) -> ReflectedStore:
        settings = self._settings
        writer = Writer(
            clock=self._clock,
            journal_window=settings.journal_seconds,
            journal_least_bytes=settings.journal_bytes,
        )
        reflector = self._make_reflector(
            transport=self._gate,
            resource=resource,
            writer=writer,
            namespace=namespace,
            options=self._options,
            clock=self._clock,
            sleep=self._sleep,
            random=self._random,
        )
        store = ReflectedStore(writer, reflector)
        where = f"{resource.name}/{namespace}" if namespace else resource.name
        store.task(self._spawn(_guarded(reflector, where, partial(self._sleep, delay)), f"reflector {where}"))
        return store

    def _amend(self, mirrored: Mirrored, wanted: Wanted) -> None:
        """Only what is told of the resource changed; its stores and streams live on."""
        before, after = mirrored.wanted.resource, wanted.resource
        mirrored.wanted = wanted
        mirrored.entry = Entry(after, mirrored.entry.stores, required=wanted.required or mirrored.provisional)
        self._catalog.put(mirrored.entry)
        old, new = before.served(before.version), after.served(after.version)
        if before.uid and old is not None and new is not None and old.columns != new.columns:
            log.info("resource.columns_changed", resource=after.name)
            for store in mirrored.stores.values():
                store.task(self._spawn(self._list_columns(store), f"columns {after.name}"))

    async def _list_columns(self, store: ReflectedStore) -> None:
        for seconds in COLUMNS_SECONDS:
            await self._sleep(seconds)
            store.reflector.refresh("columns")

    def _end(self, name: str) -> None:
        mirrored = self._mirrored.pop(name)
        reason = f"{name} is no longer there" + (
            ": its CustomResourceDefinition was deleted or serves no version" if mirrored.wanted.resource.custom else ""
        )
        log.info("resource.gone", resource=name, reason=reason)
        self._catalog.remove(name)
        for store in mirrored.stores.values():
            store.deafen()
            if store.writer.reader.phase is Phase.SYNCED and len(store.writer.reader):
                self._spawn(_take_leave(store, reason), f"farewell {name}")
            else:
                store.end(reason)

    # -- phases ---------------------------------------------------------------------------------------

    def _moved(self, mirrored: Mirrored, store: ReflectedStore) -> None:
        """A store moved; called for every event and bookmark, so the common case is two looks."""
        if mirrored.provisional and mirrored.answered:
            mirrored.provisional = False
            mirrored.entry.required = mirrored.wanted.required
        phase = store.writer.reader.phase
        if phase is store.phase:
            return
        store.phase = phase
        if phase is Phase.SYNCED or phase is Phase.FORBIDDEN:
            store.calm()
        elif phase is Phase.GONE and mirrored.wanted.resource.uid:
            self._hurry(mirrored.wanted.resource.name, store)
        elif phase is Phase.GONE:
            self._look_again.set()

    def _hurry(self, name: str, store: ReflectedStore) -> None:
        """Its definition says that it is there: do not leave it to the backoff."""
        store.hurry(self._spawn(self._ask_again(store), f"hurry {name}"))

    async def _ask_again(self, store: ReflectedStore) -> None:
        for seconds in IMPATIENCE_SECONDS:
            await self._sleep(seconds)
            store.reflector.refresh("established")

    # -- what is told beside the entries --------------------------------------------------------------

    def _tell_stale(self) -> None:
        """Group versions that are mirrored, or asked for, and whose discovery fails."""
        stale: dict[tuple[str, str], str] = {}
        if self._discovered is not None:
            groups = {mirrored.wanted.resource.group for mirrored in self._mirrored.values()}
            groups |= self._placeholders.groups
            stale = {identity: why for identity, why in self._discovered.stale.items() if identity[0] in groups}
        told = {identity: state.reason for identity, state in self._catalog.stale_groups.items()}
        for identity in told.keys() - stale.keys():
            self._catalog.mark_stale(*identity, None)
        for identity, reason in stale.items():
            if told.get(identity) != reason:
                log.warning("discovery.stale", group=identity[0], version=identity[1], reason=reason)
                self._catalog.mark_stale(*identity, reason)

    def _tell_order(self) -> None:
        groups = self._discovered.groups if self._discovered is not None else ()
        custom = frozenset(
            mirrored.wanted.resource.group for mirrored in self._mirrored.values() if mirrored.wanted.resource.custom
        )
        if (groups, custom) != self._group_order:
            self._group_order = groups, custom
            self._catalog.order_by(partial(discovery_order, group_positions(groups, custom)))

    def _spawn(self, coroutine: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        if self._tasks is None:
            raise RuntimeError("the mirror does not run")
        return self._tasks.create_task(coroutine, name=name)


async def _take_leave(store: ReflectedStore, reason: str) -> None:
    """Let the reflector tell the deletions that are under way, then end the store."""
    reader, told = store.writer.reader, asyncio.Event()

    def look() -> None:
        if not len(reader) or reader.phase is not Phase.SYNCED:
            told.set()

    store.listening.append(reader.on_progress(look))
    try:
        async with asyncio.timeout(FAREWELL_SECONDS):
            await told.wait()
    except TimeoutError:
        pass
    store.end(reason)


async def _guarded(reflector: Reflecting, where: str, wait: Callable[[], Awaitable[None]]) -> None:
    await wait()
    await reflector.run()
    raise RuntimeError(f"the reflector of {where} ended by itself")
