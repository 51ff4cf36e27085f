"""An nginx of a test's own in front of a mirror."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from tests.conftest import tool
from tests.serve.live import Live
from tests.ship.repository import ROOT

# Nothing but what an unprivileged nginx of its own needs; the location is what is tested.
CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log stderr;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://{address};
{lines}
    }}
  }}
}}
"""


def documented() -> str:
    """The lines of docs/push.md for WebSockets."""
    (block,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "push.md").read_text(), re.DOTALL)
    return "\n".join(line for line in block.splitlines() if "proxy_pass" not in line and line.startswith("    "))


@asynccontextmanager
async def nginx(live: Live, folder: Path, port: int, lines: str = "") -> AsyncIterator[str]:
    """Where it listens."""
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, port=port, address=live.address, lines=lines))
    log = folder / "log"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            tool("nginx"), "-c", str(configuration), "-e", "stderr", stderr=errors
        )
    try:
        async with httpx.AsyncClient() as client:
            for _ in range(400):
                assert process.returncode is None, log.read_text()
                try:
                    await client.get(f"http://127.0.0.1:{port}/livez")
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                else:
                    break
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), 10)
