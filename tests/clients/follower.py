"""A client loop over kubernetes_asyncio's Watch, with what it leaves to whoever calls it.

It resumes by itself without any pause, and after a 410 once more from the very place that is too old; whatever is no
JSON comes out as an event; and the resourceVersion it keeps is that of the last object, also while the present state
is told in no order. So: one connection at a time, from a resourceVersion that is ours; a pause between connections;
what is no event is a failure; and after a 410 a new list.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
from kubernetes_asyncio import client, watch
from kubernetes_asyncio.client.exceptions import ApiException

# One watch lasts this long, and a silent connection is given up a little later.
WATCH_SECONDS = 10
SILENCE_SECONDS = WATCH_SECONDS + 5
PAUSE_SECONDS = 0.2


class Follower:
    """Keeps what ``call`` lists and watches: by namespace and name, as JSON has it."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.held: dict[tuple[str, str], dict[str, Any]] = {}
        self.seen: Counter[str] = Counter()
        self._call = call
        self._from = ""

    async def run(self) -> None:
        while True:
            try:
                if not self._from:
                    await self._list()
                await self._watch()
            except ApiException as error:
                self.seen[f"code {error.status}"] += 1
                if error.status == 410:
                    self._from = ""
            except (aiohttp.ClientError, OSError, TimeoutError, NoEventError) as error:
                self.seen[type(error).__name__] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _list(self) -> None:
        answer = await self._call(_preload_content=False, _request_timeout=(5, SILENCE_SECONDS))
        try:
            text = await answer.text()
            if answer.status != 200:
                raise ApiException(status=answer.status, reason=text[:200])
        finally:
            answer.release()
        listed = json.loads(text)
        self.held = {key_of(item): item for item in listed["items"]}
        self._from = listed["metadata"]["resourceVersion"]
        self.seen["lists"] += 1

    async def _watch(self) -> None:
        # Its type keeps it from making a model of each object: what is compared is the JSON.
        async with watch.Watch(return_type="object") as stream:
            self.seen["watches"] += 1
            async for event in stream.stream(
                self._call,
                resource_version=self._from,
                allow_watch_bookmarks=True,
                timeout_seconds=WATCH_SECONDS,
                _request_timeout=(5, SILENCE_SECONDS),
            ):
                if not isinstance(event, dict):
                    raise NoEventError(str(event)[:200])
                self._take(event["type"], event["raw_object"])

    def _take(self, kind: str, obj: dict[str, Any]) -> None:
        self.seen[kind] += 1
        version = obj["metadata"]["resourceVersion"]
        assert int(version) >= int(self._from), f"{kind} went back from {self._from} to {version}"
        self._from = version
        if kind == "DELETED":
            del self.held[key_of(obj)]
        elif kind != "BOOKMARK":
            self.held[key_of(obj)] = obj

    def differs(self, listed: dict[str, Any]) -> str:
        """In what this is not what was listed, "" where it is."""
        there = {key_of(item): item for item in listed["items"]}
        for key in self.held.keys() ^ there.keys():
            return f"{key} is on one side only"
        for key, item in there.items():
            if content_of(self.held[key]) != content_of(item):
                return f"{key} has other content"
        return ""


class NoEventError(Exception):
    """A line of the stream was no event."""


def key_of(obj: dict[str, Any]) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def content_of(obj: dict[str, Any]) -> dict[str, Any]:
    """Without what a mirror does not hold, and what a list's item does not say of itself."""
    metadata = {name: value for name, value in obj["metadata"].items() if name != "managedFields"}
    return {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")} | {"metadata": metadata}


def followers(api: client.ApiClient) -> dict[str, Follower]:
    """By the path of what each follows."""
    books = client.CustomObjectsApi(api)

    def list_books(**options: Any) -> Any:
        return books.list_cluster_custom_object("clients.example.com", "v1", "books", **options)

    return {
        "/api/v1/configmaps": Follower(client.CoreV1Api(api).list_config_map_for_all_namespaces),
        "/api/v1/pods": Follower(client.CoreV1Api(api).list_pod_for_all_namespaces),
        "/apis/apps/v1/deployments": Follower(client.AppsV1Api(api).list_deployment_for_all_namespaces),
        "/apis/clients.example.com/v1/books": Follower(list_books),
    }
