"""The model API server: LIST, WATCH and WatchList over a Cache, in the bytes a real one sends, with bad weather.

It speaks the Transport protocol. Faults are drawn from one seeded Random while ``weather`` is bad; each that
happens is counted, so that the suite can show that none is only imagined.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from kubemirror.kube.transport import Response, TransportError
from tests.simulation.cluster import Cache, Entry, Truth, Version

JSON = {"content-type": "application/json"}
BOOKMARK_SECONDS = 60.0
DEFINITIONS = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]


@dataclass(frozen=True)
class Kind:
    """What sort of server this is."""

    tables: bool = True
    watch_list: bool = True
    mirror: bool = False
    page_size_honoured: bool = True


class Stream:
    """A body that arrives over time, cut anywhere."""

    def __init__(self, server: Server, *, watch: bool) -> None:
        self.server = server
        self.watch = watch
        self.silent = False  # half-open: nothing comes any more, and nobody says so
        self.closed = False
        self.delay = 0.0
        self.held_back: bytes | None = None  # an event that will come after the next one
        self.tables = False
        self.told_columns = False
        self._queue: deque[tuple[float, bytes | TransportError]] = deque()
        self._arrived = asyncio.Event()
        server.open.add(self)

    def push(self, data: bytes | TransportError) -> None:
        if self.silent or self.closed:
            return
        now = asyncio.get_running_loop().time()
        at = max(now + self.delay, self._queue[-1][0] if self._queue else 0.0)
        if isinstance(data, bytes) and data:
            data = data if self.server.random.random() > 0.1 else data.replace(b"\n", b"\r\n")
            for part in self._cut(data):
                self._queue.append((at, part))
        else:
            self._queue.append((at, data))
        self._arrived.set()

    def _cut(self, data: bytes) -> Iterator[bytes]:
        random = self.server.random
        start = 0
        while start < len(data):
            size = random.choice([1, 7, 500, 5000, 100_000])
            yield data[start : start + size]
            start += size

    def cut(self) -> None:
        """The connection is gone, with what was on its way."""
        self._queue.clear()
        self.silent = False
        self.push(TransportError("connection reset", kind="reset"))
        self.silent = True

    async def read(self) -> bytes:
        while True:
            if self._queue:
                at, data = self._queue[0]
                now = asyncio.get_running_loop().time()
                if at > now:
                    await asyncio.sleep(at - now)
                self._queue.popleft()
                if isinstance(data, TransportError):
                    raise data
                return data
            self._arrived.clear()
            await self._arrived.wait()

    async def close(self) -> None:
        self.closed = True
        self.server.streams.discard(self)
        self.server.open.discard(self)


class Server:
    """One API server over one Truth."""

    def __init__(self, truth: Truth, random: Random, kind: Kind) -> None:
        self.truth = truth
        self.random = random
        self.kind = kind
        self.cache = Cache(truth)
        self.cache.rebuild()
        self.weather = 0.0  # 0 is fine; 1 is as bad as it gets
        self.columns = 1
        self.forbidden = False
        self.refusing = False
        self.hanging_up = False
        self.streams: set[Stream] = set()  # watches that are told what happens
        self.open: set[Stream] = set()
        self.faults: Counter[str] = Counter()
        self.requests: list[tuple[float, dict[str, str]]] = []
        self.lost: set[int] = set()  # RVs that some stream was not told, silently
        self.pages: dict[str, list[Version]] = {}

    # -- what the world does to it --------------------------------------------------------------------

    def advance(self) -> None:
        """Show what was written, and tell every open watch."""
        self.tell(self.cache.catch_up())

    def leap(self) -> None:
        """(A mirror's own relist.)"""
        self.faults["mirror_gap"] += 1
        self.cache.frozen = False
        if self.random.random() < 0.5:
            self.faults["announced_gap"] += 1
            for stream in self.watches():
                stream.push(self._bookmark(stream, self.cache.rv, gap=True))
        self.tell(self.cache.leap())
        for stream in self.watches():
            stream.push(self._bookmark(stream, self.cache.rv))

    def tell(self, entries: Sequence[Entry]) -> None:
        for stream in self.watches():
            for entry in entries:
                self._tell(stream, entry)

    def watches(self) -> list[Stream]:
        return sorted((stream for stream in self.streams if stream.watch), key=id)

    def rebuild(self) -> None:
        """The storage below was restored: every connection is cut, and the cache is made anew."""
        for stream in list(self.open):
            stream.cut()
        self.streams.clear()
        self.pages.clear()
        self.cache.frozen = False
        self.cache.rebuild()

    def restart(self) -> None:
        self.faults["restart"] += 1
        for stream in list(self.streams):
            self._cut_off(stream)
        self.cache.frozen = False
        if not self.kind.mirror:
            self.cache.rebuild()

    def bookmark(self) -> None:
        for stream in self.watches():
            rv = self.cache.rv
            if self._happens("lagging_bookmark", 0.05):
                rv -= 40
            stream.push(self._bookmark(stream, rv))

    def _cut_off(self, stream: Stream) -> None:
        stream.push(TransportError("connection reset", kind="reset"))
        stream.watch = False
        self.streams.discard(stream)

    def _happens(self, fault: str, chance: float) -> bool:
        if self.weather and self.random.random() < chance * self.weather:
            self.faults[fault] += 1
            return True
        return False

    # -- requests -------------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        seconds: float,
    ) -> Response:
        asked = dict(query)
        accept = (headers or {})["accept"]
        self.requests.append((asyncio.get_running_loop().time(), asked))
        await asyncio.sleep(0.001 + self.random.random() * 0.05)
        if self.refusing or self._happens("refused", 0.05):
            raise TransportError("connection refused", kind="refused")
        if self._happens("no_answer", 0.02):
            await asyncio.sleep(seconds)
            raise TransportError("no answer", kind="timeout")
        if self.forbidden:
            return self._status(403, "Forbidden", 'things.sim.example is forbidden: User "mirror" cannot list')
        for fault, chance, answer in (
            ("http_429", 0.04, (429, {"content-type": "text/plain", "retry-after": "7"}, b"Too many requests\n")),
            ("html_502", 0.03, (502, {"content-type": "text/html"}, b"<html>Bad\nGateway</html>\n")),
            ("html_200", 0.02, (200, {"content-type": "text/html"}, b'<html>\n{"type":"ADDED"}\n</html>\n')),
            ("http_503", 0.03, (503, JSON, b'{"kind":"Status","code":503,"reason":"ServiceUnavailable"}')),
            ("http_500", 0.03, (500, JSON, b'{"kind":"Status","code":500,"reason":"InternalError"}')),
            ("http_401", 0.02, (401, JSON, b'{"kind":"Status","code":401,"reason":"Unauthorized"}')),
        ):
            if self._happens(fault, chance):
                return self._answer(*answer)
        if "watch" in asked:
            return await self._watch(asked, tables="as=Table" in accept and self.kind.tables)
        return await self._list(asked, accept)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> Response:
        stream = Stream(self, watch=False)
        stream.push(body)
        stream.push(b"")
        if self.kind.mirror:
            headers = {**headers, "cache-status": "kubemirror; hit"}
        return Response(status, headers, stream)

    def _status(self, code: int, reason: str, message: str, causes: Sequence[str] = ()) -> Response:
        return self._answer(code, JSON, json.dumps(_status(code, reason, message, causes)).encode())

    async def _not_older(self, rv: int) -> Response | None:
        for _ in range(30):
            if self.cache.rv >= rv:
                return None
            await asyncio.sleep(0.1)
        message = f"Timeout: Too large resource version: {rv}, current: {self.cache.rv}"
        return self._status(504, "Timeout", message, ["ResourceVersionTooLarge"])

    # -- LIST -----------------------------------------------------------------------------------------

    async def _list(self, asked: dict[str, str], accept: str) -> Response:
        token = asked.get("continue", "")
        limit = int(asked.get("limit", "0"))
        if token:
            if self._happens("page_410", 0.15):
                self.pages.pop(token, None)
            if token not in self.pages:
                return self._status(410, "Expired", "The provided continue parameter is too old")
            rv, rest = int(token.split("-")[0]), self.pages.pop(token)
        else:
            if asked.get("resourceVersion"):
                refused = await self._not_older(int(asked["resourceVersion"]))
                if refused is not None:
                    return refused
            elif not self.kind.mirror:
                self.advance_for_consistency()
            rv, rest = self.cache.rv, [self.cache.objects[key] for key in sorted(self.cache.objects)]
            if not self.kind.mirror and not asked.get("resourceVersion"):
                rv, rest = self.truth.rv, [self.truth.objects[key] for key in sorted(self.truth.objects)]
        continue_ = ""
        if limit and len(rest) > limit:
            continue_ = f"{rv}-{len(self.requests)}"
            self.pages[continue_] = rest[limit:]
            rest = rest[:limit]
        if "as=Table" in accept and self.kind.tables:
            rows = ",".join(f'{{"cells":{found.cells(self.columns)},"object":{found.sent}}}' for found in rest)
            text = (
                '{"kind":"Table","apiVersion":"meta.k8s.io/v1",'
                f'"metadata":{json.dumps({"resourceVersion": str(rv), "continue": continue_})},'
                f'"columnDefinitions":{json.dumps(self.definitions())},"rows":[{rows}]}}'
            )
        else:
            items = ",".join(found.item for found in rest)
            text = (
                f'{{"kind":"ThingList","apiVersion":"sim.example/v1",'
                f'"metadata":{json.dumps({"resourceVersion": str(rv), "continue": continue_})},"items":[{items}]}}'
            )
        stream = Stream(self, watch=False)
        body = text.encode()
        if self._happens("truncated_page", 0.05):
            body = body[: self.random.randrange(len(body))]
        stream.push(body)
        if self._happens("reset_page", 0.03):
            stream.push(TransportError("connection reset", kind="reset"))
        elif self._happens("slow_page", 0.03):
            stream = Stream(self, watch=False)
            for byte in body[:400]:
                stream.delay += 1.0
                stream.push(bytes((byte,)))
        stream.push(b"")
        headers = {**JSON, "cache-status": "kubemirror; hit"} if self.kind.mirror else JSON
        return Response(200, headers, stream)

    def advance_for_consistency(self) -> None:
        """A consistent read waits until the server's cache is as new as etcd."""
        if not self.cache.frozen:
            self.advance()

    def definitions(self) -> list[dict[str, object]]:
        more = [
            {"name": f"RV{n}", "type": "string", "format": "", "description": "", "priority": 0}
            for n in range(self.columns)
        ]
        return [*DEFINITIONS, *more]

    # -- WATCH ----------------------------------------------------------------------------------------

    async def _watch(self, asked: dict[str, str], *, tables: bool) -> Response:
        stream = Stream(self, watch=True)
        stream.tables = tables
        initial = asked.get("sendInitialEvents") == "true"
        if initial and not self.kind.watch_list:
            return self._status(422, "Invalid", "sendInitialEvents is forbidden for watch unless the gate is enabled")
        if asked["resourceVersion"] and initial:
            refused = await self._not_older(int(asked["resourceVersion"]))
            if refused is not None:
                stream.push(
                    _line("ERROR", json.dumps(_status(504, "Timeout", "Timeout: Too large resource version: 1")))
                )
                stream.push(b"")
                return Response(200, JSON, stream)
        if self._happens("http_410", 0.03):
            return self._status(410, "Expired", "too old resource version")
        headers = {**JSON, "cache-status": "kubemirror; hit"} if self.kind.mirror else JSON
        if self.hanging_up or self._happens("short_watch", 0.04):
            self.faults["short_watch"] += 1
            stream.push(b"")
            return Response(200, headers, stream)
        if self._happens("slow_stream", 0.05):
            stream.delay = self.random.choice([5.0, 30.0, 70.0])
        self._begin(stream, asked, initial=initial)
        seconds = float(asked["timeoutSeconds"])
        asyncio.get_running_loop().call_later(seconds, self._time_out, stream)
        return Response(200, headers, stream)

    def _begin(self, stream: Stream, asked: dict[str, str], *, initial: bool) -> None:
        if initial:
            if not asked["resourceVersion"] and not self.kind.mirror:
                self.advance_for_consistency()
            shown = list(self.cache.objects.values())
            self.random.shuffle(shown)
            self.streams.add(stream)
            for found in shown:
                if stream in self.streams:
                    self._tell(stream, Entry(found.rv, "ADDED", found), initial=True)
            if self._happens("no_initial_end", 0.05):
                return
            if self.random.random() < 0.5:  # the list lives on while it is told
                self.truth.write()
                self.advance()
            stream.push(self._bookmark(stream, self.cache.rv, initial_end=True))
            return
        entries = self.cache.after(int(asked["resourceVersion"]))
        if entries is None or self._happens("event_410", 0.03):
            stream.push(_line("ERROR", json.dumps(_status(410, "Expired", "too old resource version"))))
            stream.push(b"")
            return
        self.streams.add(stream)
        for entry in entries:
            if stream in self.streams:
                self._tell(stream, entry)

    def _time_out(self, stream: Stream) -> None:
        if stream in self.streams:
            stream.watch = False
            self.streams.discard(stream)
            stream.push(b"")

    def _tell(self, stream: Stream, entry: Entry, *, initial: bool = False) -> None:
        if stream.silent:
            return
        line = self._event(stream, entry)
        if not initial and self._happens("silent_loss", 0.004):
            self.lost.add(entry.rv)
            return
        if not initial and stream.held_back is None and self._happens("out_of_order", 0.004):
            self.lost.add(entry.rv)
            stream.held_back = line
            return
        if self._happens("half_open", 0.004):
            stream.silent = True
            return
        if self._happens("truncated_line", 0.01):
            stream.push(line[: self.random.randrange(1, len(line))])
            end: bytes | TransportError = TransportError("reset", kind="reset") if self.random.random() < 0.5 else b""
            stream.push(end)
            stream.watch = False
            self.streams.discard(stream)
            return
        if self._happens("garbage", 0.005):
            stream.push(
                self.random.choice([b'{"type":"ADDED","object":\n', b"\xff\xfe\n", b'{"type":"ADDED"}\n', b"[]\n"])
            )
        if self._happens("unknown_type", 0.005):
            stream.push(_line("FROBNICATED", '{"kind":"Thing"}'))
        if self._happens("error_event", 0.005):
            code, reason = self.random.choice(
                [(500, "InternalError"), (500, "StoreReadError"), (429, "TooManyRequests"), (410, "Gone")]
            )
            stream.push(_line("ERROR", json.dumps(_status(code, reason, "as drawn"))))
        stream.push(line)
        if self._happens("duplicate", 0.01):
            stream.push(line)
        if stream.held_back is not None:
            stream.push(stream.held_back)
            stream.held_back = None

    def _event(self, stream: Stream, entry: Entry) -> bytes:
        shown = entry.version
        if not stream.tables:
            return _line(entry.type, shown.sent)
        definitions = "null"
        if not stream.told_columns:
            stream.told_columns = True
            definitions = json.dumps(self.definitions())
        row = f'{{"cells":{shown.cells(self.columns)},"object":{shown.sent}}}'
        return _line(entry.type, _table(str(entry.rv), definitions, row))

    def _bookmark(self, stream: Stream, rv: int, *, initial_end: bool = False, gap: bool = False) -> bytes:
        annotations = ',"annotations":{"k8s.io/initial-events-end":"true"}' if initial_end else ""
        if gap:
            annotations = ',"annotations":{"kubemirror/gap":"true"}'
        mark = f'{{"kind":"Thing","apiVersion":"sim.example/v1","metadata":{{"resourceVersion":"{rv}"{annotations}}}}}'
        if not stream.tables:
            return _line("BOOKMARK", mark)
        return _line("BOOKMARK", _table(str(rv), "null", f'{{"cells":["",""],"object":{mark}}}'))


def _line(type_: str, text: str) -> bytes:
    return f'{{"type":"{type_}","object":{text}}}\n'.encode()


def _table(rv: str, definitions: str, row: str) -> str:
    return (
        f'{{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{{"resourceVersion":"{rv}"}},'
        f'"columnDefinitions":{definitions},"rows":[{row}]}}'
    )


def _status(code: int, reason: str, message: str, causes: Sequence[str] = ()) -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": {"causes": [{"reason": cause, "message": ""} for cause in causes]},
        "code": code,
    }
