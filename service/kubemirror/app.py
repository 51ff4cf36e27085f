"""Wires the rooms: an API server is reflected into stores, and the stores are served.

settings -> connection (or the embedded demo cluster) -> mirror -> catalog -> front

The mirror starts first. What answers (front.py) takes as long to import as 10,000 objects take to come, so it is
imported while the first lists are on their way.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any

import structlog
import uvloop

from kubemirror.errors import ConfigError
from kubemirror.heap import give_large_buffers_back
from kubemirror.kube.connection import Connection
from kubemirror.kube.mirror import Mirror
from kubemirror.kube.upstream import ApiServer
from kubemirror.log import Logging
from kubemirror.settings import Access, Settings
from kubemirror.state.catalog import Catalog

DEMO_MIRRORS = ("namespaces", "replicasets.apps", "pods", "events")

Part = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger()


def serve(settings: Settings) -> int:
    """Mirror and serve until told to stop; the exit code. Raises ConfigError for what cannot work."""
    check(settings)
    give_large_buffers_back()
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
    if settings.access is not Access.OPEN and not settings.on_loopback:
        raise ConfigError(
            f"--host {settings.host} can be reached by others, and everyone could read everything: "
            "say so with --access open, or listen on 127.0.0.1"
        )


async def run(settings: Settings) -> None:
    """The process from start to end. What dies ends it with its exception: nothing is silently dead."""
    # While objects stream in, and what answers is imported, collecting costs pauses and frees nothing.
    gc.disable()
    async with AsyncExitStack() as stack:
        parts: dict[str, Part] = {}
        if settings.demo:
            from kubemirror.demo.server import DemoServer, after_earlier_ones

            begins = after_earlier_ones(time.time())
            demo = await stack.enter_async_context(DemoServer(objects=settings.demo_objects, resource_version=begins))
            parts["demo"] = demo.run
            mirrored = (*DEMO_MIRRORS, *settings.mirror)
            settings = settings.model_copy(update={"kubeconfig": demo.kubeconfig, "context": None, "mirror": mirrored})
        connection = await Connection.open(kubeconfig=settings.kubeconfig, context=settings.context)
        stack.push_async_callback(connection.close)
        catalog = Catalog()
        mirror = Mirror(connection, settings, catalog, time.monotonic)
        upstream = ApiServer(connection, mirror)
        stack.push_async_callback(upstream.close)
        parts["mirror"] = mirror.run
        tasks = {name: asyncio.create_task(part(), name=name) for name, part in parts.items()}
        stack.push_async_callback(cancelled, tasks)

        await asyncio.to_thread(import_module, "kubemirror.front")
        from kubemirror.front import answer

        await answer(settings, catalog, upstream, tasks)
        log.info("stopped")


async def cancelled(tasks: dict[str, asyncio.Task[None]]) -> None:
    """End what still runs, whatever it says to that."""
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
