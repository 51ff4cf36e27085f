"""/versions: which version of what runs where; version-rs' API, right where version-rs is wrong.

One object's items are made once per version of the object and kept as bytes; a list is those bytes joined.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from kubemirror.serve.finishing import finish
from kubemirror.serve.listing import listing
from kubemirror.serve.negotiation import prefers_json
from kubemirror.serve.reading import Reading, read
from kubemirror.serve.routes import OneNamespace, get
from kubemirror.serve.serving import AskedHere, Serving
from kubemirror.serve.sought import find, wording
from kubemirror.serve.status import not_found
from kubemirror.serve.versions_page import versions_page
from kubemirror.serve.watch_shape import require_workload
from kubemirror.state.catalog import Entry
from kubemirror.state.events import Phase
from kubemirror.state.objects import Key, Object
from kubemirror.state.selectors import Selection, parse_label_selector
from kubemirror.views.versions import versions

DEPLOYMENTS = "deployments.apps"


class Container(BaseModel):
    """One container of a workload."""

    name: str
    image: str
    container: str
    version: str
    digest: str | None = None
    kind: str = Field(description="container, init or sidecar.")


class Version(BaseModel):
    """What runs in one workload: its first container's image, as version-rs tells it."""

    container: str = Field(description="The first container's image without tag and digest.")
    name: str
    namespace: str
    version: str = Field(description="Its tag, else its digest, else latest.")
    image: str | None = Field(None, description="wide: the image as written.")
    digest: str | None = Field(None, description="wide: the image's digest, where it has one.")
    containers: list[Container] | None = Field(None, description="wide: every container, init and sidecar too.")


class OneVersionQuery(BaseModel):
    """Parameters of /versions/{namespace}/{name}."""

    model_config = ConfigDict(populate_by_name=True)

    resource: Annotated[str, Field(description="Workloads of another kind: statefulsets.apps.")] = DEPLOYMENTS
    wide: Annotated[bool, Field(description="Add image, digest and all containers.")] = False


class VersionsQuery(OneVersionQuery):
    """Parameters of /versions."""

    namespace: Annotated[OneNamespace, Field(description="Only this namespace.")] = None
    label_selector: Annotated[str, Field(alias="labelSelector", description="As kubectl's -l.")] = ""
    image: Annotated[
        str, Field(description="Only workloads with a container of this image: name or end of it, tag optional.")
    ] = ""


class Items:
    """The encoded items of each object, made once per version of it."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, bool], dict[Key, tuple[Object, bytes]]] = {}

    def of(self, reading: Reading, *, wide: bool, keep: Callable[[Object], bool], everything: bool) -> list[bytes]:
        """Items of the objects that ``keep`` takes; ``everything``: they are all that the store holds."""
        resource = reading.entry.resource
        made = self._made.setdefault((resource.name, wide), {})
        used: dict[Key, tuple[Object, bytes]] = {} if everything else made
        items: list[bytes] = []
        for held in reading.objects():
            if not keep(held):
                continue
            key = held.key
            before = made.get(key)
            if before is None or before[0] is not held:
                before = (held, encoded(held, reading.entry, wide=wide))
            used[key] = before
            if before[1]:
                items.append(before[1])
        self._made[resource.name, wide] = used
        return items


def encoded(held: Object, entry: Entry, *, wide: bool) -> bytes:
    """The item of one object as JSON; b"" for one without containers."""
    item = versions(held, entry.resource, wide=wide)
    # The copy: an encoder's result keeps the buffer it was written into, and 10,000 of these are kept.
    return bytes(memoryview(orjson.dumps(item))) if item is not None else b""


def runs(image: str) -> Callable[[dict[str, Any]], bool]:
    """Whether a wide item has a container of ``image``."""

    def matches(item: dict[str, Any]) -> bool:
        for container in item.get("containers") or ():
            for written in (container["image"], container["container"]):
                if written == image or written.endswith("/" + image):
                    return True
        return False

    return matches


def routes(serving: Serving) -> APIRouter:
    """/versions and /versions/{namespace}/{name}."""
    context = serving.context
    items = Items()
    router = APIRouter(tags=["versions"])

    async def every(asked: AskedHere, query: Annotated[VersionsQuery, Query()]) -> Response:
        """Which version runs in every Deployment (or other workload), sorted by namespace and name."""
        worded = wording("list", query.resource, query.namespace or "")
        sought = await find(context, asked.caller, query.resource, worded)
        entry = sought.entry
        reading = await read(
            context,
            asked.caller,
            entry,
            verb="list",
            namespace=query.namespace,
            label_selector=query.label_selector,
            worded=sought.worded,
        )
        require_workload(entry.resource)
        reading.require_served()
        selection = Selection(parse_label_selector(query.label_selector))
        wanted = runs(query.image) if query.image else None

        def keep(held: Object) -> bool:
            if not selection.matches(held):
                return False
            if wanted is None:
                return True
            item = versions(held, entry.resource, wide=True)
            return item is not None and wanted(item)

        if asked.browser and not prefers_json(asked.accept):
            page = versions_page(
                serving,
                asked,
                reading,
                filter(keep, reading.objects()),
                image=query.image,
                label_selector=query.label_selector,
            ).encode()
            media_type = "text/html; charset=utf-8"
            stale = reading.freshness(context.clock()).phase is not Phase.SYNCED  # then it says for how long
            return finish(
                serving, asked, reading, page, media_type=media_type, route="/versions", headers=[], ages=stale
            )
        everything = selection.empty and wanted is None and query.namespace is None and reading.allowed is None
        body = listing(b"[", items.of(reading, wide=query.wide, keep=keep, everything=everything), b"]\n")
        return finish(serving, asked, reading, body, media_type="application/json", route="/versions", headers=[])

    async def one(asked: AskedHere, namespace: str, name: str, query: Annotated[OneVersionQuery, Query()]) -> Response:
        """Which version runs in one Deployment (or other workload)."""
        worded = wording("get", query.resource, namespace, name)
        sought = await find(context, asked.caller, query.resource, worded)
        entry, resource = sought.entry, sought.entry.resource
        reading = await read(
            context, asked.caller, entry, verb="get", namespace=namespace, name=name, worded=sought.worded
        )
        require_workload(resource)
        reading.require_served()
        held = reading.get(name, namespace)
        body = encoded(held, entry, wide=query.wide) if held is not None else b""
        if not body:
            raise not_found(resource.plural, resource.group, name)
        route = "/versions/{namespace}/{name}"
        return finish(serving, asked, reading, body + b"\n", media_type="application/json", route=route, headers=[])

    get(router, "/versions", every, query=VersionsQuery, response_model=None, responses={200: {"model": list[Version]}})
    get(
        router,
        "/versions/{namespace}/{name}",
        one,
        query=OneVersionQuery,
        response_model=None,
        responses={200: {"model": Version}},
    )
    return router
