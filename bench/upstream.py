"""The demo cluster as an API server that speaks TLS: ``python -m bench.upstream OBJECTS BYTES KUBECONFIG``.

The demo server itself is plain HTTP on a loopback; a real API server never is, and a mirror pays for TLS with
every byte. So the same application is put behind a certificate here, without a life of its own: what changes
is what a row of the bench changes. The first line printed says that it listens.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import trustme
import uvicorn
import uvloop

from kubemirror.demo.api import demo_app
from kubemirror.demo.cluster import Cluster
from kubemirror.demo.examples import furnish
from kubemirror.demo.faults import Faults
from kubemirror.demo.populate import populate
from kubemirror.demo.users import ADMIN_TOKEN

# Quiet stores are told the cluster's resourceVersion this often, as etcd's progress notifications do.
_PROGRESS_SECONDS = 1.0


async def serve(objects: int, object_bytes: int, write: Callable[[str], object]) -> None:
    """Serve until ended by a signal; ``write`` is handed the kubeconfig."""
    cluster = Cluster(clock=time.monotonic, wall=time.time)
    furnish(cluster)
    if objects:
        populate(cluster, objects, object_bytes=object_bytes)
    listening = socket.create_server(("127.0.0.1", 0))
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        key = Path(folder) / "server.pem"
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(key)
        config = uvicorn.Config(
            demo_app(cluster, Faults(cluster)),
            loop="uvloop",
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
            ssl_certfile=key,
            ssl_keyfile=key,
        )
        config.load()
    url = f"https://127.0.0.1:{listening.getsockname()[1]}"
    write(json.dumps(_kubeconfig(url, authority.cert_pem.bytes().decode())))
    progress = asyncio.create_task(_progress(cluster), name="progress")
    print(url, flush=True)
    await uvicorn.Server(config).serve(sockets=[listening])
    progress.cancel()


async def _progress(cluster: Cluster) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_SECONDS)
        cluster.progress()


def _kubeconfig(url: str, authority: str) -> dict[str, object]:
    trusted = base64.b64encode(authority.encode()).decode()
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": url, "certificate-authority-data": trusted}}],
        "users": [{"name": "bench", "user": {"token": ADMIN_TOKEN}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    }


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]).write_text))
