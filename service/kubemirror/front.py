"""What answers: the socket, the application on it, and the tasks that keep the process well.

A module of its own because it brings FastAPI and everything above the stores: app.py imports it when the mirror is
under way already.
"""

from __future__ import annotations

import asyncio
import gc
import time

import structlog

from kubemirror.access.audit import Audit, Audited
from kubemirror.access.grants import Granted, Grants, KeyFile
from kubemirror.access.modes import mode_of
from kubemirror.errors import ConfigError
from kubemirror.log import Lines
from kubemirror.serve.application import application
from kubemirror.serve.certificate import certificate_of
from kubemirror.serve.context import Context
from kubemirror.serve.health import waited_for
from kubemirror.serve.pressure import Pressure
from kubemirror.serve.server import Server, listen, url_of
from kubemirror.settings import Access, Settings
from kubemirror.state.catalog import Catalog
from kubemirror.state.upstream import Reviews, Upstream

# Collecting looks for cycles, and there are hardly any; what comes is connections, a hundred and fifty objects each.
# With the default of 700 new objects before the next look, 10,000 of them are looked at time and again as they open,
# for a fifth of the CPU that this takes, and for up to 0.1 s at a time.
YOUNG_OBJECTS = 10_000
# A sync that takes longer than this is not one that waits for objects.
SYNC_WITHOUT_COLLECTION_SECONDS = 120.0

log = structlog.get_logger()


async def answer(
    settings: Settings,
    catalog: Catalog,
    upstream: Upstream,
    reviews: Reviews,
    tasks: dict[str, asyncio.Task[None]],
) -> None:
    """Listen and serve until stopped, beside ``tasks``, which must not end; raises what one of them raises.

    reviews: where access is reviewed, which is ``upstream`` unless that is a mirror itself.
    """
    mode = mode_of(settings, reviews, catalog, wall=time.time)
    certificate = certificate_of(settings)
    tls = certificate.context if certificate is not None else None
    listening = listen(settings.host, settings.port)
    lines: Lines | None = None
    try:
        url = url_of(listening, settings.host, tls=tls is not None, root_path=settings.root_path)
        print(url, flush=True)  # noqa: T201 - the first line printed is what to open
        log.info("settings", scope=", ".join(settings.namespace) or "whole cluster", **printable(settings))
        if certificate is not None:
            tasks["certificate"] = asyncio.create_task(certificate.run(), name="certificate")
            log.info("tls.serving", **certificate.told)
        told = log.warning if mode.access is Access.OPEN else log.info
        told(f"access.{mode.access}", host=settings.host, meaning=mode.meaning)
        if mode.run is not None:
            tasks["access"] = asyncio.create_task(mode.run(), name="access")
        if mode.access in (Access.DELEGATED, Access.PROXY) and tls is None and not settings.on_loopback:
            log.warning("access.plaintext", meaning="tokens can be read on the way: --tls-cert, or TLS in front")
        lines = lines_of(settings)
        audit = Audit(lines.write if lines is not None else None, wall=time.time)
        context = Context(
            catalog=catalog,
            authorizer=Audited(Granted(mode.authorizer), audit),
            authenticator=mode.authenticator,
            sign_in=mode.sign_in,
            rules=mode.rules,
            upstream=upstream,
            settings=settings,
            clock=time.monotonic,
            wall=time.time,
            certificate=certificate,
            audit=audit,
            grants=grants_of(settings),
        )
        app = application(context)
        server = Server(app, context, listening, tls)
        tasks["history"] = asyncio.create_task(app.serving.chronicle.run(), name="history")
        tasks["loop"] = asyncio.create_task(context.lag.run(), name="loop")
        tasks["pressure"] = asyncio.create_task(Pressure(context).run(), name="pressure")
        tasks["collector"] = asyncio.create_task(collect_after_sync(context), name="collector")
        await live(context, server, tasks)
    finally:
        listening.close()
        await mode.close()
        if lines is not None:
            lines.close()


def lines_of(settings: Settings) -> Lines | None:
    """What writes audit lines; None where none are wanted. ConfigError where they cannot be written."""
    try:
        return Lines(settings.audit_target) if settings.audit_target else None
    except OSError as error:
        raise ConfigError(f"--audit-log {settings.audit_target}: {error.strerror}") from None


def grants_of(settings: Settings) -> Grants | None:
    """What reads embed tokens; None where none are taken."""
    file = settings.embed_key_file
    return Grants(KeyFile(file, time.monotonic), wall=time.time) if file is not None else None


async def live(context: Context, server: Server, tasks: dict[str, asyncio.Task[None]]) -> None:
    """Serve until stopped, beside tasks that must not end; one that fails ends everything with its error."""
    context.lifecycle.tasks |= tasks
    serving = asyncio.create_task(server.run_until_stopped(), name="server")
    try:
        await asyncio.wait([serving, *tasks.values()], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks.values():
            if task.done():
                task.result()
                raise RuntimeError(f"the task {task.get_name()} has ended, which it never should")
        await serving
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def collect_after_sync(context: Context) -> None:
    """Collect garbage again when the first lists have come; what is held by then is never looked at.

    There is nothing to collect among it, for objects hold no cycles, and looking at 100,000 of them would stall the
    loop for 90 ms.
    """
    try:
        async with asyncio.timeout(SYNC_WITHOUT_COLLECTION_SECONDS):
            while not len(context.catalog) or any(map(waited_for, context.catalog)):  # noqa: ASYNC110 - many stores
                await asyncio.sleep(0.1)
    except TimeoutError:
        log.warning("sync.slow", seconds=SYNC_WITHOUT_COLLECTION_SECONDS)
    finally:
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, 10, 10)
        gc.enable()
    await asyncio.get_running_loop().create_future()  # done: rest until the process ends


def printable(settings: Settings) -> dict[str, object]:
    """The settings as they are logged: none holds a secret, files are named by path."""
    values = settings.model_dump(mode="json")
    return {name: value for name, value in values.items() if value not in (None, (), [], "")}
