"""Objects and stores for the tests of the state room."""

from __future__ import annotations

import json
from typing import Any

from kubemirror.state.events import Apply, Delete, Init, InitApply, InitDone, Phase, PhaseChange
from kubemirror.state.objects import Ingest, Object
from kubemirror.state.store import Writer

INGEST = Ingest(api_version="apps/v1", kind="Deployment")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def raw(name: str, resource_version: int, *, namespace: str = "ns", uid: str = "", **metadata: Any) -> bytes:
    fields = {"name": name, "namespace": namespace, "uid": uid or f"uid-{namespace}-{name}"}
    fields |= {"resourceVersion": str(resource_version), **metadata}
    return json.dumps({"metadata": fields, "spec": {"replicas": 1}}).encode()


def made(
    name: str, resource_version: int, *, namespace: str = "ns", uid: str = "", labels: dict[str, str] | None = None
) -> Object:
    extra = {"labels": labels} if labels else {}
    return INGEST.object(raw(name, resource_version, namespace=namespace, uid=uid, **extra))


def writer(clock: Clock | None = None, **options: Any) -> Writer:
    return Writer(clock=clock or Clock(), **options)


def listed(store: Writer, resource_version: int, *objects: Object, rollback: bool = False) -> None:
    """One complete list."""
    store.handle(Init())
    for each in objects:
        store.handle(InitApply(each))
    store.handle(InitDone(resource_version, rollback))
    store.handle(PhaseChange(Phase.SYNCED))


def applied(store: Writer, *objects: Object) -> None:
    for each in objects:
        store.handle(Apply(each))


def deleted(store: Writer, *objects: Object) -> None:
    for each in objects:
        store.handle(Delete(each))


def told(changes: list[Any]) -> list[tuple[str, str, int]]:
    """(type, name, cursor) of each change."""
    return [(str(change.type), change.object.name, change.resource_version) for change in changes]


def nothing() -> None:
    """A reader that does not care when there is something to read."""
