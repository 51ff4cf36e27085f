"""Certificate authorities, made once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from kubemirror.kube.connection import Connection
from tests.connect.stub import Clock, write_kubeconfig

Connect = Callable[..., Awaitable[Connection]]


@pytest.fixture(scope="session")
def ca() -> trustme.CA:
    return trustme.CA(organization_name="the cluster")


@pytest.fixture(scope="session")
def other_ca() -> trustme.CA:
    return trustme.CA(organization_name="somebody else")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def connect(tmp_path: Path) -> Any:
    """``await connect(url, cluster={...}, user={...}, **options_of_open)``; closed at the end of the test."""
    opened: list[Connection] = []

    async def open_one(
        url: str, *, cluster: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **options: Any
    ) -> Connection:
        path = write_kubeconfig(tmp_path / f"kubeconfig{len(opened)}", url, cluster=cluster, user=user)
        options.setdefault("env", {})
        connection = await Connection.open(kubeconfig=path, **options)
        opened.append(connection)
        return connection

    yield open_one
    for connection in opened:
        await connection.close()
