"""A CustomResourceDefinition and its instances, through all of their life."""

from __future__ import annotations

from typing import Any

from kubemirror.state.store import Reader
from tests.contract.mirrored import Mirrored
from tests.contract.objects import bar, definition
from tests.contract.servers import DEFINITIONS


class Bars:
    """A definition of bars in a group of its own."""

    def __init__(self, mirrored: Mirrored, group: str, namespace: str) -> None:
        self.mirrored = mirrored
        self.server = mirrored.server
        self.group = group
        self.name = f"bars.{group}"
        self.namespace = namespace

    async def define(self, *versions: dict[str, Any]) -> None:
        """Until it is Established, as its status says."""
        await self.server.done("POST", DEFINITIONS, definition(self.group, *versions))
        async with self.server.watch(DEFINITIONS, fieldSelector=f"metadata.name={self.name}") as events:
            while not established((await events.next())["object"]):
                pass

    async def redefine(self, *versions: dict[str, Any]) -> None:
        await self.server.patch(f"{DEFINITIONS}/{self.name}", {"spec": {"versions": list(versions)}})

    async def undefine(self) -> None:
        await self.server.done("DELETE", f"{DEFINITIONS}/{self.name}")

    def path(self, version: str = "v1") -> str:
        return f"/apis/{self.group}/{version}/namespaces/{self.namespace}/bars"

    async def create(self, *names: str) -> None:
        for name in names:
            answer = await self.server("POST", self.path(), bar(self.group, name))
            assert answer.is_success, answer.text

    async def synced(self, count: int, **more: Any) -> Reader:
        mirrored = self.mirrored
        await mirrored.until(lambda: mirrored.synced(self.name) and len(mirrored.held(self.name)) == count, **more)
        return mirrored.held(self.name)


def established(obj: dict[str, Any]) -> bool:
    conditions = obj.get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)
