"""Wires the rooms: an API server is reflected into stores, and the stores are served.

settings -> connection (or the embedded demo cluster) -> mirror -> catalog -> front

The mirror starts first. What answers (front.py) takes as long to import as 10,000 objects take to come, so it is
imported while the first lists are on their way.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from importlib import import_module
from typing import Any

import structlog
import uvloop

from kubemirror.access import modes
from kubemirror.errors import ConfigError
from kubemirror.heap import give_large_buffers_back
from kubemirror.kube.connection import Connection
from kubemirror.kube.kubeconfig import is_pod
from kubemirror.kube.mirror import Mirror
from kubemirror.kube.upstream import ApiServer
from kubemirror.log import Logging
from kubemirror.settings import Access, Redact, Settings
from kubemirror.state.catalog import Catalog

DEMO_MIRRORS = ("namespaces", "replicasets.apps", "pods", "events")

# The API server takes JSON nested 10,000 deep, and whoever may write a custom resource may send that; decoders count
# their own depth against the interpreter's limit, and what stands around an object is some levels more.
NESTED = 10_100

Part = Callable[[], Coroutine[Any, Any, None]]

log = structlog.get_logger()


def serve(settings: Settings) -> int:
    """Mirror and serve until told to stop; the exit code. Raises ConfigError for what cannot work."""
    settings = with_access(settings)
    check(settings)
    give_large_buffers_back()
    sys.setrecursionlimit(max(sys.getrecursionlimit(), NESTED))
    logging = Logging(format_=settings.log_format, level=settings.log_level)
    try:
        redaction_told(settings)
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
    if settings.redact is Redact.NONE and settings.access not in (None, Access.LOCAL) and not settings.unredacted:
        raise ConfigError(f"--redact none with --access {settings.access} shows passwords to others: say --unredacted")
    if settings.access in (None, Access.LOCAL) and not settings.on_loopback:
        raise ConfigError(
            f"--host {settings.host} can be reached by others, and everyone could read everything: "
            "have the API server decide with --access delegated, say so with --access open, or listen on 127.0.0.1"
        )
    modes.check(settings)


def with_access(settings: Settings) -> Settings:
    """The same with a mode of access: in a cluster its API server decides who is answered."""
    if settings.access is not None:
        return settings
    inside = not settings.demo and settings.kubeconfig is None and settings.context is None and is_pod(os.environ)
    return settings.model_copy(update={"access": Access.DELEGATED if inside else Access.LOCAL})


def redaction_told(settings: Settings) -> None:
    """Say what is masked where others than this machine are answered, and loudly where nothing is."""
    if settings.unredacted:
        log.warning("redaction.off", meaning="passwords and tokens in env, args, ConfigMaps and annotations are shown")
    else:
        log.info("redaction", redact=str(settings.redaction))


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
            # Who may see what is its to say then, and it lets those who send no token do everything otherwise.
            demo.faults.users.anonymous = settings.access not in (Access.DELEGATED, Access.PROXY)
            parts["demo"] = demo.run
            mirrored = (*DEMO_MIRRORS, *settings.mirror)
            settings = settings.model_copy(update={"kubeconfig": demo.kubeconfig, "context": None, "mirror": mirrored})
        connection = await Connection.open(kubeconfig=settings.kubeconfig, context=settings.context)
        stack.push_async_callback(connection.close)
        catalog = Catalog()
        mirror = Mirror(connection, settings, catalog, time.monotonic)
        upstream = ApiServer(connection, mirror, reviews=settings.max_reviews)
        stack.push_async_callback(upstream.close)
        reviews = upstream
        if settings.review_server is not None:
            reviewing = await Connection.open(kubeconfig=settings.review_server, context=None)
            stack.push_async_callback(reviewing.close)
            reviews = ApiServer(reviewing, mirror, reviews=settings.max_reviews)
            stack.push_async_callback(reviews.close)
        parts["mirror"] = mirror.run
        tasks = {name: asyncio.create_task(part(), name=name) for name, part in parts.items()}
        stack.push_async_callback(cancelled, tasks)

        await asyncio.to_thread(import_module, "kubemirror.front")
        from kubemirror.front import answer

        await answer(settings, catalog, upstream, reviews, tasks)
        log.info("stopped")


async def cancelled(tasks: dict[str, asyncio.Task[None]]) -> None:
    """End what still runs, whatever it says to that."""
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
