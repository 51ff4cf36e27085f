"""Wires the rooms: an API server is reflected into stores, and the stores are served.

settings -> connection (or the embedded demo cluster) -> mirror -> catalog -> application -> server
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog
import uvloop

from kubemirror.access.authorizer import AllowAll, NobodyInParticular
from kubemirror.errors import ConfigError
from kubemirror.kube.connection import Connection
from kubemirror.kube.mirror import Mirror
from kubemirror.kube.upstream import ApiServer
from kubemirror.log import Logging
from kubemirror.serve.application import application, is_loopback
from kubemirror.serve.certificate import certificate_of
from kubemirror.serve.context import Context
from kubemirror.serve.health import waited_for
from kubemirror.serve.pressure import Pressure
from kubemirror.serve.server import Server, listen, url_of
from kubemirror.settings import Access, Settings
from kubemirror.state.catalog import Catalog

DEMO_MIRRORS = ("namespaces", "replicasets.apps", "pods", "events")
# Collecting garbage while objects stream in costs pauses and frees nothing; a sync that takes longer than
# this is not one that waits for objects.
SYNC_WITHOUT_COLLECTION_SECONDS = 120.0

Part = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger()


def serve(settings: Settings) -> int:
    """Mirror and serve until told to stop; the exit code. Raises ConfigError for what cannot work."""
    check(settings)
    logging = Logging(format_=settings.log_format, level=settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings))
    except ConfigError:
        raise
    except Exception:
        log.exception("mirror.died")
        return 1
    finally:
        logging.close()
    return 0


def check(settings: Settings) -> None:
    """Refuse, in one line, what would be unsafe or could not work."""
    if settings.workers != 1:
        raise ConfigError(
            f"--workers {settings.workers}: each worker would hold the whole mirror; run more replicas instead"
        )
    if settings.access is not Access.OPEN and not is_loopback(settings.host):
        raise ConfigError(
            f"--host {settings.host} can be reached by others, and everyone could read everything: "
            "say so with --access open, or listen on 127.0.0.1"
        )


async def run(settings: Settings) -> None:
    """The process from start to end. What dies ends it with its exception: nothing is silently dead."""
    parts: dict[str, Part] = {}
    async with AsyncExitStack() as stack:
        if settings.demo:
            from kubemirror.demo.server import DemoServer

            demo = await stack.enter_async_context(DemoServer(objects=settings.demo_objects))
            parts["demo"] = demo.run
            mirrored = (*DEMO_MIRRORS, *settings.mirror)
            settings = settings.model_copy(update={"kubeconfig": demo.kubeconfig, "context": None, "mirror": mirrored})
        connection = await Connection.open(kubeconfig=settings.kubeconfig, context=settings.context)
        stack.push_async_callback(connection.close)
        certificate = certificate_of(settings)
        tls = certificate.context if certificate is not None else None
        listening = listen(settings.host, settings.port)
        stack.callback(listening.close)

        url = url_of(listening, settings.host, tls=tls is not None, root_path=settings.root_path)
        print(url, flush=True)  # noqa: T201 - the first line printed is what to open
        log.info("settings", scope=", ".join(settings.namespace) or "whole cluster", **printable(settings))
        if certificate is not None:
            parts["certificate"] = certificate.run
            log.info("tls.serving", **certificate.told)
        if settings.access is Access.OPEN:
            log.warning("access.open", host=settings.host, meaning="whoever can reach this address may read everything")

        catalog = Catalog()
        mirror = Mirror(connection, settings, catalog, time.monotonic)
        upstream = ApiServer(connection, mirror)
        stack.push_async_callback(upstream.close)
        context = Context(
            catalog=catalog,
            authorizer=AllowAll(),
            authenticator=NobodyInParticular(),
            upstream=upstream,
            settings=settings,
            clock=time.monotonic,
            wall=time.time,
            certificate=certificate,
        )
        server = Server(application(context), context, listening, tls)
        parts |= {
            "mirror": mirror.run,
            "loop": context.lag.run,
            "pressure": Pressure(context).run,
            "collector": partial(collect_after_sync, context),
        }
        await live(context, server, parts)
        log.info("stopped")


async def live(context: Context, server: Server, parts: Mapping[str, Part]) -> None:
    """Serve until stopped, beside parts that must not end; one that fails ends everything with its error."""
    tasks = context.lifecycle.tasks
    for name, part in parts.items():
        tasks[name] = asyncio.create_task(part(), name=name)
    serving = asyncio.create_task(server.run_until_stopped(), name="server")
    try:
        await asyncio.wait([serving, *tasks.values()], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks.values():
            if task.done():
                task.result()
                raise RuntimeError(f"the task {task.get_name()} has ended, which it never should")
        await serving
    finally:
        for task in (serving, *tasks.values()):
            task.cancel()
        await asyncio.gather(serving, *tasks.values(), return_exceptions=True)


async def collect_after_sync(context: Context) -> None:
    """No garbage collection while objects stream in; afterwards what is held is never looked at again.

    What was imported is collected before the first object comes. At the end there is nothing to collect, for
    objects hold no cycles, and looking at 100,000 of them would stall the loop for 90 ms.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        async with asyncio.timeout(SYNC_WITHOUT_COLLECTION_SECONDS):
            while not len(context.catalog) or any(map(waited_for, context.catalog)):  # noqa: ASYNC110 - many stores
                await asyncio.sleep(0.1)
    except TimeoutError:
        log.warning("sync.slow", seconds=SYNC_WITHOUT_COLLECTION_SECONDS)
    finally:
        gc.freeze()
        gc.enable()
    await asyncio.get_running_loop().create_future()  # done: rest until the process ends


def printable(settings: Settings) -> dict[str, object]:
    """The settings as they are logged: none holds a secret, files are named by path."""
    values = settings.model_dump(mode="json")
    return {name: value for name, value in values.items() if value not in (None, (), [], "")}
