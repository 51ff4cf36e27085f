"""The client-go program of tests/cluster/modules/informers, run against a mirror."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any, Self

from tests.cluster.programs import require

BOOKS = "books.v1.clients.example.com"
# client-go waits up to a minute between attempts, and the program itself gives up after two and a half.
ANSWER_SECONDS = 240.0


class Informers:
    """One process. watch_list: whether it lists by watching, client-go's way since 0.35."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    async def started(cls, mirror: Path, server: Path, log: Path, *, watch_list: bool) -> Self:
        with log.open("wb") as written:
            process = await asyncio.create_subprocess_exec(
                require("informers"),
                *("--kubeconfig", str(mirror), "--against", str(server), "--custom", BOOKS),
                env={**os.environ, "KUBE_FEATURE_WatchListClient": str(watch_list).lower()},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=written,
            )
        return cls(process, log)

    async def ask(self, command: str) -> dict[str, Any]:
        """Its answer, however long that takes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command}\n".encode())
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await self._process.stdout.readline()
        assert line, self._log.read_text()[-3000:]
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
